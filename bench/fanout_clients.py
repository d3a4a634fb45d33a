"""Clients of a fan-out, many in one process: they count every event, and some check each.

    python -m bench.fanout_clients < order

Standard input is a pickle of an `Order`. The process opens the connections, subscribes, prints
`ready`, waits for a line on the same input, and then reads until every healthy client has what is
expected or the time is up: `read`. Then the slow ones read what is left for them, and it prints one
JSON line: a `Report`.

An event is counted by its opening brace. Frames hold no braces but those of the events, of the
message that carries them (one a frame), and none in a text, so events = braces - frames.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import os
import pickle
import selectors
import socket
import struct
import sys
import time
from dataclasses import dataclass, field
from typing import BinaryIO

BRACE = b"{"
CHUNK = 1 << 20
SLOW_RECEIVE_BYTES = 16 * 1024
SETTLE_S_MAX = 20.0


@dataclass
class Order:
    """What to open and to expect. `wishes` are messages to send first, one list a client."""

    port: int
    path: str
    wishes: list[list[bytes]]
    expected: list[int]
    seconds_max: float
    slow: dict[int, float] = field(default_factory=dict)
    """Bytes a second that a client reads; 0 reads nothing."""
    check_every: int = 50
    """One client in so many reads every field of every event, as the slow ones do."""


@dataclass
class Report:
    """What came. `events` and `frames` by client; `delays_s` of the clients that check."""

    events: list[int]
    frames: list[int]
    seconds: float
    cpu_s: float
    bytes: int
    checked: int
    faults: list[str]
    delays_s: list[float]
    said: dict[int, list[dict[str, object]]]
    """Messages other than data that a slow or checking client got."""
    closed: dict[int, int]
    dropped: dict[int, int]
    """Events that a slow client was told were left out."""
    counted: dict[int, int]
    """Events that a slow client got in whole messages."""
    last: dict[int, int]
    """The number of the last of them."""


class Client:
    """One connection: the state of its frame parser and what it has counted."""

    __slots__ = (
        "bytes", "carry", "checks", "close", "events", "frames", "head", "kept", "left", "opcode",
        "rate", "said", "seen", "sock",
    )  # fmt: skip

    def __init__(self, sock: socket.socket, *, checks: bool, rate: float | None) -> None:
        self.sock = sock
        self.checks = checks
        self.rate = rate
        self.events = self.frames = self.left = self.bytes = 0
        self.carry = b""
        self.opcode = 1
        self.kept: list[bytes] = []
        self.said: list[dict[str, object]] = []
        self.seen: list[tuple[int, float]] = []
        self.close = 0

    def take(self, data: bytearray, size: int, on_message: object) -> None:
        """Count what is in the first `size` bytes."""
        at = 0
        while at < size or (self.left == 0 and self.carry and at < size):
            if self.left == 0:
                at = self._open(data, at, size)
                if self.left == 0:
                    if self.carry:
                        return
                    continue
            end = min(at + self.left, size)
            if self.opcode == 1:
                self.events += data.count(BRACE, at, end)
                if self.checks:
                    self.kept.append(bytes(memoryview(data)[at:end]))
            else:
                self.kept.append(bytes(memoryview(data)[at:end]))
            self.left -= end - at
            at = end
            if self.left == 0:
                self._end(on_message)

    def _open(self, data: bytearray, at: int, size: int) -> int:
        """Read the header of a frame, of which the last read may have left a part."""
        had = len(self.carry)
        head = self.carry + bytes(memoryview(data)[at : min(at + 10 - had, size)])
        needed = 2
        if len(head) >= 2:
            short = head[1] & 127
            needed = 4 if short == 126 else 10 if short == 127 else 2
        if len(head) < needed:
            self.carry = head
            return size
        self.carry = b""
        self.opcode = head[0] & 15
        if needed == 2:
            self.left = head[1]
        elif needed == 4:
            self.left = struct.unpack_from(">H", head, 2)[0]
        else:
            self.left = struct.unpack_from(">Q", head, 2)[0]
        if self.opcode == 1:
            self.frames += 1
        return at + needed - had

    def _end(self, on_message: object) -> None:
        if self.opcode == 8:
            body = b"".join(self.kept)
            self.kept.clear()
            self.close = struct.unpack(">H", body[:2])[0] if len(body) > 1 else 1005
        elif self.opcode == 9:
            body = b"".join(self.kept)
            self.kept.clear()
            self.sock.send(masked(body, 10))
        elif self.checks:
            body = b"".join(self.kept)
            self.kept.clear()
            on_message(self, body)  # type: ignore[operator]


def masked(body: bytes, opcode: int = 1) -> bytes:
    """A client's frame; the mask is zero, which leaves the body as it is."""
    size = len(body)
    if size < 126:
        head = struct.pack(">BB", 0x80 | opcode, 0x80 | size)
    elif size < 65_536:
        head = struct.pack(">BBH", 0x80 | opcode, 0xFE, size)
    else:
        head = struct.pack(">BBQ", 0x80 | opcode, 0xFF, size)
    return head + bytes(4) + body


