"""`kill -9` at random moments under concurrent writers that retry, and a subscriber that resumes.

Nothing that was acknowledged is lost, nothing is doubled, the log's numbers have no hole, and what
the subscriber saw is what is stored. `make crash` runs 100 rounds; the tests run a few.
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
import pyarrow.compute as pc
import pytest

from crash_writers import CANCELLED, Ledger, Watcher, Writer
from tickplant.compose import open_folder
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


def check(folder: Path, ledger: Ledger) -> dict[int, tuple[object, ...]]:
    """See that the folder agrees with the ledger; return every event of trades by its number."""
    opened = open_folder(folder)
    store, registry = opened.history.store, opened.catalog.registry
    events = store.scan("trades", amended=False)
    originals = events.filter(pc.equal(events["ref_seq"], 0))
    check_names("trades", originals["id"].to_pylist(), ledger)
    check_names("quotes", store.scan("quotes")["bid_price"].to_pylist(), ledger)
    numbers = [store.scan(t, columns=["seq"], amended=False)["seq"].to_numpy() for t in TABLES]
    seqs = np.sort(np.concatenate(numbers))
    assert (seqs == np.arange(1, len(seqs) + 1)).all(), "the log's numbers have a hole or a double"
    for seq, states in ledger.states.items():
        now = store.find_trade(seq).to_pylist()
        state = now[0]["price"] if now else CANCELLED
        assert state in states, f"the trade {seq} is {state}, which is none of {states}"
    names = [registry.number(number).symbol for number in events["instrument"].to_pylist()]
    columns = (names, events["id"].to_pylist(), events["price"].to_pylist())
    store.close()
    return dict(zip(events["seq"].to_pylist(), zip(*columns, strict=True), strict=True))


def check_names(table: str, stored: list[object], ledger: Ledger) -> None:
    assert len(stored) == len(set(stored)), f"{table}: a row is stored twice"
    lost = ledger.acknowledged[table] - set(stored)
    assert not lost, f"{len(lost)} acknowledged {table} are lost, {list(lost)[:5]} among them"
    assert set(stored) <= ledger.sent[table]


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_nothing_acknowledged_is_lost_or_doubled(tmp_path: Path, crash_rounds: int) -> None:
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    moments = random.Random(seed)
    folder, port, ledger = tmp_path / "data", free_port(), Ledger()
    url = f"http://127.0.0.1:{port}"
    writers = [Writer(number, url, ledger, seed) for number in range(WRITERS)]
    watcher = Watcher(url, ledger)
    restarts_s = []
    process = start(folder, port)
    try:
        wait_ready(url, process, folder)
        watcher.start()
        assert watcher.subscribed.wait(START_S_MAX), "the watcher was never subscribed"
        for writer in writers:
            writer.start()
        for _ in range(crash_rounds):
            time.sleep(moments.expovariate(1 / 0.4))  # the random moment is the test's subject
            process.send_signal(signal.SIGKILL)
            process.wait()
            check(folder, ledger)
            began = time.monotonic()
            process = start(folder, port)
            wait_ready(url, process, folder)
            restarts_s.append(time.monotonic() - began)
        for writer in writers:
            writer.stopping.set()
        for writer in writers:
            writer.join(30)
        events = check(folder, ledger)
        deadline = time.monotonic() + START_S_MAX
        while len(watcher.seen) < len(events) and time.monotonic() < deadline:
            time.sleep(0.05)
    finally:
        for writer in writers:
            writer.stopping.set()
        watcher.stream.close()
        process.kill()
        process.wait()
    events = check(folder, ledger)
    assert not ledger.faults, ledger.faults[:3]
    missed = sorted(events.keys() - watcher.seen.keys())
    assert not missed, f"the subscriber missed {len(missed)} events, {missed[:5]} among them"
    assert watcher.seen == events
    assert watcher.doubled == 0
    acknowledged = sum(map(len, ledger.acknowledged.values()))
    assert acknowledged > 10 * crash_rounds
    print(
        f"{crash_rounds} kills, {acknowledged} rows and {ledger.amended} amendments acknowledged, "
        f"{len(events)} events of trades stored and streamed over {watcher.reconnects} "
        f"connections, {watcher.taken_back} more taken back; "
        f"longest restart {max(restarts_s):.2f} s, process start to /ready"
    )
