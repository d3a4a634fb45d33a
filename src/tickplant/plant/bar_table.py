"""Bars as a table: what history answers and what the stream is told have the same columns."""

from __future__ import annotations

from copy import copy
from functools import cached_property

import numpy as np
import pyarrow as pa

from tickplant.candles.basis import has_volume
from tickplant.candles.coverage import STATES, Floats, Ints, state_codes
from tickplant.candles.grid import Grid
from tickplant.candles.states import FinishedBars, States
from tickplant.formats.rows import SPREAD_COLUMNS, CandleRow, candle_rows
from tickplant.plant.coverage import Coverage

CANDLE_SCHEMA = pa.schema(
    [
        pa.field("start", pa.int64(), nullable=False),
        pa.field("end", pa.int64(), nullable=False),
        pa.field("open", pa.float64()),
        pa.field("high", pa.float64()),
        pa.field("low", pa.float64()),
        pa.field("close", pa.float64()),
        pa.field("volume", pa.float64()),
        pa.field("vwap", pa.float64()),
        pa.field("count", pa.int64(), nullable=False),
        pa.field("revision", pa.int64()),
        pa.field("state", pa.string(), nullable=False),
        pa.field("coverage", pa.float64(), nullable=False),
    ]
)
"""Candles as columns, by `start`. `volume` and `vwap` are null for bars of quotes, `vwap` also
where nothing was traded with a size; prices are null for bars made by `fill`, and so is `revision`
where no gap touched them. `state` is one of `candles.coverage.STATES`, `coverage` the part of the
bar, so far, that is covered: 0 to 1."""

QUOTE_SCHEMA = pa.schema(
    [*CANDLE_SCHEMA, *(pa.field(name, pa.float64()) for name in SPREAD_COLUMNS)]
)
"""Candles of quotes as columns; spreads are null where no quote had two sides."""

UPDATE_SCHEMA = pa.schema([pa.field("instrument", pa.int32(), nullable=False), *CANDLE_SCHEMA])
"""Candles of several instruments that changed; a `count` of 0, with no prices, says that the bar's
last event was cancelled."""


_NAMES = pa.array(STATES, pa.string())


class ShownBars:
    """Bars on a grid with what is known of their coverage; immutable.

    Finishing a bar and writing it down cost more than finding it. So bars stay the states that they
    are kept as until they become columns (`table`) or are shown (`rows`), and `keys` say of each
    what that depends on. `ends` are those of bars that are not the grid's, `until` how far the
    watermark has to come where that is not the end: till then a bar is forming.
    """

    def __init__(
        self,
        bars: States | FinishedBars,
        grid: Grid,
        basis: str,
        coverage: Coverage,
        *,
        ends: Ints | None = None,
        until: Ints | None = None,
    ) -> None:
        self.start = bars.start
        self._bars = bars
        self._sized = has_volume(basis)
        self._ends = grid.ends(bars.start) if ends is None else ends
        measured = coverage.measure(grid, bars.instrument, bars.start, self._ends)
        forming = (self._ends if until is None else until) > measured.watermark
        self._fraction = measured.fraction
        self._touched = measured.revision
        self._codes = state_codes(forming, bars.count, measured.fraction)

    def __len__(self) -> int:
        return int(self.start.size)

    def __getitem__(self, cut: slice) -> ShownBars:
        """Return some of the bars next to each other."""
        part = copy(self)
        part.__dict__.pop("table", None)
        bars = self._bars
        part._bars = bars.take(cut) if isinstance(bars, States) else bars.cut(cut)
        for name in ("start", "_ends", "_fraction", "_touched", "_codes"):
            setattr(part, name, getattr(self, name)[cut])
        return part

    @cached_property
    def table(self) -> pa.Table:
        """The bars as a table of `CANDLE_SCHEMA`, those of quotes of `QUOTE_SCHEMA`."""
        bars = self._bars.finish() if isinstance(self._bars, States) else self._bars
        revision = np.maximum(bars.revision, self._touched)
        nothing = pa.nulls(len(self), pa.float64())
        columns = [
            pa.array(bars.start),
            pa.array(self._ends),
            *(
                pa.array(column, from_pandas=True)
                for column in (bars.open, bars.high, bars.low, bars.close)
            ),
            pa.array(bars.volume, from_pandas=True) if self._sized else nothing,
            pa.array(bars.vwap, from_pandas=True) if self._sized else nothing,
            pa.array(bars.count),
            pa.array(revision, mask=revision == 0),
            _NAMES.take(pa.array(self._codes)),
            pa.array(self._fraction),
        ]
        if self._sized:
            return pa.Table.from_arrays(columns, schema=CANDLE_SCHEMA)
        spreads = [nothing] * len(SPREAD_COLUMNS)
        if bars.spreads is not None:
            spreads = [pa.array(column, from_pandas=True) for column in bars.spreads]
        return pa.Table.from_arrays([*columns, *spreads], schema=QUOTE_SCHEMA)

    def keys(self) -> Ints | None:
        """Return what each bar depends on, shape (6, n), by start.

        Of one instrument, grid and basis equal keys mean equal bars: an event, an amendment or a
        cancel in a bar raises its number. None where the bars are not of events alone.
        """
        bars = self._bars
        if not isinstance(bars, States):
            return None
        keys = np.empty((6, len(self)), np.int64)
        keys[0], keys[1], keys[2] = bars.start, bars.seq_max, bars.count
        keys[3], keys[4], keys[5] = self._touched, self._codes, self._fraction.view(np.int64)
        return keys

    def rows(self, places: slice | Ints) -> list[CandleRow]:
        """Return some of the bars as JSON shows them."""
        bars, at = self._bars, places
        if isinstance(bars, States):
            bars, at = bars.take(places).finish(), slice(None)
        prices = [column[at] for column in (bars.open, bars.high, bars.low, bars.close)]
        sums = [column[at] for column in (bars.volume, bars.vwap)] if self._sized else None
        spreads: list[Floats] | None = None
        if not self._sized:
            spreads = [] if bars.spreads is None else [column[at] for column in bars.spreads]
        return candle_rows(
            start=bars.start[at],
            end=self._ends[places],
            prices=prices,
            sums=sums,
            count=bars.count[at],
            revision=np.maximum(bars.revision[at], self._touched[places]),
            states=[STATES[code] for code in self._codes[places].tolist()],
            coverage=self._fraction[places],
            spreads=spreads,
        )


def finish(
    bars: FinishedBars,
    grid: Grid,
    basis: str,
    coverage: Coverage,
    *,
    ends: Ints | None = None,
    until: Ints | None = None,
) -> pa.Table:
    """Return finished bars as a table; see `ShownBars`."""
    return ShownBars(bars, grid, basis, coverage, ends=ends, until=until).table
