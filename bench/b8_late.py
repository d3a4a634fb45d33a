"""B8, candles under late data: 5 intervals of 5,000 instruments, 1 % of the ticks late.

The engine: what it costs to keep the bars up, in processor time of one core, against DuckDB that
keeps a table of bars up by upserts (an answer to ClickHouse's materialized views and TimescaleDB's
continuous aggregates, neither of which comes as a package for Python without a server). Bars are
compared with a recompute by DuckDB.

The whole: a served plant takes 300,000 ticks/s over HTTP as Arrow batches, each acknowledged after
`fdatasync`, while 100 queries/s ask for 500 bars, on time whatever becomes of the ones before. They
ask for instruments that have 500 bars of every interval, all of which go on ticking. Plant, load
and queries share the machine, and so does a server that does nothing, which is asked as well: what
it takes is the machine's. Load and queries have real-time priority where that is allowed, lest the
measuring side is what is measured, and say how late they were themselves. Lower rates show where
the line holds. Once more with the queries sent to a reader, a process of its own that follows the
plant's journal. A tick that was acknowledged must be in the next answer; how long that takes is the
staleness. Then every bar of many instruments is compared with a recompute of the stored ticks.
"""

from __future__ import annotations

import pickle
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import msgspec
import numpy as np
import pyarrow as pa

from bench.harness import Comparison, Done, Side, compare
from bench.served import cpu_s, null_sink, pid_of, reading, request, serving
from bench.ticks import START, arrow_body, symbols
from tickplant.candles.conditions import EVERY_TRADE
from tickplant.candles.grid import Grid
from tickplant.candles.interval import parse_interval
from tickplant.compose import open_history
from tickplant.config import CandleSettings, StoreSettings
from tickplant.formats.parsed import incoming_batch
from tickplant.model.events import SCHEMAS, TRADES
from tickplant.model.instruments import Registry
from tickplant.model.times import NS_PER_S
from tickplant.plant.served import ServedCandles
from tickplant.plant.serving import read_served
from tickplant.store.tiered import TieredStore

INTERVALS = ("1s", "1m", "5m", "1h", "1d")
RATE = 300_000
LOWER_RATES = (100_000, 200_000)
QUERIES_S = 100
BARS = 500
LATE_SHARE = 0.01
LATE_S_MAX = 60
BATCH = 3_000
COMPARED = 50
NULL_QUERIES_S = 50
ARROW = "application/vnd.apache.arrow.stream"

Bars = list[tuple[int, float, float, float, float, float, int]]


def ticks(rows: int, instruments: int, *, first: int = 0) -> dict[str, np.ndarray]:
    """Columns of ticks that follow the `first` ones at `RATE`; one in a hundred comes late."""
    random = np.random.default_rng(first + 1)
    ts = START + (first + np.arange(rows, dtype=np.int64)) * NS_PER_S // RATE
    late = random.random(rows) < LATE_SHARE
    ts -= np.where(late, random.integers(0, LATE_S_MAX * NS_PER_S, rows), 0)
    return {
        "number": random.integers(1, instruments + 1, rows).astype(np.int32),
        "ts_event": ts,
        "price": np.round(100 + random.standard_normal(rows).cumsum() * 0.01, 2),
        "size": random.integers(1, 500, rows) / 4,
    }


# -- the engine ------------------------------------------------------------------------------------


def stored_batches(rows: int, instruments: int) -> list[pa.RecordBatch]:
    """Batches as the plant has them, with numbers."""
    batches = []
    for first in range(0, rows, BATCH):
        columns = ticks(BATCH, instruments, first=first)
        columns |= {"instrument": columns.pop("number"), "ts_recv": columns["ts_event"]}
        columns["seq"] = np.arange(first + 1, first + BATCH + 1)
        constant = {"feed": 1, "flags": 0, "side": 0, "ref_seq": 0}
        columns |= {name: np.full(BATCH, value) for name, value in constant.items()}
        arrays = [
            pa.array(columns[f.name], f.type) if f.name in columns else pa.nulls(BATCH, f.type)
            for f in SCHEMAS[TRADES]
        ]
        batches.append(pa.RecordBatch.from_arrays(arrays, schema=SCHEMAS[TRADES]))
    return batches


