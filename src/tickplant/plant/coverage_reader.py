"""Coverage as it was known at a moment: the rows of the table, then the events behind them.

Now and then the plant writes down how far every feed has come, and closes that with a row that
says up to which number it holds (`MARKER_FEED`). What comes behind that is read from the events.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tickplant.candles.coverage import Ints
from tickplant.model.events import COVERAGE, MARKET_TABLES, TRADES
from tickplant.plant.coverage import CoverageBook, InstrumentCoverage
from tickplant.store.contract import NOW, AsOf, Store

MARKER_FEED = 0
"""The feed of rows that say, in `ref_seq`, up to where the rows `reach` before them hold."""

CHUNK_ROWS = 1_000_000


def read_book(
    store: Store,
    seq_last: int,
    as_of: AsOf = NOW,
    *,
    instrument: int | None = None,
    lateness_ns: int = 0,
    events: bool = True,
) -> CoverageBook:
    """Return the book as it was known; of one instrument and the whole feeds, or of all.

    `seq_last` is the last number that can be read. Cost: the rows of `coverage`, and the events
    since the last time that all was written down; the ledger is whole without these `events`.
    """
    book = CoverageBook(lateness_ns)
    rows = _rows(store, as_of, instrument)
    book.take(rows)
    if not events:
        return book
    after, upto = written_up_to(rows), _upto(store, seq_last, as_of)
    for table in MARKET_TABLES:
        _note_events(store, book, table, after, upto, as_of, instrument)
    return book


def written_up_to(rows: pa.Table) -> int:
    """Return up to which number all events are told of by rows of `coverage`."""
    markers = rows.filter(pc.equal(rows["feed"], MARKER_FEED))
    return int(pc.max(markers["ref_seq"]).as_py() or 0)


def _rows(store: Store, as_of: AsOf, instrument: int | None) -> pa.Table:
    """Return the rows that matter, in sequence order."""
    numbers = (None,) if instrument is None else (0, instrument)
    parts = [store.scan(COVERAGE, number, as_of=as_of, amended=False) for number in numbers]
    rows = pa.concat_tables(parts)
    return rows.sort_by("seq").combine_chunks() if rows.num_rows else rows


def _upto(store: Store, seq_last: int, as_of: AsOf) -> int:
    """Return up to which number events can count.

    For a time of receipt that is the next time that all was written down, or the end.
    """
    if as_of.seq_max is not None:
        seq_last = min(seq_last, as_of.seq_max)
    if as_of.ts_recv_max is None:
        return seq_last
    later = store.scan(COVERAGE, 0, columns=["feed", "ref_seq"], start=as_of.ts_recv_max)
    written = later.filter(pc.equal(later["feed"], MARKER_FEED))["ref_seq"]
    return min(seq_last, pc.min(written).as_py()) if len(written) else seq_last


def _note_events(
    store: Store,
    book: CoverageBook,
    table: str,
    after: int,
    upto: int,
    as_of: AsOf,
    instrument: int | None,
) -> None:
    names = None if instrument is None or book.wide else (instrument,)
    while after < upto:
        rows = store.scan_seq(table, after, upto, instruments=names, limit=CHUNK_ROWS)
        if not rows.num_rows:
            return
        after = rows["seq"][-1].as_py()
        if table == TRADES:
            rows = rows.filter(pc.equal(rows["ref_seq"], 0))
        if as_of.ts_recv_max is not None:
            rows = rows.filter(pc.less_equal(rows["ts_recv"], as_of.ts_recv_max))
        note_rows(book, rows, instrument)


def note_rows(book: CoverageBook, rows: pa.Table, instrument: int | None = None) -> None:
    """Let a book take events, in sequence order; of own evidence those of one instrument alone."""
    feeds = rows["feed"].to_numpy()
    numbers: Ints = rows["instrument"].to_numpy().astype(np.int64)
    ts, seqs = rows["ts_event"].to_numpy(), rows["seq"].to_numpy()
    for feed in np.unique(feeds).tolist():
        alone = feeds == feed
        if feed in book.wide:
            together, apart = book.wide[feed].in_session(seqs)
            together &= alone
            alone &= apart
            if together.any():
                book.wide[feed].note(int(ts[together].max()))
        if instrument is not None:
            alone &= numbers == instrument
        if alone.any():
            book.note_own(feed, numbers[alone], ts[alone])
    book.rows_behind += rows.num_rows


class CoverageChanges:
    """What is known of coverage at `upto`, compared to what was at `after`.

    `last_known` says what the last event time of an instrument was.
    """

    def __init__(
        self,
        before: CoverageBook,
        now: CoverageBook,
        after: int,
        upto: int,
        last_known: Callable[[int, AsOf], int],
    ) -> None:
        self._before, self._now = before, now
        self._after, self._upto = after, upto
        self._last_known = last_known

    def numbers(self) -> list[int]:
        """Return instruments, rising, of which more than their own events may have changed."""
        found: list[Ints] = []
        for feed, wide in self._now.wide.items():
            was = self._before.wide.get(feed)
            if was is None or was.reach != wide.reach:
                found.append(wide.served)
            else:
                found.append(wide.subscribed_since(was))
        rows = self._now.ledger.rows
        for touch in rows[rows["touched"] > self._after]:
            feed = int(touch["feed"])
            if touch["instrument"]:
                found.append(np.array([touch["instrument"]], np.int64))
            elif feed in self._now.wide:
                found.append(self._now.wide[feed].served)
        found.append(self._now.declared.numbers_from(len(self._before.declared)))
        numbers: list[int] = np.unique(np.concatenate(found)).tolist()
        return numbers

    def of(self, instrument: int) -> tuple[InstrumentCoverage, InstrumentCoverage]:
        """Return the coverage of an instrument at both."""
        before, now = AsOf(seq_max=self._after), AsOf(seq_max=self._upto)
        return (
            self._before.of(instrument, self._last_known(instrument, before)),
            self._now.of(instrument, self._last_known(instrument, now)),
        )
