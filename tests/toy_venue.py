"""A venue that is made up, in memory: its protocol, its server with faults, its truth.

Frames are JSON. The server keeps every trade that ever happened, whoever was connected.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx
import pyarrow as pa

from tickplant.feeds.venues.contract import (
    NUMBER,
    BadFrame,
    Confirmed,
    Dial,
    Frame,
    Heartbeat,
    Leaving,
    Limits,
    Listing,
    Outgoing,
    Received,
    Refused,
    Skipped,
    Stream,
    VitalSigns,
)
from tickplant.feeds.venues.transport import ConnectionLost
from tickplant.formats.parsed import incoming_batch

UNDER_WAY_NS = 500
"""A frame comes later than what it tells of."""

URL = "wss://toy.test/stream?token=hidden"
LATENCY_NS = 1_000


class ToyNumbers:
    """Numbers of each stream, which go on from connection to connection."""

    def __init__(self) -> None:
        self.first: dict[Stream, tuple[int, int]] = {}
        self.last: dict[Stream, tuple[int, int]] = {}

    def take(self, stream: Stream, n: int, ts: int) -> list[Skipped]:
        number, before = self.last.get(stream, (n - 1, ts))
        self.first.setdefault(stream, (n, ts))
        if n <= number:
            return []  # late, or known from the connection before
        self.last[stream] = n, ts
        return [] if n == number + 1 else [Skipped((stream,), before, ts, f"{n} is not next")]

    def forget(self, stream: Stream) -> None:
        self.first.pop(stream, None)
        self.last.pop(stream, None)

    def lasts(self) -> dict[Stream, tuple[int, int]]:
        return dict(self.last)

    def take_over(self, lasts: Mapping[Stream, tuple[int, int]]) -> list[Skipped]:
        missing = []
        for stream, (number, before) in lasts.items():
            if stream not in self.first:
                self.first[stream] = self.last[stream] = number, before
            elif self.first[stream][0] > number + 1:
                n, ts = self.first[stream]
                missing.append(Skipped((stream,), before, ts, f"{n} is not next to {number}"))
        return missing


class ToySession:
    def __init__(self) -> None:
        self.numbers = ToyNumbers()

    def dial(self) -> Dial:
        return Dial(URL, {"Authorization": "hidden"})

    def opening(self) -> Sequence[Outgoing]:
        return [Outgoing('{"op":"login","secret":"hidden"}')]

    def subscribe(self, streams: Sequence[Stream]) -> Sequence[Outgoing]:
        return [Outgoing(json.dumps({"op": "sub", "streams": streams}))]

    def unsubscribe(self, streams: Sequence[Stream]) -> Sequence[Outgoing]:
        for stream in streams:
            self.numbers.forget(stream)
        return [Outgoing(json.dumps({"op": "unsub", "streams": streams}))]

    def receive(self, frames: Sequence[Frame]) -> Received:
        rows: dict[str, dict[str, list[Any]]] = {}
        said: list[Any] = []
        bad = []
        for frame in frames:
            try:
                message = json.loads(frame.data)
            except ValueError:
                bad.append(BadFrame("trades", "not_json", "the frame is no JSON", frame.data))
                continue
            self._take(message, rows, said)
        tables = {name: incoming_batch(name, **columns) for name, columns in rows.items()}
        return Received(tables, None, said, bad)

    def _take(self, message: Any, rows: Any, said: list[Any]) -> None:
        streams = tuple(Stream(*s) for s in message.get("streams", ()))
        match message["op"]:
            case "ok":
                said.append(Confirmed(streams))
            case "gone":
                said.append(Confirmed(streams, ends=True))
            case "no":
                said.append(Refused(streams, message["reason"], message.get("passing", False)))
            case "hb":
                said.append(Heartbeat(message["ts"]))
            case "bye":
                said.append(Leaving("maintenance"))
            case "trades" | "quotes" as table:
                n, stream = message.pop("n"), Stream(message["symbol"], table)
                said += self.numbers.take(stream, n, message["ts_event"])
                columns = rows.setdefault(table, {})
                for name, value in message.items():
                    if name != "op":
                        columns.setdefault(name, []).append(value)


@dataclass
class ToyHistory:
    server: ToyServer
    since: int | None = None

    async def trades(
        self, http: Any, symbol: str, start: int, end: int
    ) -> AsyncIterator[pa.RecordBatch]:
        await http.get(f"/trades/{symbol}", {"start": str(start), "end": str(end)})
        found = [t for t in self.server.truth if t["symbol"] == symbol]
        found = [t for t in found if start <= t["ts_event"] < end]
        for at in range(0, len(found), 10):
            piece = found[at : at + 10]
            names = ("symbol", "ts_event", "price", "size", "id")
            rows = incoming_batch("trades", **{n: [t[n] for t in piece] for n in names})
            numbers = [int(t["id"].rpartition("-")[2]) for t in piece]
            yield rows.append_column(NUMBER, pa.array(numbers, pa.int64()))

    def trades_since(self, now: int) -> int | None:
        return self.since


@dataclass
class ToyVenue:
    server: ToyServer
    name: str = "TOY"
    limits: Limits = field(default_factory=Limits)
    vital_signs: VitalSigns = field(default_factory=lambda: VitalSigns(1.0, None, 5.0))
    history: Any = None
    channels: tuple[Any, ...] = ("trades", "quotes", "book")
    book_rule: str = "binance-spot"
    book_source: Any = "http"
    http_url: str | None = "https://toy.test"

    async def listings(self, http: Any) -> Sequence[Listing]:
        await http.get("/listings")
        return [
            Listing(s, s.replace("-", ""), kind="spot", tick_size=0.01)
            for s in ("A-USD", "B-USD", "C-USD", "D-USD")
        ]

    def learn(self, listings: Sequence[Listing]) -> None: ...

    def native(self, symbol: str) -> str:
        return symbol.replace("-", "")

    def session(self, streams: Sequence[Stream]) -> ToySession:
        return ToySession()

    async def book_snapshot(self, http: Any, symbol: str) -> Any:
        raise NotImplementedError


class ToyConnection:
    """Both ends of a connection: the supervisor's methods, and what the server does to it."""

    def __init__(self, server: ToyServer, number: int) -> None:
        self.server, self.number = server, number
        self.streams: set[tuple[str, str]] = set()
        self.deaf: set[tuple[str, str]] = set()  # confirmed, and forgotten by the server
        self.sent: list[Any] = []
        self.stalled = self.closed = self.held = False
        self.close_s = 0.0
        self.answered: int | None = None
        self._inbox: list[Frame] = []
        self._end: ConnectionLost | None = None
        self._ponged = False
        self._news = asyncio.Event()

    async def receive(self) -> list[Frame]:
        while self.held or not (self._inbox or self._ponged or self._end):
            self._news.clear()
            await self._news.wait()
        if self._end is not None and not self._inbox:
            raise self._end
        self._ponged = False
        frames, self._inbox = self._inbox, []
        return frames

    async def send(self, frame: Outgoing) -> None:
        if self._end is not None:
            raise self._end
        message = json.loads(frame.data)
        self.sent.append(message)
        if not self.stalled:
            self.server.take(self, message)

    async def ping(self) -> None:
        if self._end is not None:
            raise self._end
        if not self.stalled and self.server.answers_pings:
            self.answered = self.server.clock()
            self._ponged = True
            self._news.set()

    async def close(self) -> None:
        await asyncio.sleep(self.close_s)
        self.closed = True
        self.server.connections.pop(self.number, None)

    # -- the server's side -------------------------------------------------------------------------

    def push(self, message: Mapping[str, Any]) -> None:
        self.push_text(json.dumps(message))

    def push_text(self, text: str) -> None:
        if self._end is None and not self.stalled:
            self._inbox.append(Frame(self.server.clock() + UNDER_WAY_NS, text.encode()))
            self._news.set()

    def release(self) -> None:
        """Let arrive what was under way for so long."""
        self.held = False
        late = self.server.clock() + UNDER_WAY_NS
        self._inbox = [frame._replace(ts_recv=late) for frame in self._inbox]
        self._news.set()

    def cut(self) -> None:
        self._end = self._end or ConnectionLost("cut by the test")
        self._news.set()
        self.server.connections.pop(self.number, None)


