"""A small plant around the real hub, history and registry, over a store that is a list."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import uvicorn
from starlette.applications import Starlette

from tickplant.candles.conditions import EVERY_TRADE
from tickplant.candles.grid import Grid
from tickplant.config import Settings, StreamSettings
from tickplant.gateway.http import HttpProtocol
from tickplant.gateway.stream.routes import Streams, stream_route
from tickplant.gateway.stream.server import protocol_of
from tickplant.model.events import QUOTES, SCHEMAS, TRADES, Flag
from tickplant.model.instruments import Registry
from tickplant.observe.metrics import Metrics
from tickplant.plant.coverage_reader import read_book
from tickplant.plant.history import History
from tickplant.plant.hub import Hub
from tickplant.plant.live import LiveCandles, Watched
from tickplant.plant.published import CandleKey, Published
from tickplant.plant.served import ServedCandles
from tickplant.plant.serving import Served as Kinds
from tickplant.store.contract import NOW, AsOf

BASE = 1_700_000_000_000_000_000
NOW_NS = BASE + 10**15


class ListStore:
    """Rows as logged, per table; every read is a filter and a sort over all of them."""

    def __init__(self) -> None:
        self._parts: dict[str, list[pa.RecordBatch]] = {name: [] for name in SCHEMAS}
        self.scans = 0

    def append(self, table: str, rows: pa.RecordBatch, keys: object = None) -> None:
        self._parts[table].append(rows)

    def table(self, name: str) -> pa.Table:
        return pa.Table.from_batches(list(self._parts[name]), schema=SCHEMAS[name])

    def scan_seq(
        self,
        table: str,
        after_seq: int,
        upto_seq: int,
        *,
        limit: int,
        instruments: Sequence[int] | None = None,
        start: int | None = None,
    ) -> pa.Table:
        self.scans += 1
        wanted = [
            part
            for part in list(self._parts[table])
            if part["seq"][-1].as_py() > after_seq and part["seq"][0].as_py() <= upto_seq
        ]
        taken: list[pa.RecordBatch] = []
        rows = 0
        for part in wanted:
            seq = part["seq"].to_numpy()
            mask = (seq > after_seq) & (seq <= upto_seq)
            if instruments is not None:
                mask &= np.isin(part["instrument"].to_numpy(), list(instruments))
            if start is not None:
                mask &= part["ts_event"].to_numpy() >= start
            taken.append(part.filter(pa.array(mask)))
            rows += taken[-1].num_rows
            if rows >= limit:
                break
        return pa.Table.from_batches(taken, schema=SCHEMAS[table]).slice(0, limit)

    def scan(
        self,
        table: str,
        instrument: int | None = None,
        *,
        start: int | None = None,
        end: int | None = None,
        columns: Sequence[str] | None = None,
        as_of: AsOf = NOW,
        after: object = None,
        descending: bool = False,
        limit: int | None = None,
        amended: bool = True,
    ) -> pa.Table:
        rows = self.table(table)
        if instrument is not None:
            rows = rows.filter(pc.equal(rows["instrument"], instrument))
        if as_of.seq_max is not None:
            rows = rows.filter(pc.less_equal(rows["seq"], as_of.seq_max))
        if start is not None:
            rows = rows.filter(pc.greater_equal(rows["ts_event"], start))
        if end is not None:
            rows = rows.filter(pc.less(rows["ts_event"], end))
        way = "descending" if descending else "ascending"
        rows = rows.sort_by([("ts_event", way), ("seq", way)])
        rows = rows if limit is None else rows.slice(0, limit)
        return rows if columns is None else rows.select(list(columns))

    def amendment_seqs(self, *_: object) -> tuple[np.ndarray, np.ndarray]:
        empty = np.empty(0, dtype=np.int64)
        return empty, empty

    def span(self, table: str, instrument: int | None = None) -> tuple[int, int] | None:
        ts = self.scan(table, instrument)["ts_event"]
        return (ts[0].as_py(), ts[-1].as_py()) if len(ts) else None


class FakePlant:
    """Numbers rows, keeps them, publishes them: state first, then publish, as the plant does."""

    def __init__(
        self,
        *,
        run: int = 1,
        bases: dict[int, int] | None = None,
        store: ListStore | None = None,
        seq: int = 0,
        **stream: Any,
    ) -> None:
        self.settings = Settings(stream=StreamSettings(**stream))
        self.registry = Registry()
        self.metrics = Metrics()
        for symbol, venue in (("EURUSD", "SYNTH"), ("BTC-USDT", "SYNTH"), ("BTC-USDT", "BINANCE")):
            self.registry.add(symbol, venue)
        self.store = store or ListStore()
        self.hub = Hub(self.settings.stream.ring_rows, seq=seq)
        self.history = History(self.store, self.registry, lambda: self.seq_last)
        self.clock: Callable[[], int] = lambda: NOW_NS
        self.run = run
        self.state = "running"
        self.ready = (True, "accepting")
        self.load_level = "healthy"
        self.bases = {1: 0} if bases is None else bases
        self.seq_last = seq
        self.book = read_book(self.store, seq)
        served = ServedCandles(self.store, Kinds(), EVERY_TRADE)
        self.candles = LiveCandles(self.store, self.book, EVERY_TRADE, served)
        self.watches: list[tuple[Grid, str]] = []
        self._lock = threading.RLock()

    def readiness(self) -> tuple[bool, str]:
        return self.ready

    def run_base(self, run: int) -> int | None:
        return self.bases.get(run)

    def watch_candles(self, grid: Grid, basis: str) -> None:
        with self._lock:
            self.candles.watch(Watched(grid, basis))
            self.watches.append((grid, basis))

    def unwatch_candles(self, grid: Grid, basis: str) -> None:
        with self._lock:
            self.candles.unwatch(Watched(grid, basis))
            self.watches.remove((grid, basis))

    def trade(self, *prices: float, instrument: int = 1, ts: int | None = None) -> list[int]:
        return self.publish(TRADES, [instrument] * len(prices), ts=ts, price=list(prices))

    def quote(self, *bids: float, instrument: int = 1, ts: int | None = None) -> list[int]:
        return self.publish(
            QUOTES,
            [instrument] * len(bids),
            ts=ts,
            bid_price=list(bids),
            ask_price=[bid + 1 for bid in bids],
        )

    def publish(
        self, table: str, instruments: list[int], *, ts: int | None = None, **columns: list[Any]
    ) -> list[int]:
        """Accept rows of one table; event times rise by a second a number unless `ts` is given."""
        with self._lock:
            seqs = list(range(self.seq_last + 1, self.seq_last + 1 + len(instruments)))
            times = [BASE + seq * 10**9 if ts is None else ts for seq in seqs]
            rows = make_rows(table, instruments, seqs, times, **columns)
            self.store.append(table, rows)
            self.seq_last = seqs[-1]
            self.book.note(0, rows["instrument"].to_numpy(), rows["ts_event"].to_numpy())
            updates = self.candles.apply(table, rows)
            self.hub.publish(Published.of_rows(table, rows))
            for what, bars in updates:
                key = CandleKey.of(what.grid, what.basis)
                self.hub.publish(Published.of_candles(key, bars, seqs[-1]))
            return seqs


def make_rows(
    table: str, instruments: list[int], seqs: list[int], times: list[int], **columns: list[Any]
) -> pa.RecordBatch:
    n = len(seqs)
    filled: dict[str, Any] = {
        "instrument": instruments,
        "ts_event": times,
        "seq": seqs,
        "ts_recv": times,
        "feed": [0] * n,
        "flags": [int(Flag.SYNTHETIC)] * n,
        "side": [0] * n,
        "ref_seq": [0] * n,
        **columns,
    }
    schema = SCHEMAS[table]
    arrays = [pa.array(filled.get(f.name, [None] * n), f.type) for f in schema]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def make_app(plant: Any, *, stall_s: float = 30.0) -> Starlette:
    app = Starlette(routes=[stream_route()])
    app.state.plant = plant
    app.state.streams = Streams(plant, stall_s=stall_s, look_every_s=0.01)
    return app


def listen(port: int = 0) -> socket.socket:
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("127.0.0.1", port))
    sock.listen(128)
    return sock


class _Server(uvicorn.Server):
    """Tells when it serves, and leaves the process's signals alone."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.serving = threading.Event()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.serving.set()


class Served:
    """An application behind a real server in a thread; `stop` ends it as a signal does."""

    def __init__(
        self,
        app: Starlette,
        port: int = 0,
        *,
        frame_bytes: int = 8 << 20,
        message_bytes: int = 16 << 20,
    ) -> None:
        self.app = app
        self._socket = listen(port)
        self.port: int = self._socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.ws = f"ws://127.0.0.1:{self.port}/v1/stream"
        config = uvicorn.Config(
            app,
            http=HttpProtocol,
            ws=protocol_of({"/v1/ingest": frame_bytes}),
            log_level="warning",
            ws_per_message_deflate=False,
            ws_max_size=message_bytes,
            timeout_graceful_shutdown=2,
        )
        self._server = _Server(config)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._server.serving.wait(10)

    def _run(self) -> None:
        asyncio.run(self._server.serve([self._socket]))

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(10)
        self._socket.close()
        assert not self._thread.is_alive()

    def __enter__(self) -> Served:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


@asynccontextmanager
async def serving(app: Starlette) -> AsyncIterator[Served]:
    served = await asyncio.to_thread(Served, app)
    try:
        yield served
    finally:
        await asyncio.to_thread(served.stop)
