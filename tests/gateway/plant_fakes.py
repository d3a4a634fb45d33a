"""A plant in plain Python lists: the oracle that the gateway is tested against.

It keeps rows as dictionaries, filters and sorts them with nothing but Python, and shares no code
with the real plant. Time stands still unless a test moves `now`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa

from tickplant.candles.conditions import EVERY_TRADE
from tickplant.config import Settings
from tickplant.feeds.contract import FeedState
from tickplant.formats.texts import RowTexts
from tickplant.model.errors import Complaint, InvalidBody, NotFound
from tickplant.model.events import SCHEMAS
from tickplant.model.instruments import Registry
from tickplant.model.rejects import Reject
from tickplant.model.times import INT64_MIN
from tickplant.observe.metrics import Metrics
from tickplant.plant.catalog import Catalog
from tickplant.plant.gaps import GAP_SCHEMA
from tickplant.plant.history import Candles
from tickplant.plant.latest import MINUTE, Latest
from tickplant.plant.submission import Receipt, Submission
from tickplant.store.contract import NOW, AsOf, Cursor

Row = dict[str, Any]
START = 1_400_000_000_000_000_000  # 2014-05-13T16:53:20Z
_UNITS = {"s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9, "d": 86400 * 10**9}

CANDLES = pa.schema(
    [
        ("start", pa.int64()),
        ("end", pa.int64()),
        *((name, pa.float64()) for name in ("open", "high", "low", "close", "volume", "vwap")),
        ("count", pa.int64()),
        ("revision", pa.int64()),
        ("state", pa.string()),
        ("coverage", pa.float64()),
    ]
)


class FakeStore:
    def __init__(self) -> None:
        self.rows: dict[str, list[Row]] = {name: [] for name in SCHEMAS}
        self.last_error: str | None = None

    def visible(self, table: str, as_of: AsOf) -> list[Row]:
        """Rows as they stood: of each trade the last amendment, no cancelled ones."""
        known = [
            row
            for row in self.rows[table]
            if (as_of.seq_max is None or row["seq"] <= as_of.seq_max)
            and (as_of.ts_recv_max is None or row["ts_recv"] <= as_of.ts_recv_max)
        ]
        if table != "trades":
            return known
        last: dict[int, Row] = {}
        for row in known:
            last[row["ref_seq"] or row["seq"]] = row
        return [row for row in last.values() if not row["flags"] & 16]

    def find_trade(self, seq: int) -> pa.Table:
        named = next((row for row in self.rows["trades"] if row["seq"] == seq), None)
        original = named and (named["ref_seq"] or named["seq"])
        found = [
            row for row in self.visible("trades", NOW) if (row["ref_seq"] or row["seq"]) == original
        ]
        return pa.Table.from_pylist(found, schema=SCHEMAS["trades"])

    def status(self) -> SimpleNamespace:
        return SimpleNamespace(last_error=self.last_error)


class FakeHistory:
    def __init__(self, plant: FakePlant) -> None:
        self.plant = plant
        self.store = plant.store
        self.registry = plant.registry
        self.rules = EVERY_TRADE
        self.texts = RowTexts()

    @property
    def seq_last(self) -> int:
        return self.plant.seq

    def resolve_as_of(self, value: object, name: str = "as_of") -> AsOf:
        from tickplant.plant.history import History

        return History.resolve_as_of(self, value, name)  # type: ignore[arg-type]

    def mark(self, instrument: int, *, book: bool = False) -> None:
        """Nothing is known of when an answer may be given again."""

    def trades(self, instrument: Any, **query: Any) -> pa.Table:
        return self._page("trades", lambda row: row["instrument"] == instrument.number, **query)

    def quotes(self, instrument: Any, **query: Any) -> pa.Table:
        return self._page("quotes", lambda row: row["instrument"] == instrument.number, **query)

    def stats(self, instrument: Any, *, names: Any = None, **query: Any) -> pa.Table:
        def wanted(row: Row) -> bool:
            return row["instrument"] == instrument.number and (not names or row["name"] in names)

        return self._page("stats", wanted, **query)

    def last_stats(self, instruments: Any, names: Any = None, as_of: AsOf = NOW) -> pa.Table:
        found: list[Row] = []
        for one in instruments:
            last: dict[str, Row] = {}
            rows = self.stats(one, names=names, as_of=as_of).to_pylist()
            last.update((row["name"], row) for row in rows)
            found += [last[name] for name in sorted(last)]
        return pa.Table.from_pylist(found, schema=SCHEMAS["stats"])

    def quarantine(
        self, *, reason: str | None = None, table: str | None = None, **query: Any
    ) -> pa.Table:
        def wanted(row: Row) -> bool:
            return reason in (None, row["reason"]) and table in (None, row["table"])

        return self._page("quarantine", wanted, **query)

    def gaps(
        self,
        *,
        feed: int | None = None,
        instrument: int | None = None,
        start: int | None = None,
        end: int | None = None,
        status: str | None = None,
        limit: int | None = None,
        after: int = 0,
        descending: bool = False,
        as_of: AsOf = NOW,
    ) -> pa.Table:
        found = [
            gap
            for gap in (reversed(self.plant.gaps) if descending else self.plant.gaps)
            if (not after or (gap["id"] < after if descending else gap["id"] > after))
            and feed in (None, gap["feed"])
            and (instrument is None or gap["instrument"] in (0, instrument))
            and (end is None or gap["start"] < end)
            and (start is None or gap.get("end") is None or gap["end"] > start)
            and status in (None, gap["status"])
            and (as_of.seq_max is None or gap["id"] <= as_of.seq_max)
        ]
        return pa.Table.from_pylist(found[:limit], schema=GAP_SCHEMA)

    def _page(
        self,
        table: str,
        wanted: Any,
        *,
        start: int | None = None,
        end: int | None = None,
        descending: bool = False,
        limit: int | None = None,
        after: Cursor | None = None,
        as_of: AsOf = NOW,
    ) -> pa.Table:
        def inside(row: Row) -> bool:
            place, ts = (row["ts_event"], row["seq"]), row["ts_event"]
            if after is not None:
                edge = (after.ts_event, after.seq)
                if (place >= edge) if descending else (place <= edge):
                    return False
            return (start is None or ts >= start) and (end is None or ts < end) and wanted(row)

        rows = [row for row in self.store.visible(table, as_of) if inside(row)]
        rows.sort(key=lambda row: (row["ts_event"], row["seq"]), reverse=descending)
        return pa.Table.from_pylist(rows[:limit], schema=SCHEMAS[table])

    def default_basis(self, instrument: int, as_of: AsOf = NOW) -> str:
        trades = self.store.visible("trades", as_of)
        return "trade" if any(row["instrument"] == instrument for row in trades) else "mid"

    def candles(
        self,
        instrument: Any,
        grid: Any,
        *,
        basis: str | None = None,
        start: int | None = None,
        end: int | None = None,
        limit: int | None = None,
        fill: str = "none",
        as_of: AsOf = NOW,
        index: int | None = None,
    ) -> Candles:
        step = grid.interval.count * _UNITS[grid.interval.unit]
        rows = [
            r for r in self.store.visible("trades", as_of) if r["instrument"] == instrument.number
        ]
        basis = basis or ("trade" if rows else "mid")
        rows.sort(key=lambda row: (row["ts_event"], row["seq"]))
        bars: dict[int, list[Row]] = {}
        for row in rows if basis == "trade" else []:
            bars.setdefault(row["ts_event"] // step * step, []).append(row)
        # Forming is until any event of the instrument, of any table and age, has reached the end;
        # covered is what lies between its first and its last one.
        logged = [
            row
            for row in (*self.store.rows["trades"], *self.store.rows["quotes"])
            if row["instrument"] == instrument.number and _known(row, as_of)
        ]
        reached = max((r["ts_event"] for r in logged), default=0)
        sent = [r["ts_event"] for r in logged if not r["ref_seq"]]
        known = min(sent, default=0), max(sent, default=0)
        low = min(bars, default=0) if start is None else start // step * step
        shown = [
            _bar(at, step, bars[at], reached, known, self._touched(instrument, at, step, as_of))
            for at in sorted(bars)
            if at >= low and (end is None or at < end)
        ]
        if limit is not None:
            shown = shown[-limit:] if start is None else shown[:limit]
        table = pa.Table.from_pylist(shown, schema=CANDLES)
        return Candles(instrument, grid, basis, table)

    def _touched(self, instrument: Any, start: int, step: int, as_of: AsOf) -> int:
        """The last seq of anything that ever stood in the bar, or was moved out of it."""
        last = 0
        stood: dict[int, Row] = {}
        for row in self.store.rows["trades"]:
            if row["instrument"] != instrument.number or not _known(row, as_of):
                continue
            before = stood.get(row["ref_seq"], row)
            stood[row["ref_seq"] or row["seq"]] = row
            if any(start <= ts < start + step for ts in (row["ts_event"], before["ts_event"])):
                last = max(last, row["seq"])
        return last

    def latest(self, instruments: Any) -> Latest:
        found: dict[str, list[pa.Table]] = {"trade": [], "quote": [], "candle": []}
        for one in instruments:
            found["trade"].append(self.trades(one, descending=True, limit=1))
            found["quote"].append(self.quotes(one, descending=True, limit=1))
            found["candle"].append(self.candles(one, MINUTE, limit=1).table)
        places = {name: _counted(parts) for name, parts in found.items()}
        times = [
            [ts for name in ("trade", "quote") for ts in found[name][turn]["ts_event"].to_pylist()]
            for turn in range(len(instruments))
        ]
        last = np.array([max(mine, default=INT64_MIN) for mine in times], np.int64)
        return Latest(found, places, last)


def _counted(parts: list[pa.Table]) -> Any:
    """Where each instrument's row is, the rows of all parts counted through; -1 for none."""
    ends = np.cumsum([part.num_rows for part in parts])
    return np.where([part.num_rows > 0 for part in parts], ends - 1, -1)


