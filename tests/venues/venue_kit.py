"""Start a fake venue as a process of its own, and talk to it.

    @pytest.fixture(scope="module")
    def process():
        with fake_venue("binance") as venue:
            yield venue

    @pytest.fixture
    def venue(process):
        process.op("reset")
        return process

    venue.op("send", events=[{"kind": "trade", "symbol": "BTC-USDT", "price": "100.5"}])
    await venue.ask("wait_for", subscriptions=3)      # where the feed runs on this event loop

Import as `from venues.venue_kit import …`, from any folder of tests. The ops: venue_controls.py.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parents[1]
ANSWER_S_MAX = 25.0


class VenueOpFailed(AssertionError):
    """A fake venue refused an op, or what was waited for did not come."""


class FakeVenue:
    """A running fake venue: its addresses, and `op` to tell it things. Any thread may."""

    def __init__(self, port: int, control: int) -> None:
        self.port = port
        self.url = f"ws://127.0.0.1:{port}"
        self.http_url = f"http://127.0.0.1:{port}"
        self._control = control
        self._lock = threading.Lock()
        self._socket = socket.create_connection(("127.0.0.1", control), timeout=ANSWER_S_MAX)
        self._lines = self._socket.makefile("rb")

    def op(self, op: str, **fields: Any) -> dict[str, Any]:
        """Do an op; returns once it took effect. Raises `VenueOpFailed`."""
        with self._lock:
            self._socket.sendall(json.dumps({"op": op, **fields}).encode() + b"\n")
            answer: dict[str, Any] = json.loads(self._lines.readline())
        if not answer.pop("ok"):
            raise VenueOpFailed(f"{op}: {answer['error']}")
        return answer

    async def ask(self, op: str, **fields: Any) -> dict[str, Any]:
        """Do an op while the event loop goes on."""
        return await asyncio.to_thread(self.op, op, **fields)

    def send(self, *events: dict[str, Any], **fields: Any) -> None:
        self.op("send", events=list(events), **fields)

    def close(self) -> None:
        self._lines.close()
        self._socket.close()


@contextmanager
def fake_venue(dialect: str) -> Iterator[FakeVenue]:
    """Run a fake venue that speaks `dialect_<dialect>.py`; it ends with the block."""
    process = subprocess.Popen(
        [sys.executable, "-m", "venues.venue_server", dialect],
        cwd=TESTS,
        env={**os.environ, "PYTHONPATH": str(TESTS), "PYTHONWARNINGS": "ignore"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    with process:
        try:
            ports = json.loads(process.stdout.readline() or b"{}")
            assert ports, f"the fake venue {dialect} did not start"
            venue = FakeVenue(ports["port"], ports["control"])
            try:
                yield venue
            finally:
                venue.close()
        finally:
            process.stdin.close()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()


def trade(symbol: str, price: Any, size: Any = 1, **fields: Any) -> dict[str, Any]:
    """A trade for `send`."""
    return {"kind": "trade", "symbol": symbol, "price": str(price), "size": str(size), **fields}


def quote(symbol: str, **fields: Any) -> dict[str, Any]:
    """A quote for `send`; without `bid`, `ask`, … that of the book."""
    return {"kind": "quote", "symbol": symbol, **{k: str(v) for k, v in fields.items()}}


def book(symbol: str, *levels: tuple[str, Any, Any], **fields: Any) -> dict[str, Any]:
    """A change of a book for `send`: levels of (`bid` or `ask`, price, size)."""
    told = [[side, str(price), str(size)] for side, price, size in levels]
    return {"kind": "book", "symbol": symbol, "levels": told, **fields}


def stat(symbol: str, name: str, value: Any, **fields: Any) -> dict[str, Any]:
    """A statistic for `send`."""
    return {"kind": "stat", "symbol": symbol, "name": name, "value": str(value), **fields}