class ToyServer:
    """Serves connections in memory, a `Connector`."""

    def __init__(self, clock: Any) -> None:
        self.clock = clock
        self.connections: dict[int, ToyConnection] = {}
        self.made = 0
        self.attempts: list[int] = []
        self.truth: list[dict[str, Any]] = []
        self.refuse_connects = 0
        self.refuse_streams: dict[tuple[str, str], bool] = {}  # to whether that passes
        self.silent_streams: set[tuple[str, str]] = set()
        self.skips: set[str] = set()
        self.begun: set[tuple[str, str]] = set()
        self.answers_pings = True
        self.heartbeats = True
        self.http_status = 200
        self.requests: list[str] = []
        self._n: dict[tuple[str, str], int] = {}

    async def connect(self, dial: Dial) -> ToyConnection:
        self.attempts.append(self.clock())
        await asyncio.sleep(0.01)
        if self.refuse_connects:
            self.refuse_connects -= 1
            raise ConnectionLost("refused by the test", status=503)
        self.made += 1
        connection = ToyConnection(self, self.made)
        self.connections[self.made] = connection
        return connection

    def take(self, connection: ToyConnection, message: Any) -> None:
        streams = [tuple(s) for s in message.get("streams", ())]
        if message["op"] == "sub":
            good = [s for s in streams if s not in self.refuse_streams]
            good = [s for s in good if s not in self.silent_streams]
            for stream in streams:
                if stream in self.refuse_streams:
                    passing = self.refuse_streams[stream]
                    no = {"op": "no", "streams": [stream], "reason": "no such", "passing": passing}
                    connection.push(no)
            if good:
                connection.streams.update(good)
                connection.deaf.difference_update(good)
                connection.push({"op": "ok", "streams": good})
        elif message["op"] == "unsub":
            connection.streams.difference_update(streams)
            connection.push({"op": "gone", "streams": streams})

    def event(self, table: str, symbol: str, **values: Any) -> None:
        """Let something happen, and send it to whoever listens."""
        key = symbol, table
        n = self._n[key] = self._n.get(key, 0) + 1
        row = {"symbol": symbol, "ts_event": self.clock(), **values}
        if table == "trades":
            row |= {"id": f"{symbol}-{n}"}
            self.truth.append(row)
        for connection in list(self.connections.values()):
            if key in connection.streams - connection.deaf:
                if symbol in self.skips and key in self.begun:
                    continue  # what is left out before anything has come no number can tell
                self.begun.add(key)
                connection.push({"op": table, "n": n, **row})

    def count(self, table: str, symbol: str, n: int) -> None:
        """Let the next event of a stream have the number behind `n`."""
        self._n[symbol, table] = n

    def skip(self, symbol: str) -> None:
        """Let a trade happen that no connection is told of, and one behind it that is."""
        self.skips.add(symbol)
        self.event("trades", symbol, price=1.5, size=1.0, ts_event=self.clock() + 1)
        self.skips.discard(symbol)
        self.event("trades", symbol, price=1.6, size=1.0, ts_event=self.clock() + 2)

    def trade(self, symbol: str, price: float = 1.0) -> None:
        self.event("trades", symbol, price=price, size=1.0)

    def quote(self, symbol: str, bid: float = 1.0) -> None:
        self.event("quotes", symbol, bid_price=bid, ask_price=bid + 0.01)

    def beat(self) -> None:
        for connection in list(self.connections.values()):
            if self.heartbeats:
                connection.push({"op": "hb", "ts": self.clock()})

    async def market(self, symbols: Sequence[str], every_s: float, seconds: float) -> None:
        """Let each symbol trade, with a quote before it, every so often."""
        for tick in range(round(seconds / every_s)):
            await asyncio.sleep(every_s)
            for number, symbol in enumerate(symbols):
                self.quote(symbol, 1.0 + tick / 1000 + number)
                self.trade(symbol, 1.0 + tick / 1000 + number)

    async def beat_always(self) -> None:
        while True:
            await asyncio.sleep(0.5)
            self.beat()

    def client(self, base_url: str) -> httpx.AsyncClient:
        def answer(request: httpx.Request) -> httpx.Response:
            self.requests.append(request.url.path)
            return httpx.Response(self.http_status, json={})

        return httpx.AsyncClient(transport=httpx.MockTransport(answer), base_url=base_url)
