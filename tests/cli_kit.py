"""A small stored market, and the command line run in this process or in one of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from plant_kit import NOW, Clock, amend, open_plant, submit
from tickplant.cli import main

SECOND = 1_000_000_000
BASE = NOW - NOW % (3600 * SECOND)
WAIT_S = 20


def make_folder(folder: Path) -> Path:
    """Store trades of two instruments, one corrected and one cancelled, quotes and a bad row."""
    with open_plant(folder, Clock(BASE + 600 * SECOND)) as plant:
        fill(plant)
    return folder


def fill(plant: Any) -> None:
    submit(
        plant,
        symbol=["EURUSD"] * 4 + ["AAPL"] * 2,
        ts_event=[BASE + s * SECOND for s in (0, 30, 61, 125, 10, 70)],
        price=[1.5, 1.25, 1.75, 2.0, 100.0, 101.0],
        size=[10.0, None, 5.0, 1.0, 3.0, 4.0],
        side=[1, 2, 0, 1, 1, 2],
        id=["a", "b", "c", "d", "e", "f"],
        flags=1,
    )
    submit(
        plant, "quotes", symbol=["EURUSD", "EURUSD"], ts_event=[BASE + 5, BASE + 65 * SECOND],
        bid_price=[1.0, 1.25], ask_price=[2.0, None], bid_size=[1.0, 2.0],
    )  # fmt: skip
    submit(plant, symbol=["EURUSD"], price=[-1.0], ts_event=[BASE])
    amend(plant, "EURUSD", 3, {"price": 1.625})
    amend(plant, "AAPL", 6, None)


class Ran:
    """What a command printed and how it ended."""

    def __init__(self, code: int, out: bytes, err: bytes) -> None:
        self.code, self.raw, self.out, self.err = (
            code,
            out,
            out.decode("utf-8", "replace"),
            (err.decode()),
        )

    def json(self) -> Any:
        return json.loads(self.out)

    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]

    def problem(self) -> Any:
        return json.loads(self.err)


def run(capfdbinary: pytest.CaptureFixture[bytes], *argv: str | Path) -> Ran:
    capfdbinary.readouterr()
    code = main([str(one) for one in argv])
    sys.stdout.flush()
    out, err = capfdbinary.readouterr()
    return Ran(code, out, err)


def spawn(*argv: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tickplant", *map(str, argv)],
        capture_output=True, text=True, check=False, timeout=WAIT_S,
    )  # fmt: skip


class Served:
    """A plant in a process of its own."""

    def __init__(self, process: subprocess.Popen[str], first: dict[str, Any]) -> None:
        self.process = process
        self.first = first
        self.url: str = first["url"]

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(WAIT_S)


@contextmanager
def serve(command: str, *argv: str | Path) -> Iterator[Served]:
    with subprocess.Popen(
        [sys.executable, "-m", "tickplant", command, "--port", "0", "--json", *map(str, argv)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONWARNINGS": "error"},
    ) as process:  # fmt: skip
        assert process.stdout is not None
        line = process.stdout.readline()
        try:
            assert line, process.stderr.read() if process.stderr else ""
            yield Served(process, json.loads(line))
        finally:
            process.kill()
