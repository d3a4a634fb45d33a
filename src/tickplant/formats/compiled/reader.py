"""Frames of one connection to columns by the compiled walk, where their layouts are known.

    read(frames) ─► Walked: the rows of each table, and which frames are left
        left ─► is there one of a layout that can be learned? ─► once more, with that

One reader belongs to one connection, and to one thread at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tickplant.formats.compiled import loading, steps
from tickplant.formats.compiled.layouts import Layout, NotLearned, Step, learn_layout
from tickplant.formats.compiled.names import Names
from tickplant.formats.compiled.shapes import Shape, Table

Walk = Callable[..., int]

FEW = 16
"""So few frames are read sooner by the venue's own reader."""

FEW_NAMES = 256
"""So few symbols are told sooner one by one."""

LAYOUTS_MAX = 24
"""How many layouts are held; frames of further ones are left."""

TRIES_MAX = 128
"""Frames of a connection that are looked into for layouts, behind which no more are learned."""

LOOKED_AT_MAX = 8
"""Frames of one shape of one batch that are looked into for layouts."""

KEPT_BYTES_MAX = 4 << 20
"""Room for levels is kept from batch to batch for as many bytes of frames."""

_END, _TAIL = b"\0", b"\0" * 7


class Sent(Protocol):
    """A frame."""

    @property
    def data(self) -> bytes:
        """What was sent."""
        ...


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of one table in the order of their frames.

    `places` (n) are the places of their frames; `codes` (n) of their names in `names`; `wholes` and
    `numbers` are (column, row) as the table has them, `level_wholes` and `level_numbers` (column,
    level) of all rows in turn.
    """

    table: Table
    places: NDArray[np.int64]
    names: list[str]
    codes: NDArray[np.int32]
    wholes: NDArray[np.int64]
    numbers: NDArray[np.float64]
    level_wholes: NDArray[np.int64]
    level_numbers: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.places)

    def whole(self, column: str) -> NDArray[np.int64]:
        """Return a column of whole numbers."""
        found: NDArray[np.int64] = self.wholes[self.table.wholes.index(column)]
        return found

    def number(self, column: str) -> NDArray[np.float64]:
        """Return a column of decimal numbers."""
        found: NDArray[np.float64] = self.numbers[self.table.numbers.index(column)]
        return found

    def level_whole(self, column: str) -> NDArray[np.int64]:
        """Return a column of whole numbers of levels."""
        found: NDArray[np.int64] = self.level_wholes[self.table.level_wholes.index(column)]
        return found

    def level_number(self, column: str) -> NDArray[np.float64]:
        """Return a column of decimal numbers of levels."""
        found: NDArray[np.float64] = self.level_numbers[self.table.level_numbers.index(column)]
        return found

    def symbols(self) -> pa.Array:
        """Return the symbols of the rows."""
        if len(self) <= FEW_NAMES:
            names = self.names
            return pa.array([names[code] for code in self.codes.tolist()], pa.string())
        return pa.array(self.names, pa.string()).take(pa.array(self.codes))


@dataclass(frozen=True, slots=True)
class Walked:
    """What a walk came to: rows by the names of their tables, and the places of what is left."""

    rows: dict[str, Rows]
    left: NDArray[np.int64]


class FrameReader:
    """Reads the frames of `shapes`. Of the tables, one has levels at most.

    `walk` returns the compiled walk, None while or where there is none: then nothing is read.
    """

    def __init__(
        self, shapes: Sequence[Shape], walk: Callable[[], Walk | None] = loading.FRAMES.get
    ) -> None:
        self.names = Names()
        self._shapes = tuple(shapes)
        self._tables = list({shape.table.name: shape.table for shape in shapes}.values())
        self._layouts: list[Layout] = []
        self._tries = TRIES_MAX
        self._walk = walk
        self._program = _program([], self._tables)
        self._room = _Room(self._tables, 0, 0, 0)

    def read(self, frames: Sequence[Sent]) -> Walked | None:
        """Return what frames came to; None where all are to be read by the venue's own reader."""
        walk = self._walk()
        if walk is None or len(frames) < FEW:
            return None
        datas = [frame.data for frame in frames]
        found = self._read(walk, datas) if self._layouts else None
        left = datas if found is None else [datas[place] for place in found.left.tolist()]
        if left and self._learn(walk, left):
            found = self._read(walk, datas)
        return found

    # -- layouts ------------------------------------------------------------------------------

    def _learn(self, walk: Walk, datas: Sequence[bytes]) -> bool:
        """Learn the layouts of frames that were left; return whether there were new ones."""
        before = len(self._layouts)
        for shape in self._shapes if self._tries > 0 else ():
            marked = (data for data in datas if shape.mark in data)
            for data in islice(marked, LOOKED_AT_MAX):
                known = self._read(walk, [data]) if len(self._layouts) > before else None
                if known is None or len(known.left):
                    self._learn_one(data, shape)
        return len(self._layouts) > before

    def _learn_one(self, data: bytes, shape: Shape) -> None:
        self._tries -= 1
        try:
            layout = learn_layout(data, shape)
        except NotLearned:
            return
        if layout not in self._layouts and len(self._layouts) < LAYOUTS_MAX:
            self._layouts.append(layout)
            self._program = _program(self._layouts, self._tables)

    def _read(self, walk: Walk, datas: Sequence[bytes]) -> Walked | None:
        count = len(datas)
        joined = _END.join((*datas, _TAIL))
        program, names = self._program, self.names.slots()
        room = self._room.fit(count, len(joined) // program.level_bytes + 1, len(self.names))
        room.rows[:] = room.used_counts[:] = 0
        levels = walk(
            *steps.as_words(joined), count,
            program.steps, program.chunks, program.masks, program.layouts,
            names.slots, names.starts, names.letters,
            room.seen, room.used, room.kinds, room.places, room.rows, room.used_counts,
            room.codes, room.wholes, room.numbers, room.level_wholes, room.level_numbers,
        )  # fmt: skip
        if levels < 0:
            return None
        self._room = room if len(joined) <= KEPT_BYTES_MAX else _Room(self._tables, 0, 0, 0)
        left = np.flatnonzero(room.kinds[:count] < 0)
        rows = {
            table.name: room.taken(place, table, levels, self.names.symbols)
            for place, table in enumerate(self._tables)
            if room.rows[place]
        }
        return Walked(rows, left)


@dataclass(frozen=True, slots=True)
class _Program:
    """The layouts as arrays; no level has fewer bytes than `level_bytes`."""

    steps: NDArray[np.int64]
    chunks: NDArray[np.uint64]
    masks: NDArray[np.uint64]
    layouts: NDArray[np.int64]
    level_bytes: int


def _program(layouts: Sequence[Layout], tables: Sequence[Table]) -> _Program:
    rows: list[tuple[int, ...]] = []
    chunks: list[int] = []
    masks: list[int] = []
    spans, level_bytes = [], [4096]
    for layout in layouts:
        begin = len(rows)
        for step in layout.steps:
            first, second = step.first, 0
            if step.op in steps.TEXTS:
                first, second = len(chunks), len(step.text)
                words, counting = steps.literal_words(step.text)
                chunks += words
                masks += counting
            elif step.op in (steps.LADDER, steps.NEXT):
                first += begin
            rows.append((step.op, first, second, step.column, step.in_level))
        spans.append((begin, len(rows), tables.index(layout.table)))
        level_bytes += _level_bytes(layout.steps)
    return _Program(
        np.array(rows, np.int64).reshape(-1, steps.WIDTH),
        np.array(chunks, np.uint64),
        np.array(masks, np.uint64),
        np.array(spans, np.int64).reshape(-1, 3),
        min(level_bytes),
    )


def _level_bytes(found: Sequence[Step]) -> list[int]:
    """Return of each ladder how many bytes the literals of a level have, with what parts levels."""
    inside = [
        found[place + 1 : step.first] for place, step in enumerate(found) if step.op == steps.LADDER
    ]
    return [1 + sum(len(s.text) for s in level if s.op == steps.LITERAL) for level in inside]


class _Room:
    """Arrays that the walk writes to, kept from batch to batch, since fresh memory costs more."""

    def __init__(self, tables: Sequence[Table], count: int, levels: int, names: int) -> None:
        self._tables = tables
        self._sizes = count, levels, names
        n = len(tables)
        wholes = max((len(table.wholes) for table in tables), default=0)
        numbers = max((len(table.numbers) for table in tables), default=0)
        self.kinds = np.empty(count, np.int64)
        self.places = np.empty((n, count), np.int64)
        self.codes = np.empty((n, count), np.int32)
        self.rows, self.used_counts = np.zeros(n, np.int64), np.zeros(n, np.int64)
        self.seen, self.used = np.full((n, names), -1, np.int32), np.empty((n, names), np.int32)
        self.wholes = np.empty((n, wholes, count), np.int64)
        self.numbers = np.empty((n, numbers, count))
        self.level_wholes = np.empty((max(len(t.level_wholes) for t in tables), levels), np.int64)
        self.level_numbers = np.empty((max(len(t.level_numbers) for t in tables), levels))

    def fit(self, count: int, levels: int, names: int) -> _Room:
        """Return this, or larger room where it is too small."""
        wanted = count, levels, names
        if all(have >= want for have, want in zip(self._sizes, wanted, strict=True)):
            return self
        return _Room(self._tables, *map(max, self._sizes, wanted))

    def taken(self, place: int, table: Table, levels: int, symbols: Sequence[str]) -> Rows:
        """Return copies of what was written of a table."""
        n = int(self.rows[place])
        used = self.used[place, : self.used_counts[place]].tolist()
        levels = levels if table.level_numbers else 0
        return Rows(
            table,
            self.places[place, :n].copy(),
            [symbols[code] for code in used],
            self.codes[place, :n].copy(),
            self.wholes[place, : len(table.wholes), :n].copy(),
            self.numbers[place, : len(table.numbers), :n].copy(),
            self.level_wholes[:, :levels].copy(),
            self.level_numbers[:, :levels].copy(),
        )