def _known(row: Row, as_of: AsOf) -> bool:
    return (as_of.seq_max is None or row["seq"] <= as_of.seq_max) and (
        as_of.ts_recv_max is None or row["ts_recv"] <= as_of.ts_recv_max
    )


def _bar(
    start: int, step: int, rows: list[Row], last: int, known: tuple[int, int], revision: int
) -> Row:
    so_far = min(start + step, last)
    covered = max(min(so_far, known[1]) - max(start, known[0]), 0)
    coverage = covered / (so_far - start) if so_far > start else 1.0
    sizes = [row["size"] for row in rows if row["size"] is not None]
    volume = math.fsum(sizes)
    notional = math.fsum(r["price"] * r["size"] for r in rows if r["size"] is not None)
    prices = [row["price"] for row in rows]
    return {
        "start": start,
        "end": start + step,
        "open": prices[0],
        "high": max(prices),
        "low": min(prices),
        "close": prices[-1],
        "volume": volume,
        "vwap": notional / volume if volume else None,
        "count": len(rows),
        "revision": revision,
        "state": "forming" if start + step > last else "complete" if coverage == 1 else "partial",
        "coverage": coverage,
    }


class FakePlant:
    """As much of `plant.Plant` as the gateway asks for."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or Settings()
        self.metrics = Metrics()
        self.tracer = None
        self.registry = Registry()
        self.store = FakeStore()
        self.seq = 0
        self.now = START
        self.history = FakeHistory(self)
        self.log_state = SimpleNamespace(state="ok", reason=None)
        self.log = SimpleNamespace(status=lambda: self.log_state)
        self.refuse: Exception | None = None
        self.ready = (True, "accepting")
        self.keys: set[tuple[int, str]] = set()
        self.gaps: list[Row] = []
        self.catalog = Catalog()
        self.catalog.feed_number("push")

    def clock(self) -> int:
        return self.now

    def feeds(self) -> list[Row]:
        state = FeedState("venue", "X", "fake", events=self.seq).shown(self.now)
        return [state | {"watermark": None, "covered_since": None, "gaps_open": len(self.gaps)}]

    def feed_name(self, number: int) -> str:
        return self.catalog.feed_name(number)

    def miss(self, **gap: Any) -> None:
        """Add a gap of push, from `START` on, over the whole feed unless it says otherwise."""
        self.seq += 1
        known = {"feed": 1, "instrument": 0, "start": START, "cause": "stall", "status": "open"}
        self.gaps.append({**known, "id": self.seq, "noticed": self.now, "changed": self.seq, **gap})

    def readiness(self) -> tuple[bool, str]:
        return self.ready

    def status(self) -> Row:
        return {"version": "0", "state": "running", "ready": self.ready[0], "seq_last": self.seq,
                "reason": "accepting", "run": 1, "started_at": "2014-05-06T23:00:00Z",
                "now": "2014-05-07T00:00:00Z", "uptime_s": 3600.0, "instruments": 1,
                "rows_waiting": 0, "feeds": self.feeds()}  # fmt: skip

    def submit(self, submission: Submission) -> Future[Receipt]:
        if self.refuse is not None:
            raise self.refuse
        future: Future[Receipt] = Future()
        rows = submission.rows.to_pylist()
        places = submission.indexes or range(len(rows))
        rejected = list(submission.unreadable)
        good: list[Row] = []
        for place, row in zip(places, rows, strict=True):
            if row.get("price", 1.0) is None or row.get("price", 1.0) <= 0:
                said = f"price: {row['price']} is not allowed; allowed is a number above 0"
                rejected.append(Reject(place, "price_not_positive", said, "{}", row["symbol"]))
            else:
                good.append(row)
        if submission.strict and rejected:
            future.set_exception(
                InvalidBody("bad rows", [Complaint(("body", r.index), r.detail) for r in rejected])
            )
            return future
        first, duplicates = self.seq + 1, 0
        for row in good:
            duplicates += not self._store(submission, row)
        for one in rejected:
            self._quarantine(submission.table, one)
        taken = len(good) - duplicates
        future.set_result(
            Receipt(
                taken,
                duplicates,
                tuple(rejected),
                first if taken else None,
                first + taken - 1 if taken else None,
            )
        )
        return future

    def _store(self, submission: Submission, row: Row) -> bool:
        venue = (row["venue"] or submission.venue).upper()
        symbol = row["symbol"].upper()
        instrument = self.registry.find(symbol, venue) or self.registry.add(symbol, venue)
        if row.get("id") is not None:
            if (instrument.number, row["id"]) in self.keys:
                return False
            self.keys.add((instrument.number, row["id"]))
        self.seq += 1
        self.store.rows[submission.table].append(
            {
                **row,
                "instrument": instrument.number,
                "seq": self.seq,
                "ts_recv": self.now,
                "ts_event": self.now if row["ts_event"] is None else row["ts_event"],
                "feed": 1,
                "flags": submission.flags,
                "ref_seq": 0,
            }
        )
        return True

    def _quarantine(self, table: str, reject: Reject) -> None:
        self.seq += 1
        self.store.rows["quarantine"].append(
            {
                "instrument": 0,
                "ts_event": self.now,
                "seq": self.seq,
                "ts_recv": self.now,
                "feed": 1,
                "flags": 0,
                "table": table,
                "symbol": reject.symbol,
                "reason": reject.reason,
                "detail": reject.detail,
                "row": reject.row,
            }
        )

    def amend(self, instrument: int, seq: int, changes: Mapping[str, Any] | None) -> Future[int]:
        found = self.store.find_trade(seq).to_pylist()
        if not found or found[0]["instrument"] != instrument:
            raise NotFound(f"seq: {seq}")
        self.seq += 1
        old = found[0]
        self.store.rows["trades"].append(
            {
                **old,
                **(changes or {}),
                "seq": self.seq,
                "ts_recv": self.now,
                "flags": 16 if changes is None else 8,
                "ref_seq": old["ref_seq"] or old["seq"],
            }
        )
        future: Future[int] = Future()
        future.set_result(self.seq)
        return future
