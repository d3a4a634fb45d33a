"""Clients that speak no WebSocket, or too much of it, end alone, and the others notice nothing.

Bytes are written to sockets as they are, so that nothing is put right by a library on our side.
"""

from __future__ import annotations

import base64
import json
import logging
import socket
import struct
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.sync.client import ClientConnection, connect

from stream_fakes import FakePlant, Served, make_app

LIMIT = 64 * 1024
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
SUBSCRIPTIONS_MAX = 200
WISH = {"op": "subscribe", "channel": "trades", "symbols": ["*"]}


@pytest.fixture(scope="module")
def plant() -> FakePlant:
    return FakePlant(ring_rows=200_000, subscriptions_max=SUBSCRIPTIONS_MAX)


@pytest.fixture(scope="module")
def served(plant: FakePlant) -> Iterator[Served]:
    """Serve the stream; a fault that is logged fails the module: none is a client's to cause."""
    faults: list[logging.LogRecord] = []
    noting = logging.Handler(logging.ERROR)
    noting.emit = faults.append  # type: ignore[method-assign]
    loggers = [logging.getLogger(name) for name in ("tickplant", "uvicorn.error", "asyncio")]
    for logger in loggers:
        logger.addHandler(noting)
    with Served(make_app(plant), message_bytes=LIMIT) as made:
        yield made
    for logger in loggers:
        logger.removeHandler(noting)
    assert [record.getMessage() for record in faults] == []


@pytest.fixture(scope="module")
def healthy(served: Served) -> Iterator[ClientConnection]:
    """A client that is there all the time."""
    with connect(served.ws, compression=None) as client:
        client.send(json.dumps(WISH | {"id": "healthy"}))
        assert json.loads(client.recv(10))["op"] == "subscribed"
        yield client


def check_healthy(client: ClientConnection, plant: FakePlant) -> None:
    """Publish an event; the client must get this one, after all those before it."""
    [seq] = plant.trade(1.0)
    last = 0
    while last < seq:
        message = json.loads(client.recv(10))
        last = message["events"][-1]["seq"] if message["op"] == "data" else last


