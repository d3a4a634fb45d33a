"""A server with clients behind it: what B5 and B6 have in common.

    publisher (this process) ──► server (a process) ──► clients (a process)

The plant takes events over `WS /v1/ingest`, checks and stores them durably and sends them to its
subscribers; the peers take ready-made messages and send them on. Events are due at fixed times
(open loop) and carry the moment at which they were sent as their size.
"""

from __future__ import annotations

import json
import os
import pickle
import select
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from bench.fanout_clients import Client, Order, Report, connect, masked
from bench.served import TIMEOUT_S, free_port, serving, settle
from bench.ticks import START, symbols
from tickplant.gateway.stream.fanout import PREPARE_AFTER_ROWS
from tickplant.model.times import format_time

ROOT = Path(__file__).parent.parent
SETTLE_S = 0.3


TOLD_ROWS = 1_000
WARM_UP_ROWS = PREPARE_AFTER_ROWS + 20_000


@dataclass(frozen=True)
class Load:
    """What is published: `batches` of `rows` events of `instruments`, one batch each `every_s`."""

    batches: int
    rows: int
    every_s: float
    instruments: int
    table: str = "trades"

    @property
    def events(self) -> int:
        return self.batches * self.rows

    def numbers(self, batch: int) -> list[int]:
        """Return which instruments a batch has, in turn."""
        first = batch * self.rows
        return [(first + row) % self.instruments for row in range(self.rows)]


@dataclass
class Measured:
    """What came of one run."""

    report: Report
    server_cpu_s: float
    rss_mb: float
    server_rss_before_mb: float

    @property
    def events(self) -> int:
        return sum(self.report.events)


class Target:
    """A server to publish to and to connect clients to."""

    speaks = False
    """Whether clients have to say what they want."""

    def __init__(self, pid: int, port: int, path: str) -> None:
        self.pid = pid
        self.port = port
        self.path = path

    def begin(self) -> None:
        """Be ready to publish."""

    def publish(self, load: Load, batch: int) -> None:
        """Publish one batch."""
        raise NotImplementedError

    def drain(self) -> None:
        """Take what the server answers to its publisher."""

    def finish(self, load: Load) -> None:
        """Check that the server took everything."""


