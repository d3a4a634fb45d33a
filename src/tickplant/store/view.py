"""What a reader sees of one table: the files and the rows in memory at one moment."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from tickplant.store.blocks import Run, Tail
from tickplant.store.columns import Ints
from tickplant.store.manifest import FileEntry

_UNKNOWN: Any = object()

SPANS_MAX = 65_536
"""Instruments whose spans are kept with a set of files."""

Span = tuple[int, int]


class FileSet:
    """The archive's files of one table, by day and sequence. Immutable.

    With it is kept what was found in it, for as long as these are the files.
    """

    def __init__(self, entries: Iterable[FileEntry] = ()) -> None:
        self.entries = tuple(sorted(entries, key=lambda e: (e.day, e.seq_min)))
        self._bounds: Ints = np.array(
            [(e.ts_min, e.ts_max, e.seq_min, e.seq_max) for e in self.entries], dtype=np.int64
        ).reshape(-1, 4)
        self.rows = sum(e.rows for e in self.entries)
        self.bytes = sum(e.bytes for e in self.entries)
        self._spans: dict[int, Span | None] = {}

    def __len__(self) -> int:
        return len(self.entries)

    def within(self, start: int, end: int, seq_max: int | None = None) -> list[FileEntry]:
        """Return the files that may hold rows with `start <= ts_event < end`."""
        match = (self._bounds[:, 1] >= start) & (self._bounds[:, 0] < end)
        if seq_max is not None:
            match &= self._bounds[:, 2] <= seq_max
        return [self.entries[i] for i in np.flatnonzero(match)]

    def within_seq(self, after_seq: int, upto_seq: int) -> list[FileEntry]:
        """Return the files that may hold rows with `after_seq < seq <= upto_seq`, by first seq."""
        match = (self._bounds[:, 3] > after_seq) & (self._bounds[:, 2] <= upto_seq)
        found = [self.entries[i] for i in np.flatnonzero(match)]
        return sorted(found, key=lambda e: e.seq_min)

    def ts_span(self) -> tuple[int, int] | None:
        """Return the first and the last `ts_event`."""
        if not self.entries:
            return None
        return int(self._bounds[:, 0].min()), int(self._bounds[:, 1].max())

    @cached_property
    def by_first(self) -> tuple[FileEntry, ...]:
        """The files by their first `ts_event`, rising."""
        return tuple(sorted(self.entries, key=lambda e: e.ts_min))

    @cached_property
    def by_last(self) -> tuple[FileEntry, ...]:
        """The files by their last `ts_event`, falling."""
        return tuple(sorted(self.entries, key=lambda e: -e.ts_max))

    def known_span(self, instrument: int) -> tuple[bool, Span | None]:
        """Say whether it is known what these files widen an instrument's span to, and to what."""
        known = self._spans.get(instrument, _UNKNOWN)
        return (False, None) if known is _UNKNOWN else (True, known)

    def keep_span(self, instrument: int, span: Span | None) -> None:
        """Keep it for the next who asks."""
        if len(self._spans) >= SPANS_MAX:
            self._spans.clear()
        self._spans[instrument] = span


@dataclass(frozen=True, slots=True)
class View:
    """One table at one moment. Immutable; the store swaps whole views."""

    files: FileSet = field(default_factory=FileSet)
    tail: Tail = field(default_factory=Tail)
    seq_last: int = 0

    def with_run(self, run: Run) -> View:
        """Return the view with rows appended."""
        return View(self.files, self.tail.add(run), int(run.seq[-1]))

    def with_files(self, files: Iterable[FileEntry]) -> View:
        """Return the view with other files."""
        known = FileSet(files)
        seq_last = max((entry.seq_max for entry in known.entries), default=0)
        return replace(self, files=known, seq_last=max(self.seq_last, seq_last))

    def with_tail(self, tail: Tail) -> View:
        """Return the view with another tail."""
        return replace(self, tail=tail)

    def ts_span(self) -> tuple[int, int] | None:
        """Return the first and the last `ts_event` of everything."""
        spans = [(run.ts_min, run.ts_max) for run in self.tail.runs]
        archived = self.files.ts_span()
        if archived is not None:
            spans.append(archived)
        if not spans:
            return None
        return min(low for low, _ in spans), max(high for _, high in spans)
