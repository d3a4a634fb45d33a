"""Import files: CSV, NDJSON and Parquet to submissions, each row of them once.

    path ─► source (chunks of columns) ─► mapping, times ─► keys ─► sink, a few chunks in flight

A row without an identity of its own gets one from its content (`filekeys`), so that importing a
file twice, or one that overlaps another, adds nothing.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
import pyarrow as pa

from tickplant.feeds.filecovers import FileCovers, Span
from tickplant.feeds.filekeys import Occurrences, keyed
from tickplant.feeds.filesources import Layout, Source, open_source
from tickplant.feeds.filetimes import TimeReader, check_options
from tickplant.feeds.mapping import map_columns
from tickplant.formats.parsed import Parsed
from tickplant.model.errors import PassingError
from tickplant.model.events import Flag
from tickplant.model.rejects import Reject
from tickplant.plant.feed_notes import COMPLETE_MAX
from tickplant.plant.submission import Receipt, Submission

FEED = "import"
IN_FLIGHT_MAX = 4
ATTEMPTS_MAX = 20

Progress = Callable[[int, int, int], None]
"""Called after each chunk with bytes done, bytes in total, and rows read so far."""


Declare = Callable[[Sequence[tuple[str, str]], int, int], object]
"""Says that everything of some (symbol, venue) from the start to the end of a span is there."""


@dataclass(frozen=True, slots=True)
class Covers:
    """What each file declares to be complete: `span`, or without it the UTC days of its rows.

    `now` is up to when a span can be over; `declare` is told once all rows are durable.
    """

    span: Span | None
    now: int
    declare: Declare


class Sink(Protocol):
    """What takes the rows: a plant in this process, or a client of one elsewhere."""

    def submit(self, submission: Submission) -> Future[Receipt]:
        """Take rows; the future is done when they are durable."""
        ...


@dataclass(slots=True)
class Totals:
    """What became of the rows of an import. `rejected` counts them by reason code."""

    files: int = 0
    rows: int = 0
    accepted: int = 0
    duplicates: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    samples: list[Reject] = field(default_factory=list)
    seconds: float = 0.0

    def add(self, receipt: Receipt) -> None:
        """Count what became of one submission; keep the first few rejects to be shown."""
        self.accepted += receipt.accepted
        self.duplicates += receipt.duplicates
        self.rejected.update(reject.reason for reject in receipt.rejected)
        self.samples += receipt.rejected[: max(0, 10 - len(self.samples))]


def import_files(
    paths: Iterable[str],
    *,
    sink: Sink,
    venue: str,
    table: str | None = None,
    symbol: str | None = None,
    mapping: Mapping[str, str] | None = None,
    time_unit: str | None = None,
    timezone: str | None = None,
    flags: int = Flag.BACKFILLED,
    progress: Progress | None = None,
    covers: Covers | None = None,
    wait: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Totals:
    """Import files one after the other and return what became of their rows.

    `table` is one of `POSTED_TABLES`, by default trades or quotes as the columns say. `venue` is
    that of rows that name none, `symbol` that of all rows. `mapping` gives the columns of fields
    (`{"price": "last_px"}`), `time_unit` (s, ms, us, ns) the unit of integer times, `timezone` the
    IANA zone of times without one. At most four chunks are under way at the sink; one that refuses
    for now is asked again after the time it names, which it is told by `wait`. Files are opened and
    their columns found before the first row is submitted. With `covers` each file is declared to be
    complete of its instruments, once all rows of all files are durable. Raises `InvalidBody` and
    `InvalidParameter`, which name file, column and place; rows before the fault stay imported.
    """
    check_options(time_unit, timezone)
    started = clock()
    totals = Totals()
    opened: list[tuple[Source, Layout]] = []
    with ExitStack() as stack:
        for path in paths:
            source = stack.enter_context(closing(open_source(str(path))))
            opened.append(
                (source, _lay_out(source, table, symbol, mapping or {}, time_unit, timezone))
            )
        found = [FileCovers(source.path, covers.span, covers.now) for source, _ in opened
                 ] if covers else []  # fmt: skip
        _run(opened, _Pipe(sink, totals, wait), totals, venue, flags, progress, found)
        if covers is not None:
            _declare(found, covers.declare)
    totals.seconds = clock() - started
    return totals


def _lay_out(
    source: Source,
    table: str | None,
    symbol: str | None,
    chosen: Mapping[str, str],
    unit: str | None,
    zone: str | None,
) -> Layout:
    # Names of columns of text files are compared in lower case, as they were read.
    present = {name.lower(): name for name in source.columns}
    meant = {f: present.get(column.lower(), column) for f, column in chosen.items()}
    found, names = map_columns(
        source.columns, path=source.path, table=table, chosen=meant, symbol=symbol
    )
    where = f"{source.path}: column {names['ts_event']}"
    return Layout(found, names, TimeReader(where, unit=unit, zone=zone), symbol)


def _run(
    opened: list[tuple[Source, Layout]],
    pipe: _Pipe,
    totals: Totals,
    venue: str,
    flags: int,
    progress: Progress | None,
    covers: list[FileCovers],
) -> None:
    bytes_total = sum(source.bytes_total for source, _ in opened)
    bytes_before = 0
    for place, (source, layout) in enumerate(opened):
        seen = Occurrences()
        first_row = 0
        for parsed, count in source.chunks(layout):
            if covers:
                covers[place].note(parsed.rows, venue)
            pipe.put(_submission(parsed, layout.table, first_row, venue, flags, seen))
            first_row += count
            totals.rows += count
            if progress is not None:
                progress(bytes_before + source.bytes_done(), bytes_total, totals.rows)
        bytes_before += source.bytes_total
        totals.files += 1
    pipe.drain()
    if progress is not None:
        progress(bytes_total, bytes_total, totals.rows)


def _declare(found: list[FileCovers], declare: Declare) -> None:
    for covers, spans in [(covers, covers.spans()) for covers in found]:
        names = covers.names()
        for start, end in spans:
            for first in range(0, len(names), COMPLETE_MAX):
                declare(names[first : first + COMPLETE_MAX], start, end)


def _submission(
    parsed: Parsed, table: str, first_row: int, venue: str, flags: int, seen: Occurrences
) -> Submission:
    parsed = _timed(parsed)
    rows = keyed(table, parsed.rows, venue, seen)
    rejects = [replace(reject, index=first_row + reject.index) for reject in parsed.unreadable]
    places: Sequence[int] = range(first_row, first_row + rows.num_rows)
    if parsed.indexes is not None:
        places = [first_row + place for place in parsed.indexes]
    return Submission(table, rows, FEED, venue, flags, False, rejects, places)


def _timed(parsed: Parsed) -> Parsed:
    """Refuse the rows without a time: that of receipt would be wrong for what is history."""
    times = parsed.rows.column("ts_event")
    if not times.null_count:
        return parsed
    good = np.asarray(times.is_valid().to_numpy(zero_copy_only=False))
    places = parsed.indexes or range(len(good))
    detail = "ts_event: missing; rows of a file need one"
    rejects = []
    for position in np.flatnonzero(~good).tolist():
        found = Reject.of_row(parsed.rows, position, "ts_event_missing", detail)
        rejects.append(Reject(places[position], found.reason, detail, found.row, found.symbol))
    left = [places[position] for position in np.flatnonzero(good).tolist()]
    return Parsed(parsed.rows.filter(pa.array(good)), (*parsed.unreadable, *rejects), left)


class _Pipe:
    """Hands submissions to the sink with a bounded number under way, and counts the receipts."""

    def __init__(self, sink: Sink, totals: Totals, wait: Callable[[float], None]) -> None:
        self._sink = sink
        self._totals = totals
        self._wait = wait
        self._under_way: deque[tuple[Submission, Future[Receipt]]] = deque()

    def put(self, submission: Submission) -> None:
        while len(self._under_way) >= IN_FLIGHT_MAX:
            self._settle_first()
        self._under_way.append((submission, self._submit(submission)))

    def drain(self) -> None:
        while self._under_way:
            self._settle_first()

    def _settle_first(self) -> None:
        submission, future = self._under_way.popleft()
        for attempt in range(ATTEMPTS_MAX):
            try:
                self._totals.add(future.result())
                return
            except PassingError as fault:
                if attempt + 1 == ATTEMPTS_MAX:
                    raise
                # Safe to repeat: the rows have keys, so what was stored is not stored twice.
                self._wait(fault.retry_after_s)
                future = self._submit(submission)

    def _submit(self, submission: Submission) -> Future[Receipt]:
        for _ in range(ATTEMPTS_MAX - 1):
            try:
                return self._sink.submit(submission)
            except PassingError as fault:
                self._wait(fault.retry_after_s)
        return self._sink.submit(submission)