class Engine:
    """The plant's own, without the plant."""

    def __init__(self, folder: Path, instruments: int) -> None:
        self.served = ServedCandles(
            TieredStore.open(folder, StoreSettings()),
            read_served(CandleSettings(served=",".join(INTERVALS), kept_s=0)),
            EVERY_TRADE,
        )
        self.served.begin(0)
        self.instruments = instruments

    def take(self, batches: Sequence[pa.RecordBatch]) -> None:
        for batch in batches:
            self.served.note(TRADES, batch)
            if self.served.is_due(idle=True):
                self.served.fold()
        self.served.fold()

    def bars(self, interval: str, number: int) -> Bars:
        seen = self.served.read(Grid(parse_interval(interval)), "trade", number)
        assert seen is not None
        bars = seen.states.finish()
        columns = (bars.start, bars.open, bars.high, bars.low, bars.close, bars.volume, bars.count)
        return list(zip(*(column.tolist() for column in columns), strict=True))


class Upserts:
    """DuckDB with a table of bars; each batch is aggregated and merged into it."""

    def __init__(self) -> None:
        import duckdb

        self.connection = duckdb.connect()
        self.connection.execute(
            "create table bars (step bigint, instrument integer, start bigint, open double, "
            "open_at bigint, high double, low double, close double, close_at bigint, "
            "volume double, n bigint, primary key (step, instrument, start))"
        )

    def take(self, batches: Sequence[pa.RecordBatch]) -> None:
        steps = ", ".join(f"({step_of(interval)}::bigint)" for interval in INTERVALS)
        for batch in batches:
            self.connection.register("incoming", batch)
            self.connection.execute(
                "insert into bars select step, instrument, ts_event // step * step as start, "
                "arg_min(price, (ts_event, seq)), min(ts_event), max(price), min(price), "
                "arg_max(price, (ts_event, seq)), max(ts_event), sum(size), count(*) "
                f"from incoming, (values {steps}) as steps(step) group by all "
                "on conflict do update set "
                "open = if(excluded.open_at < open_at, excluded.open, open), "
                "open_at = least(open_at, excluded.open_at), "
                "high = greatest(high, excluded.high), low = least(low, excluded.low), "
                "close = if(excluded.close_at >= close_at, excluded.close, close), "
                "close_at = greatest(close_at, excluded.close_at), "
                "volume = volume + excluded.volume, n = n + excluded.n"
            )
            self.connection.unregister("incoming")

    def bars(self, interval: str, number: int) -> Bars:
        return self.connection.execute(
            "select start, open, high, low, close, volume, n from bars "
            "where step = ? and instrument = ? order by start",
            [step_of(interval), number],
        ).fetchall()


def step_of(interval: str) -> int:
    return parse_interval(interval).step_ns or parse_interval(interval).length_ns_max


class Recompute:
    """Every bar anew from all ticks, by DuckDB."""

    def __init__(self, rows: pa.Table) -> None:
        import duckdb

        self.connection = duckdb.connect()
        self.connection.register("ticks", rows)

    def bars(self, interval: str, number: int) -> Bars:
        step = step_of(interval)
        return self.connection.execute(
            f"select ts_event // {step} * {step} as start, arg_min(price, (ts_event, seq)), "
            "max(price), min(price), arg_max(price, (ts_event, seq)), sum(size), count(*) "
            "from ticks where instrument = ? group by start order by start",
            [number],
        ).fetchall()