def connect(port: int, path: str, receive_bytes: int = 0) -> socket.socket:
    """Open a WebSocket without extensions."""
    sock = socket.socket()
    if receive_bytes:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    sock.settimeout(20)
    sock.connect(("127.0.0.1", port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    key = base64.b64encode(os.urandom(16)).decode()
    head = (
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\n"
        f"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n"
    )
    sock.sendall(head.encode())
    answer = b""
    while b"\r\n\r\n" not in answer:
        got = sock.recv(1)
        if not got:
            raise ConnectionError(f"the server closed during the handshake: {answer!r}")
        answer += got
    if not answer.startswith(b"HTTP/1.1 101"):
        raise ConnectionError(f"no WebSocket: {answer[:200]!r}")
    return sock


class Run:
    """All clients of one process."""

    def __init__(self, order: Order) -> None:
        self.order = order
        self.faults: list[str] = []
        self.delays_s: list[float] = []
        self.checked = 0
        self.last: dict[Client, int] = {}
        self.dropped: dict[Client, int] = {}
        self.counted: dict[Client, int] = {}
        self.clients: list[Client] = []
        self.paused: list[tuple[float, Client]] = []
        self.selector = selectors.EpollSelector()
        self.buffer = bytearray(CHUNK)

    def open(self) -> None:
        """Open every connection and wait for the answers to its wishes."""
        for number, wishes in enumerate(self.order.wishes):
            rate = self.order.slow.get(number)
            slow = rate is not None
            sock = connect(self.order.port, self.order.path, SLOW_RECEIVE_BYTES if slow else 0)
            for wish in wishes:
                sock.sendall(masked(wish))
            sock.setblocking(False)
            checks = slow or number % self.order.check_every == 0
            client = Client(sock, checks=checks, rate=rate)
            self.clients.append(client)
            self.selector.register(sock, selectors.EVENT_READ, client)
            self.sweep(0.0)  # pings are answered meanwhile
        while any(c.frames < len(w) for c, w in zip(self.clients, self.order.wishes, strict=True)):
            self.sweep(0.1)
        for client in self.clients:
            client.events = client.frames = 0
            if client.rate is not None:
                self.selector.unregister(client.sock)

    def sweep(self, wait_s: float) -> None:
        """Read once from whoever has something to read."""
        for key, _ in self.selector.select(wait_s):
            self.read(key.data)

    def hear(self, client: Client, body: bytes) -> None:
        """Check one message whole."""
        message = json.loads(body)
        if message.get("op") != "data":
            client.said.append(message)
            if message.get("op") == "slow":
                self.dropped[client] = self.dropped.get(client, 0) + message["dropped"]
            return
        now = time.time()
        for event in message["events"]:
            seq = event["seq"]
            if seq <= self.last.get(client, 0):
                self.faults.append(f"{seq} comes after {self.last[client]}")
            self.last[client] = seq
            self.checked += 1
            if client.rate is None:
                # The size is the moment at which the event was sent, s.
                self.delays_s.append(now - event["size" if "size" in event else "bid_size"])
            else:
                self.counted[client] = self.counted.get(client, 0) + 1

    def read(self, client: Client, most: int = CHUNK) -> bool:
        """Read once; return whether the connection goes on."""
        try:
            size = client.sock.recv_into(self.buffer, most)
        except BlockingIOError:
            return True
        except ConnectionError:
            size = 0
        if not size:
            if client.sock in self.selector.get_map():
                self.selector.unregister(client.sock)
            client.close = client.close or 1006
            return False
        client.bytes += size
        client.take(self.buffer, size, self.hear)
        return True

    def done(self) -> bool:
        return all(
            client.close or client.events - client.frames >= expected
            for client, expected in zip(self.clients, self.order.expected, strict=True)
            if client.rate is None
        )

    def drive(self) -> float:
        begun = time.perf_counter()
        until = begun + self.order.seconds_max
        due = {client: begun for client in self.clients if client.rate}
        look = begun
        while time.perf_counter() < until:
            self.sweep(0.02)
            now = time.perf_counter()
            for client, at in list(due.items()):
                if at <= now:
                    # At most a twentieth of a second's share at once.
                    share = max(int(client.rate / 20), 256)  # type: ignore[operator]
                    due[client] = at + share / client.rate  # type: ignore[operator]
                    if not self.read(client, share):
                        del due[client]
            if now - look > 0.05:
                look = now
                if self.done():
                    break
        return time.perf_counter() - begun

    def settle(self) -> None:
        """Let the slow ones read on without a limit, until all events are accounted for."""
        until = time.perf_counter() + SETTLE_S_MAX
        slow = [n for n, client in enumerate(self.clients) if client.rate is not None]
        while slow and time.perf_counter() < until:
            before = sum(self.clients[n].bytes for n in slow)
            slow = [n for n in slow if self.read(self.clients[n]) and not self.accounted(n)]
            if sum(self.clients[n].bytes for n in slow) == before:
                time.sleep(0.01)

    def accounted(self, number: int) -> bool:
        client = self.clients[number]
        known = self.counted.get(client, 0) + self.dropped.get(client, 0)
        return known >= self.order.expected[number]

    def report(self, seconds: float, cpu_s: float) -> Report:
        slow = {n for n, client in enumerate(self.clients) if client.rate is not None}
        return Report(
            events=[client.events - client.frames for client in self.clients],
            frames=[client.frames for client in self.clients],
            seconds=seconds,
            cpu_s=cpu_s,
            bytes=sum(client.bytes for client in self.clients),
            checked=self.checked,
            faults=self.faults[:20],
            delays_s=self.delays_s,
            said={n: c.said for n, c in enumerate(self.clients) if c.checks and n in slow},
            closed={n: c.close for n, c in enumerate(self.clients) if c.close},
            dropped={n: self.dropped.get(self.clients[n], 0) for n in slow},
            counted={n: self.counted.get(self.clients[n], 0) for n in slow},
            last={n: self.last.get(self.clients[n], 0) for n in slow},
        )


def main(given: BinaryIO) -> None:
    run = Run(pickle.load(given))
    run.open()
    print("ready", flush=True)
    given.readline()
    cpu_s = time.process_time()
    seconds = run.drive()
    cpu_s = time.process_time() - cpu_s
    print("read", flush=True)
    run.settle()
    print(json.dumps(dataclasses.asdict(run.report(seconds, cpu_s))), flush=True)


if __name__ == "__main__":
    main(sys.stdin.buffer)