class Raw:
    """A connection that has shaken hands, and writes what it likes."""

    def __init__(self, served: Served) -> None:
        self.sock = socket.create_connection(("127.0.0.1", served.port), timeout=10)
        key = base64.b64encode(bytes(16)).decode()
        self.sock.sendall(handshake(f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13"))
        answer = b""
        while not answer.endswith(b"\r\n\r\n"):
            answer += self.sock.recv(1)
        assert answer.startswith(b"HTTP/1.1 101"), answer

    def __enter__(self) -> Raw:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def write(self, data: bytes) -> None:
        """Write; a server that has had enough may be gone."""
        try:
            self.sock.sendall(data)
        except (ConnectionError, TimeoutError):
            return

    def frames(self) -> Iterator[tuple[int, bytes]]:
        """Yield what the server says, each frame checked, until it ends the connection."""
        while len(head := self._read(2)) == 2:
            assert head[0] & 0xF0 == 0x80, "a server's frames are whole and use no extension"
            size = head[1]
            assert size < 128, "a server does not mask"
            if size > 125:
                size = int.from_bytes(self._read(2 if size == 126 else 8), "big")
            body = self._read(size)
            if len(body) < size:
                return
            yield head[0] & 15, body

    def _read(self, size: int) -> bytes:
        got = b""
        while len(got) < size:
            try:
                more = self.sock.recv(size - len(got))
            except ConnectionError:
                return got
            if not more:
                return got
            got += more
        return got

    def end(self) -> int | None:
        """Say no more; return the code with which the server closes, None for none."""
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError:
            return None
        code = None
        for opcode, body in self.frames():
            if opcode == CLOSE:
                code = struct.unpack(">H", body[:2])[0] if body else 1005
            elif opcode == TEXT:
                json.loads(body)
            else:
                assert opcode in (PING, PONG)
        return code


def handshake(*lines: str, path: str = "/v1/stream") -> bytes:
    common = ("Host: 127.0.0.1", "Upgrade: websocket", "Connection: Upgrade")
    return "\r\n".join((f"GET {path} HTTP/1.1", *common, *lines, "", "")).encode()


def frame(
    body: bytes, opcode: int = TEXT, *, fin: bool = True, rsv: int = 0, mask: bool = True,
    claimed: int | None = None,
) -> bytes:  # fmt: skip
    """A frame as a client writes it, or should not."""
    size = len(body) if claimed is None else claimed
    first = (0x80 if fin else 0) | rsv << 4 | opcode
    bit = 0x80 if mask else 0
    if size < 126:
        head = struct.pack(">BB", first, bit | size)
    elif size < 65_536:
        head = struct.pack(">BBH", first, bit | 126, size)
    else:
        head = struct.pack(">BBQ", first, bit | 127, size)
    return head + (bytes(4) if mask else b"") + body  # a mask of zeros changes nothing


def said(**message: Any) -> bytes:
    return json.dumps(message).encode()


BODIES = st.one_of(
    st.binary(max_size=200),
    st.just(said(op="ping", id=1)),
    st.just(said(**WISH)),
    st.text(max_size=20).map(str.encode),
    st.integers(0, 2**16).map(lambda code: struct.pack(">H", code % 2**16)),
    st.just(b"\xff\xfe" * 70),
)
ANY_FRAME = st.builds(
    frame,
    BODIES,
    st.one_of(st.sampled_from([0, TEXT, BINARY, CLOSE, PING, PONG]), st.integers(0, 15)),
    fin=st.booleans(),
    rsv=st.sampled_from([0, 0, 0, 1, 4, 7]),
    mask=st.sampled_from([True, True, True, False]),
    claimed=st.one_of(st.none(), st.none(), st.sampled_from([0, 1, 126, 2**16, 2**62, 2**63])),
)


@settings(deadline=None, max_examples=60)
@given(frames=st.lists(ANY_FRAME | st.binary(max_size=30), min_size=1, max_size=8))
def test_no_bytes_do_harm(
    frames: list[bytes], plant: FakePlant, served: Served, healthy: ClientConnection
) -> None:
    with Raw(served) as raw:
        raw.write(b"".join(frames))
        code = raw.end()
    # Normal or echoed from the client's own close, else one of the protocol's faults.
    assert code is None or code in {1000, 1002, 1005, 1007, 1009} or 1000 <= code < 5000
    check_healthy(healthy, plant)


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        ([frame(b"{}", mask=False)], 1002),
        ([frame(b"{}", rsv=4)], 1002),
        ([frame(b"{}", 3)], 1002),
        ([frame(b"{}", 0)], 1002),
        ([frame(b"{", fin=False), frame(b"}")], 1002),
        ([frame(b"x" * 126, PING)], 1002),
        ([frame(b"x", PING, fin=False)], 1002),
        ([frame(b"\xff\xfe\xfd")], 1007),
        ([frame(b"x" * (100 * LIMIT))], 1009),
        ([frame(b"", claimed=2**62)], 1009),
        ([frame(b"x" * LIMIT, fin=False), frame(b"x", 0)], 1009),
        ([frame(b"", fin=False), *[frame(b"x" * 1_000, 0, fin=False)] * 70], 1009),
    ],
)
def test_a_breach_of_the_protocol_has_its_code(
    frames: list[bytes], code: int, plant: FakePlant, served: Served, healthy: ClientConnection
) -> None:
    with Raw(served) as raw:
        raw.write(b"".join(frames))
        got = next(
            (struct.unpack(">H", body[:2])[0] for op, body in raw.frames() if op == CLOSE), None
        )
    # A server that closes while more is on its way may reset the connection instead.
    assert got in ((code, None) if sum(map(len, frames)) > LIMIT else (code,))
    check_healthy(healthy, plant)