def mismatches(one: Engine | Upserts | Answers, other: Recompute, instruments: int) -> int:
    numbers = range(1, instruments + 1, max(instruments // COMPARED, 1))
    asked = [(interval, number) for interval in INTERVALS for number in numbers]
    return sum(one.bars(*query) != other.bars(*query) for query in asked)


def engine(batches: Sequence[pa.RecordBatch], instruments: int, folder: Path) -> Done:
    ours = Engine(folder, instruments)
    return _keep_up(ours, batches, instruments)


def upserts(batches: Sequence[pa.RecordBatch], instruments: int) -> Done:
    return _keep_up(Upserts(), batches, instruments)


def _keep_up(side: Engine | Upserts, batches: Sequence[pa.RecordBatch], instruments: int) -> Done:
    begun, used = time.perf_counter(), time.process_time()
    side.take(batches)
    seconds, used = time.perf_counter() - begun, time.process_time() - used
    wrong = mismatches(side, Recompute(pa.Table.from_batches(batches)), instruments)
    if wrong:
        raise AssertionError(f"{wrong} candles differ from a recompute")
    rows = sum(map(len, batches))
    return Done(rows, max(seconds, used), {"cores at 300,000 ticks/s": used / rows * RATE})


# -- the whole -------------------------------------------------------------------------------------


def whole(seconds: float, instruments: int, rate: int, *, apart: bool = False) -> Done:
    """Run plant, ticks and queries; compare; return the queries with their latencies.

    With `apart` the queries are answered by a reader, and the plant keeps no candles.
    """
    with ExitStack() as stack:
        options = ("--set", "candles.served=none" if apart else "candles.kept_s=0")
        url, port, folder = stack.enter_context(serving(*options))
        _know(url, instruments)
        _remember(url, instruments)
        null_port = stack.enter_context(null_sink())
        pids = [pid_of(folder)]
        read_url, read_port = url, port
        if apart:
            read_url, read_port, pid = stack.enter_context(reading(folder))
            pids.append(pid)
        _warm(read_url, instruments)
        feeding = _start(port, 4, _tick_schedule(seconds, instruments, rate))
        doing_nothing = _start(null_port, 8, _null_schedule(seconds))
        asking = _start(read_port, 8, _query_schedule(seconds, instruments))
        used = [cpu_s(pid) for pid in pids]
        stale_ms = _probe(url, read_url, seconds)
        fed, asked, nothing = _finish(feeding), _finish(asking), _finish(doing_nothing)
        used = [cpu_s(pid) - before for pid, before in zip(pids, used, strict=True)]
        wrong = _differing(read_url, folder, instruments)
    if fed["statuses"].keys() != {"201"} or asked["statuses"].keys() != {"200"}:
        raise AssertionError(f"not all was taken or answered: {fed}, {asked}")
    if wrong:
        raise AssertionError(f"{wrong} candles differ from a recompute")
    took_s = max(fed["seconds"], asked["seconds"])
    extra = {
        **_latencies("", asked),
        **_latencies(" of doing nothing", nothing),
        "p99 ms in the server": asked["own_p99_ms"],
        "p99 ms that the asking was late": asked["late_p99_ms"],
        "ticks/s": fed["accepted"] / fed["seconds"],
        "ack p99 ms": fed["p99_ms"],
        "staleness p99 ms": stale_ms,
        "mismatches": wrong,
        "cores of the plant": used[0] / took_s,
        "cores of the load": sum(one["cores"] for one in (fed, asked, nothing)),
        "load has real-time priority": float(fed["real_time"]),
    }
    if apart:
        extra["cores of the reader"] = used[1] / took_s
    return Done(asked["requests"], asked["seconds"], extra)


def _latencies(of: str, found: dict[str, Any]) -> dict[str, float]:
    return {f"p{part} ms{of}": found[f"p{part}_ms"] for part in (50, 90, 99)}


def _know(url: str, instruments: int) -> None:
    """Let the plant know every instrument, so that a query finds it."""
    names = symbols(instruments)
    early = [START - NS_PER_S] * instruments
    batch = incoming_batch("trades", symbol=names, ts_event=early, price=[100.0] * instruments)
    _post(url, arrow_body(batch))


def _post(url: str, body: bytes) -> None:
    head = {"Content-Type": ARROW}
    httpx.post(f"{url}/v1/trades", content=body, headers=head, timeout=60).raise_for_status()


def _asked(instruments: int) -> list[str]:
    """Return the instruments that queries are about."""
    return symbols(instruments)[:: max(instruments // COMPARED, 1)]


def _remember(url: str, instruments: int) -> None:
    """Give the instruments that are asked for a tick in each of `BARS` bars of each interval."""
    ends = [START - turn * step_of(interval) for interval in INTERVALS for turn in range(1, BARS)]
    names = _asked(instruments)
    times = np.sort(np.repeat(ends, len(names)))
    for part in range(0, len(times), 65_536):
        ts = times[part : part + 65_536]
        chosen = [names[place % len(names)] for place in range(part, part + len(ts))]
        batch = incoming_batch("trades", symbol=chosen, ts_event=ts, price=np.full(len(ts), 100.0))
        _post(url, arrow_body(batch))


def _warm(read_url: str, instruments: int) -> None:
    """Ask for everything once: what was there before somebody asked is read from the store."""
    with httpx.Client(base_url=read_url, timeout=60) as client:
        for name in _asked(instruments):
            for interval in INTERVALS:
                path = f"/v1/candles/{name}?interval={interval}&limit={BARS}"
                if len(client.get(path).json()["candles"]) < BARS - 1:
                    raise AssertionError(f"{path} has fewer bars")


def _null_schedule(seconds: float) -> list[tuple[float, bytes]]:
    request = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    return [(turn / NULL_QUERIES_S, request) for turn in range(int(seconds * NULL_QUERIES_S))]


def _tick_schedule(seconds: float, instruments: int, rate: int) -> list[tuple[float, bytes]]:
    names = pa.array(symbols(instruments))
    schedule = []
    for first in range(0, int(seconds * rate), BATCH):
        columns = ticks(BATCH, instruments, first=first)
        chosen = names.take(pa.array(columns.pop("number") - 1))
        batch = incoming_batch("trades", symbol=chosen, **columns)
        schedule.append((first / rate, request("/v1/trades", arrow_body(batch), ARROW)))
    return schedule


def _query_schedule(seconds: float, instruments: int) -> list[tuple[float, bytes]]:
    random = np.random.default_rng(7)
    names = _asked(instruments)
    schedule = []
    for turn in range(int(seconds * QUERIES_S)):
        name = names[random.integers(len(names))]
        interval = INTERVALS[turn % len(INTERVALS)]
        path = f"/v1/candles/{name}?interval={interval}&limit={BARS}"
        head = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
        schedule.append((turn / QUERIES_S, head.encode()))
    return schedule


def _start(
    port: int, connections: int, schedule: list[tuple[float, bytes]]
) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.open_loop", "127.0.0.1", str(port), str(connections)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parent.parent,
    )
    assert process.stdin is not None
    process.stdin.write(pickle.dumps(schedule))
    process.stdin.close()
    return process


def _finish(process: subprocess.Popen[bytes]) -> dict[str, Any]:
    assert process.stdout is not None
    printed = process.stdout.read()
    if process.wait():
        raise RuntimeError("a load generator failed")
    return msgspec.json.decode(printed, type=dict)


def _probe(url: str, read_url: str, seconds: float) -> float:
    """Post a tick now and then; return how long after its acknowledgement an answer has it, ms."""
    delays: list[float] = []
    until = time.perf_counter() + seconds
    with (
        httpx.Client(base_url=url, timeout=60) as client,
        httpx.Client(base_url=read_url, timeout=60) as reader,
    ):
        while not delays or time.perf_counter() < until:
            tick = {"symbol": "PROBE", "price": 1.0, "ts_event": START + len(delays) * NS_PER_S}
            seq = client.post("/v1/trades", json=tick).json()["seq_last"]
            acknowledged = time.perf_counter()
            bars = reader.get("/v1/candles/PROBE?interval=1s&limit=1").json()["candles"]
            if bars[-1]["revision"] < seq:
                raise AssertionError(f"{seq} was acknowledged, and is not in the next answer")
            delays.append(time.perf_counter() - acknowledged)
            time.sleep(0.02)
    return 1e3 * sorted(delays)[int(len(delays) * 0.99)]


class Answers:
    """Bars as the plant answers them."""

    def __init__(self, url: str, registry: Registry) -> None:
        self.client = httpx.Client(base_url=url, timeout=60)
        self.registry = registry

    def bars(self, interval: str, number: int) -> Bars:
        path = f"/v1/candles/{self.registry.number(number).symbol}"
        query = {"interval": interval, "limit": "10000", "format": "arrow"}
        table = pa.ipc.open_stream(self.client.get(path, params=query).content).read_all()
        names = ("start", "open", "high", "low", "close", "volume", "count")
        table = table.select(names).set_column(0, "start", table["start"].cast(pa.int64()))
        return list(zip(*(table[name].to_pylist() for name in names), strict=True))


def _differing(url: str, folder: Path, instruments: int) -> int:
    """Return how many of the compared answers differ from a recompute of what is stored."""
    history = open_history(folder)
    columns = ["instrument", "ts_event", "seq", "price", "size"]
    rows = history.store.scan(TRADES, columns=columns)
    rows = rows.set_column(4, "size", rows["size"].fill_null(0.0))
    return mismatches(Answers(url, history.registry), Recompute(rows), instruments)


# -- all of it -------------------------------------------------------------------------------------


def run(
    *,
    rows: int = 3_000_000,
    instruments: int = 5_000,
    seconds: float = 20,
    rate: int = RATE,
    rounds: int = 5,
    peers: bool = True,
    brief: bool = False,
) -> list[Comparison]:
    """Run B8 on `rows` ticks for the engine, and for `seconds` at `rate` ticks/s as a whole.

    With `brief` only with a reader beside the plant, which takes in what a plant alone does.
    """
    batches = stored_batches(rows, instruments)
    few = batches[: max(len(batches) // 20, 1)]
    sides = [Side("tickplant, served candles", lambda: _engine(batches, instruments))]
    if peers:
        sides.append(
            Side("DuckDB, upserts into a table of bars", lambda: upserts(few, instruments))
        )
    found = compare(
        f"B8 candles of 5 intervals, {instruments:,} instruments, 1 % late",
        sides,
        rounds=rounds,
        unit="ticks/s",
        target=">= 300,000 ticks/s on one core, 0 mismatches",
    )
    wholes = [
        *(_whole_side(seconds, instruments, one) for one in (rate, *LOWER_RATES) if one <= rate),
        Side(
            "the same, queries to `tickplant follow`",
            lambda: whole(seconds, instruments, rate, apart=True),
            "ack after fdatasync, two processes",
        ),
    ]
    served = compare(
        f"B8 {QUERIES_S} queries/s for {BARS} bars while ticks arrive",
        wholes[-1:] if brief else wholes,
        rounds=rounds,
        unit="answers/s",
        target="p99 <= 3 ms, staleness <= 10 ms, 0 mismatches",
    )
    return [found, served]


def _whole_side(seconds: float, instruments: int, rate: int) -> Side:
    name = f"plant at {rate:,} ticks/s, load and queries on the same machine"
    return Side(name, lambda: whole(seconds, instruments, rate), "ack after fdatasync")


def _engine(batches: Sequence[pa.RecordBatch], instruments: int) -> Done:
    with tempfile.TemporaryDirectory(prefix="tickplant-bench-") as folder:
        return engine(batches, instruments, Path(folder))