class PlantTarget(Target):
    """A served plant, published to over its ingest socket."""

    speaks = True

    def __init__(self, pid: int, port: int) -> None:
        super().__init__(pid, port, "/v1/stream")
        self._buffer = bytearray(1 << 16)
        self._names = symbols(100_000)
        self._seq = self._accepted = 0

    def begin(self) -> None:
        self._sock = connect(self.port, "/v1/ingest")
        self._sock.settimeout(TIMEOUT_S)
        self._reader = Client(self._sock, checks=True, rate=None)
        self._accepted = 0

    def know(self, instruments: int) -> None:
        """Let the plant know every instrument, so that it can be subscribed to."""
        self._tell([{"symbol": name, "price": 1.0} for name in self._names[:instruments]], 1)

    def warm_up(self, instruments: int) -> None:
        """Publish while somebody listens, until the plant has loaded what pays for much."""
        listener = connect(self.port, "/v1/stream")
        names = self._names[:instruments] * -(-TOLD_ROWS // instruments)
        rows = [{"symbol": name, "price": 1.0} for name in names[:TOLD_ROWS]]
        self._tell(rows, -(-WARM_UP_ROWS // TOLD_ROWS))
        settle(self.pid)
        listener.close()

    def _tell(self, rows: list[dict[str, Any]], times: int) -> None:
        self.begin()
        wanted = len(rows) * times
        for _ in range(times):
            for first in range(0, len(rows), TOLD_ROWS):
                self._seq += 1
                self._send("trades", rows[first : first + TOLD_ROWS])
                self.drain()
        while self._accepted < wanted:
            self._hear()
        self._sock.close()

    def _send(self, table: str, rows: list[dict[str, Any]]) -> None:
        message = {"op": "rows", "seq": self._seq, "table": table, "rows": rows}
        self._sock.sendall(masked(msgspec.json.encode(message)))

    def _hear(self) -> None:
        size = self._sock.recv_into(self._buffer)
        if not size:
            raise AssertionError("the plant closed the ingest socket")
        self._reader.take(self._buffer, size, self._take)

    def _take(self, _: Client, body: bytes) -> None:
        answer = json.loads(body)
        if answer["op"] == "error" or answer.get("rejected"):
            raise AssertionError(f"not all was taken: {answer}")
        self._accepted += answer.get("accepted", 0)

    def publish(self, load: Load, batch: int) -> None:
        self._seq += 1
        names, first = self._names, batch * load.rows
        now = time.time()
        if load.table == "trades":
            rows = [
                {"symbol": names[number], "price": first + row + 1.0, "size": now}
                for row, number in enumerate(load.numbers(batch))
            ]
        else:
            rows = [
                {"symbol": names[number], "bid_price": first + row + 1.0, "bid_size": now}
                for row, number in enumerate(load.numbers(batch))
            ]
        self._send(load.table, rows)

    def drain(self) -> None:
        while select.select([self._sock], [], [], 0)[0]:
            self._hear()

    def finish(self, load: Load) -> None:
        while self._accepted < load.events:
            self._hear()
        self._sock.close()


class PeerTarget(Target):
    """A peer, handed messages that look like the plant's."""

    def __init__(self, pid: int, port: int, source: socket.socket) -> None:
        super().__init__(pid, port, "/")
        self._source = source
        self._names = symbols(100_000)

    def publish(self, load: Load, batch: int) -> None:
        first, now = batch * load.rows, time.time()
        ts = format_time(START + first)
        events = [
            {
                "symbol": self._names[number],
                "venue": "ORIGIN",
                "ts_event": ts,
                "ts_recv": ts,
                "seq": first + row + 1,
                "price": first + row + 1.0,
                "size": now,
                "side": None,
                "id": None,
                "conditions": None,
                "exchange": None,
                "flags": [],
            }
            for row, number in enumerate(load.numbers(batch))
        ]
        message = msgspec.json.encode({"op": "data", "channel": load.table, "events": events})
        self._source.sendall(struct.pack(">I", len(message)) + message)


@contextmanager
def plant(instruments: int, *options: str) -> Iterator[Target]:
    """Yield a served plant that knows its instruments."""
    with serving(*options) as (_, port, _folder):
        target = PlantTarget(_pid_of(port), port)
        target.know(instruments)
        target.warm_up(instruments)
        yield target


def _pid_of(port: int) -> int:
    """Return the process that listens on a port of this machine."""
    inodes = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[3] == "0A" and int(fields[1].partition(":")[2], 16) == port:
            inodes.add(f"socket:[{fields[9]}]")
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            links = {os.readlink(link) for link in (folder / "fd").iterdir()}
        except OSError:
            continue
        if links & inodes:
            return int(folder.name)
    raise RuntimeError(f"nobody listens on port {port}")


@contextmanager
def peer(kind: str) -> Iterator[Target]:
    """Yield a peer of this kind."""
    port, source_port = free_port(), free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.fanout_peers", kind, str(port), str(source_port)], cwd=ROOT
    )
    try:
        source = _connect(source_port, process)
        _connect(port, process).close()
        yield PeerTarget(process.pid, port, source)
    finally:
        process.kill()
        process.wait()


def _connect(port: int, process: subprocess.Popen[bytes]) -> socket.socket:
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S)
        except OSError:
            time.sleep(0.02)
    raise RuntimeError(f"nothing listens on port {port}")


def run_load(target: Target, order: Order, load: Load) -> Measured:
    """Open the clients, publish on time, and wait until the clients have it all."""
    clients = subprocess.Popen(
        [sys.executable, "-m", "bench.fanout_clients"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
    )
    assert clients.stdin is not None
    assert clients.stdout is not None
    try:
        clients.stdin.write(pickle.dumps(order))
        clients.stdin.flush()
        if clients.stdout.readline() != b"ready\n":
            raise RuntimeError("the clients did not come up")
        before_mb = rss_mb(target.pid)
        clients.stdin.write(b"go\n")
        clients.stdin.flush()
        time.sleep(SETTLE_S)
        target.begin()
        cpu_s = cpu_of(target.pid)
        most_mb = _publish(target, load)
        if clients.stdout.readline() != b"read\n":
            raise RuntimeError("the clients failed")
        cpu_s = cpu_of(target.pid) - cpu_s
        most_mb = max(most_mb, rss_mb(target.pid))
        target.finish(load)
        report = Report(**_numbered(json.loads(clients.stdout.readline())))
    finally:
        clients.kill()
        clients.wait()
    return Measured(report, cpu_s, most_mb, before_mb)


def _numbered(tree: dict[str, Any]) -> dict[str, Any]:
    for name in ("said", "closed", "dropped", "counted", "last"):
        tree[name] = {int(number): value for number, value in tree[name].items()}
    return tree


def _publish(target: Target, load: Load) -> float:
    """Publish each batch when it is due; return the most memory seen, MB."""
    begun = time.perf_counter()
    most_mb = 0.0
    for batch in range(load.batches):
        wait = begun + batch * load.every_s - time.perf_counter()
        if wait > 0:
            time.sleep(wait)
        target.publish(load, batch)
        target.drain()
        if batch % 100 == 0:
            most_mb = max(most_mb, rss_mb(target.pid))
    return most_mb


def cpu_of(pid: int) -> float:
    """Return the processor time that a process has used, s; its threads to the nanosecond."""
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9


def rss_mb(pid: int) -> float:
    """Return the memory of a process that is its own, MB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("no RssAnon")


def percentile(values: Sequence[float], share: float) -> float:
    """Return a percentile of values, which need not be sorted."""
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)] if ordered else float("nan")