def test_a_message_in_fragments_is_one_message(served: Served) -> None:
    whole = said(op="ping", id="in pieces")
    pieces = [frame(whole[:1], fin=False), frame(b"?", PING)]
    pieces += [frame(whole[at : at + 1], 0, fin=False) for at in range(1, len(whole))]
    with Raw(served) as raw:
        raw.write(b"".join(pieces) + frame(b"", 0))
        answers = raw.frames()
        assert next(answers) == (PONG, b"?")
        assert json.loads(next(answers)[1])["id"] == "in pieces"


@pytest.mark.parametrize(
    "request_bytes",
    [
        handshake(),
        handshake("Sec-WebSocket-Key: AAAA", "Sec-WebSocket-Version: 13"),
        handshake("Sec-WebSocket-Key: " + "A" * 24, "Sec-WebSocket-Version: 12"),
        handshake(
            "Sec-WebSocket-Key: " + "A" * 22 + "==", "Sec-WebSocket-Version: 13", path="/v1/no"
        ),
        handshake("X: " + "x" * 200_000),
        b"GET /v1/stream HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64),
    ],
    ids=["no key", "short key", "version", "path", "huge", "plain", "tls"],
)
def test_a_bad_handshake_is_refused(
    request_bytes: bytes, plant: FakePlant, served: Served, healthy: ClientConnection
) -> None:
    with socket.create_connection(("127.0.0.1", served.port), timeout=10) as sock:
        answer = b""
        try:
            sock.sendall(request_bytes)
            sock.shutdown(socket.SHUT_WR)
            while more := sock.recv(65_536):
                answer += more
        except ConnectionError:
            pass  # refused while we were still talking
    assert not answer or b"400" <= answer[9:12] < b"500", answer[:100]
    check_healthy(healthy, plant)


def test_thousands_of_subscriptions_are_taken_up_to_the_bound(
    plant: FakePlant, served: Served, healthy: ClientConnection
) -> None:
    wanted = 2_000
    with connect(served.ws, compression=None, max_queue=None) as client:
        for id in range(wanted):
            client.send(json.dumps(WISH | {"id": id}))
        ops = [json.loads(client.recv(10)) for _ in range(wanted)]
        assert [m["op"] for m in ops[:SUBSCRIPTIONS_MAX]] == ["subscribed"] * SUBSCRIPTIONS_MAX
        assert {m.get("code") for m in ops[SUBSCRIPTIONS_MAX:]} == {"too_many_subscriptions"}
        [seq] = plant.trade(1.0)
        got = set()
        while len(got) < SUBSCRIPTIONS_MAX:
            message = json.loads(client.recv(10))
            assert [event["seq"] for event in message["events"]] == [seq]
            got.add(message["id"])
    check_healthy(healthy, plant)


def test_a_client_that_asks_without_end_and_never_reads_is_no_longer_heard(
    plant: FakePlant, served: Served, healthy: ClientConnection
) -> None:
    pings = frame(said(op="ping", id="x" * 60)) * 1_000
    with Raw(served) as raw:
        raw.write(frame(said(**WISH)))
        raw.sock.settimeout(0.2)
        taken = 0
        while taken < 64 << 20:
            plant.publish("trades", [1] * 20, price=[1.0] * 20)
            try:
                taken += raw.sock.send(pings)
            except TimeoutError:
                break
        # Its messages wait in its own kernel and ours, and not in the plant.
        assert taken < 64 << 20
        sessions = served.app.state.streams._sessions
        port = raw.sock.getsockname()[1]
        [session] = [s for s in sessions if s.socket.scope["client"][1] == port]
        assert session._outbox.qsize() <= 64
        assert session._outlet.wire.unread() < 1 << 20
        assert session._outlet.wire.queue.qsize() <= (256 << 10) // (len(pings) // 1_000)
        check_healthy(healthy, plant)
