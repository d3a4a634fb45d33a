"""`kill -9` at random moments under concurrent writers that retry.

Nothing that was acknowledged is lost, nothing is doubled, and the log's numbers have no hole.
`make crash` runs 100 rounds; the tests run a few.
"""

from __future__ import annotations

import random
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest

from crash_writers import Ledger, Writer
from tickplant.compose import open_history
from tickplant.model.events import TABLES

WRITERS = 4
START_S_MAX = 20.0
SETTINGS = {"log.segment_mb": 1, "store.block_rows": 2_000, "store.block_age_s": 0.2}
"""Small, so that segments roll and archive runs happen between one kill and the next."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start(folder: Path, port: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tickplant", "serve", "--feed", "none",
               "--data", str(folder), "--port", str(port)]  # fmt: skip
    for key, value in SETTINGS.items():
        command += ["--set", f"{key}={value}"]
    with (folder.parent / "server.log").open("ab") as log:
        return subprocess.Popen(command, stdout=log, stderr=log)


def wait_ready(url: str, process: subprocess.Popen[bytes], folder: Path) -> None:
    deadline = time.monotonic() + START_S_MAX
    while time.monotonic() < deadline:
        if process.poll() is not None:
            log = (folder.parent / "server.log").read_text("utf-8", "replace")
            raise AssertionError(f"the plant ended: {log[-2000:]}")
        try:
            with urllib.request.urlopen(f"{url}/ready", timeout=2) as answer:
                if answer.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            time.sleep(0.01)
    raise AssertionError(f"the plant was not ready within {START_S_MAX} s")


def check(folder: Path, ledger: Ledger) -> int:
    history = open_history(folder)
    trades = history.store.scan("trades", columns=["seq", "id"])
    stored = trades["id"].to_pylist()
    assert len(stored) == len(set(stored)), "a trade is stored twice"
    lost = ledger.acknowledged - set(stored)
    assert not lost, f"{len(lost)} acknowledged trades are lost, {sorted(lost)[:5]} among them"
    assert set(stored) <= ledger.sent
    seqs = np.sort(
        np.concatenate([history.store.scan(t, columns=["seq"])["seq"].to_numpy() for t in TABLES])
    )
    assert (seqs == np.arange(1, len(seqs) + 1)).all(), "the log's numbers have a hole or a double"
    history.store.close()
    return len(stored)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_nothing_acknowledged_is_lost_or_doubled(tmp_path: Path, crash_rounds: int) -> None:
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    moments = random.Random(seed)
    folder, port, ledger = tmp_path / "data", free_port(), Ledger()
    url = f"http://127.0.0.1:{port}"
    writers = [Writer(number, url, ledger, seed) for number in range(WRITERS)]
    process = start(folder, port)
    try:
        wait_ready(url, process, folder)
        for writer in writers:
            writer.start()
        for _ in range(crash_rounds):
            time.sleep(moments.expovariate(1 / 0.4))  # the random moment is the test's subject
            process.send_signal(signal.SIGKILL)
            process.wait()
            check(folder, ledger)
            process = start(folder, port)
            wait_ready(url, process, folder)
    finally:
        for writer in writers:
            writer.stopping.set()
        for writer in writers:
            writer.join(30)
        process.kill()
        process.wait()
    rows = check(folder, ledger)
    assert not ledger.faults, ledger.faults[:3]
    assert len(ledger.acknowledged) > 10 * crash_rounds
    print(f"{crash_rounds} kills, {rows} trades stored, {len(ledger.acknowledged)} acknowledged")
