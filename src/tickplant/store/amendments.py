"""Which trades were corrected or cancelled: small, in memory, persisted beside the archive.

Rows are immutable, so a scan must know what not to show. A trade shows unless an amendment of it
was known; of several amendments the last one known counts, and a cancel shows nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tickplant.store.columns import Ints
from tickplant.store.contract import NOW, AsOf

RECORD = np.dtype(
    [
        ("instrument", "<i8"),
        ("root", "<i8"),
        ("seq", "<i8"),
        ("ts_root", "<i8"),
        ("ts_event", "<i8"),
        ("ts_recv", "<i8"),
        ("cancel", "<i8"),
    ]
)
Records = NDArray[np.void]


class Amendment(NamedTuple):
    """One correction or cancel; `root` is the seq of the original, `ts_root` its `ts_event`."""

    instrument: int
    root: int
    seq: int
    ts_root: int
    ts_event: int
    ts_recv: int
    cancel: bool


class _OfInstrument:
    """The amendments of one instrument as arrays, made when asked for after a change."""

    def __init__(self) -> None:
        self.items: list[Amendment] = []
        self._records: Records | None = None
        self._hidden: tuple[int, Ints] | None = None

    def records(self) -> Records:
        """Return them by (root, seq)."""
        if self._records is None or len(self._records) != len(self.items):
            records = np.array([tuple(item) for item in self.items], dtype=RECORD)
            self._records = records[np.lexsort((records["seq"], records["root"]))]
        return self._records

    def hidden_all(self) -> Ints:
        """Return what does not show when everything is known."""
        count = len(self.items)
        if self._hidden is None or self._hidden[0] != count:
            self._hidden = (count, _hidden(self.records()))
        return self._hidden[1]


def _last_of_root(records: Records) -> NDArray[np.bool_]:
    last = np.ones(len(records), dtype=bool)
    last[:-1] = records["root"][1:] != records["root"][:-1]
    return last


def _hidden(records: Records) -> Ints:
    shown = _last_of_root(records) & (records["cancel"] == 0)
    hidden = np.unique(np.concatenate([records["root"], records["seq"][~shown]]))
    return hidden.astype(np.int64)


def _known(records: Records, as_of: AsOf) -> Records:
    if as_of.seq_max is not None:
        records = records[records["seq"] <= as_of.seq_max]
    if as_of.ts_recv_max is not None:
        records = records[records["ts_recv"] <= as_of.ts_recv_max]
    return records


class Amendments:
    """The index. One thread adds, any thread asks; asks are bounded by the seq that is visible."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._instruments: dict[int, _OfInstrument] = {}
        self._by_seq: dict[int, Amendment] = {}
        self._last: dict[int, Amendment] = {}
        self._all = _OfInstrument()

    def __len__(self) -> int:
        return len(self._all.items)

    def add(self, items: Iterable[Amendment]) -> None:
        """Add amendments, those of one root in the order of their seq; known ones are left out."""
        with self._lock:
            for item in items:
                if item.seq not in self._by_seq:
                    self._put(item)

    def _put(self, item: Amendment) -> None:
        self._by_seq[item.seq] = item
        self._last[item.root] = item
        self._instruments.setdefault(item.instrument, _OfInstrument()).items.append(item)
        self._all.items.append(item)

    def records(self, upto_seq: int | None = None) -> Records:
        """Return all of them as an array of `RECORD`, for the file that keeps them."""
        with self._lock:
            return _known(self._all.records(), AsOf(seq_max=upto_seq))

    def load(self, records: Records) -> None:
        """Add what `records` returned."""
        ordered = records[np.argsort(records["seq"], kind="stable")]
        rows: list[tuple[int, int, int, int, int, int, int]] = ordered.tolist()
        self.add(Amendment(*row[:-1], cancel=bool(row[-1])) for row in rows)

    def expire(self, ts_before: int, upto_seq: int) -> None:
        """Forget archived amendments that lie, with their originals, before a time."""
        with self._lock:
            kept = [
                item
                for item in self._all.items
                if item.seq > upto_seq or max(item.ts_root, item.ts_event) >= ts_before
            ]
            if len(kept) == len(self._all.items):
                return
            self._instruments, self._by_seq, self._last = {}, {}, {}
            self._all = _OfInstrument()
            for item in kept:
                self._put(item)

    def _of(self, instrument: int | None) -> _OfInstrument | None:
        return self._all if instrument is None else self._instruments.get(instrument)

    def hidden(self, instrument: int | None, seq_visible: int, as_of: AsOf = NOW) -> Ints:
        """Return the sorted seqs that do not show, of one or all instruments.

        `seq_visible` is the last seq of the reader's snapshot: an amendment behind it must not
        hide a trade while its own row is not in the snapshot yet.
        """
        with self._lock:
            found = self._of(instrument)
            if found is None or not found.items:
                return np.empty(0, dtype=np.int64)
            if as_of == NOW and found.items[-1].seq <= seq_visible:
                return found.hidden_all()
            known = _known(found.records(), AsOf(seq_visible))
        return _hidden(_known(known, as_of))

    def root_of(self, seq: int) -> int:
        """Return the original's seq where `seq` is an amendment, else `seq`."""
        found = self._by_seq.get(seq)
        return seq if found is None else found.root

    def last_of(self, root: int) -> Amendment | None:
        """Return the last amendment of an original, or None."""
        return self._last.get(root)

    def touched(
        self, instrument: int, start: int | None, end: int | None, as_of: AsOf
    ) -> tuple[Ints, Ints]:
        """Return (`ts_event`, `seq`) of what amendments touched in [start, end), both shape (n,).

        A correction touches the time of the row that it replaces (the original, or the correction
        before it) and its own; a cancel the time of the row that it cancels.
        """
        with self._lock:
            found = self._instruments.get(instrument)
            records = found.records() if found is not None else np.empty(0, dtype=RECORD)
        records = _known(records, as_of)
        before = records["ts_root"].copy()
        follows = ~np.append(True, _last_of_root(records)[:-1]) if len(records) else slice(0)
        before[follows] = np.roll(records["ts_event"], 1)[follows]
        ts = np.concatenate([before, records["ts_event"]])
        seq = np.concatenate([records["seq"], records["seq"]])
        match = np.ones(len(ts), dtype=bool)
        match[len(records) :] = (records["cancel"] == 0) & (records["ts_event"] != before)
        if start is not None:
            match &= ts >= start
        if end is not None:
            match &= ts < end
        return ts[match], seq[match]
