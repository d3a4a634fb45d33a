"""What is left out when the plant is hard pressed, and the account of it.

Only quotes of live feeds: the next quote takes the place of the one before, so the newest is what
counts. Policy `conflate` keeps the newest of each instrument of a submission, `drop` keeps none.
Trades, book changes and statistics are never left out, nor what a producer waits for, nor what is
brought in to repair a gap. Every span is written into the gap ledger with cause `overload`.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tickplant.model.events import QUOTES, Flag
from tickplant.plant.feed_notes import Hole
from tickplant.plant.submission import Submission

CONFLATE, DROP = "conflate", "drop"

SYMBOLS_MAX = 20
"""Of more instruments than this a hole is one of the whole feed: the ledger must not be a load."""


@dataclass(slots=True)
class _Account:
    start: int
    end: int
    rows: int = 0
    symbols: set[tuple[str, str]] = field(default_factory=set)


class Shedding:
    """Leaves rows out and keeps account. Any thread; `clock` gives ns, `count` is the metric's."""

    def __init__(
        self, clock: Callable[[], int], count: Callable[[str, str, str, int], object]
    ) -> None:
        self.shed: Counter[str] = Counter({CONFLATE: 0, DROP: 0})
        self._clock = clock
        self._count = count
        self._accounts: dict[str, _Account] = {}
        self._lock = threading.Lock()

    def apply(self, submission: Submission, policy: str | None) -> Submission | None:
        """Return what is left of a submission; None where that is nothing."""
        rows = submission.rows
        if (
            policy is None
            or submission.table != QUOTES
            or not rows.num_rows
            or submission.flags & Flag.BACKFILLED
        ):
            return submission
        kept = newest(rows) if policy == CONFLATE else np.empty(0, np.int64)
        out = rows.num_rows - len(kept)
        if not out:
            return submission
        gone = np.ones(rows.num_rows, np.bool_)
        gone[kept] = False
        self._note(submission, rows.filter(pa.array(gone)), policy)
        if not len(kept) and not submission.unreadable:
            return None
        places = submission.indexes or range(rows.num_rows)
        left = [places[place] for place in kept.tolist()]
        return replace(submission, rows=rows.take(pa.array(kept)), indexes=left)

    def _note(self, submission: Submission, gone: pa.RecordBatch, policy: str) -> None:
        now = self._clock()
        times = pc.min_max(gone.column("ts_event")).as_py()
        start = now if times["min"] is None else times["min"]
        end = (now if times["max"] is None else times["max"]) + 1
        with self._lock:
            account = self._accounts.setdefault(submission.feed, _Account(start, end))
            account.start, account.end = min(account.start, start), max(account.end, end)
            account.rows += gone.num_rows
            if len(account.symbols) <= SYMBOLS_MAX:
                account.symbols |= _names(gone, submission.venue)
            self.shed[policy] += gone.num_rows
        self._count(submission.table, submission.feed, policy, gone.num_rows)

    def take_holes(self) -> list[Hole]:
        """Return, once, what is to be written into the ledger."""
        with self._lock:
            accounts, self._accounts = self._accounts, {}
        return [_hole(feed, account) for feed, account in accounts.items()]


def newest(rows: pa.RecordBatch) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Return the places of the newest row of each symbol and venue, in order.

    The newest is the one of the latest event time; of equal ones, and of those without a time,
    the last.
    """
    symbols = _codes(rows.column("symbol"))
    venues = _codes(rows.column("venue"))
    groups = symbols * (int(venues.max()) + 1) + venues
    times = rows.column("ts_event").fill_null(np.iinfo(np.int64).max).to_numpy()
    order = np.lexsort((times, groups))
    last = np.append(groups[order][1:] != groups[order][:-1], True)
    found: np.ndarray[tuple[int], np.dtype[np.int64]] = np.sort(order[last])
    return found


def _codes(column: pa.Array) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    encoded = column.dictionary_encode(null_encoding="encode")
    found: np.ndarray[tuple[int], np.dtype[np.int64]] = encoded.indices.to_numpy().astype(np.int64)
    return found


def _names(rows: pa.RecordBatch, venue: str) -> set[tuple[str, str]]:
    """Return the symbols of rows with their venues, a few more than are told at most."""
    found = pa.table({name: rows.column(name) for name in ("symbol", "venue")})
    pairs = found.group_by(["symbol", "venue"]).aggregate([]).slice(0, SYMBOLS_MAX + 1)
    return {(row["symbol"], row["venue"] or venue) for row in pairs.to_pylist() if row["symbol"]}


def _hole(feed: str, account: _Account) -> Hole:
    few = len(account.symbols) <= SYMBOLS_MAX
    symbols = sorted(account.symbols) if few else None
    detail = f"{account.rows} quotes were left out because the plant was hard pressed"
    return Hole(feed, account.start, account.end, "overload", symbols, detail)
