"""Indicators of stored bars and events: the one way to compute them, live ones included.

wanted bars ──► the bars before them, as far as the windows reach ──► analytics.evaluate
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tickplant.analytics.ask import columns_of, sources_of
from tickplant.analytics.catalogue import KINDS, Indicator
from tickplant.analytics.evaluate import evaluate
from tickplant.analytics.sources import BAR_COLUMNS, source_column
from tickplant.candles.basis import has_volume
from tickplant.candles.grid import Grid
from tickplant.candles.interval import parse_interval
from tickplant.model.errors import InvalidParameter
from tickplant.model.instruments import Instrument
from tickplant.plant.history import Candles, History
from tickplant.store.contract import NOW, AsOf

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Columns = dict[str, Floats]

_DAY = parse_interval("1d")


@dataclass(frozen=True, slots=True)
class Indicated:
    """Bars and, for each of them, the sources and values by the name of their column."""

    candles: Candles
    columns: Columns

    def slice(self, count: int) -> Indicated:
        """Return the first `count` bars."""
        kept = {name: values[:count] for name, values in self.columns.items()}
        return Indicated(replace(self.candles, bars=self.candles.table.slice(0, count)), kept)


def check_basis(indicators: Sequence[Indicator], basis: str | None) -> None:
    """Raise `InvalidParameter` for indicators of volume over bars that are asked of quotes."""
    if basis is None or has_volume(basis):
        return
    for one in indicators:
        if one.sized:
            free = [name for name, kind in KINDS.items() if "volume" not in kind.inputs]
            allowed = f"{', '.join(free)}, and a source other than volume, with basis {basis}"
            raise InvalidParameter("name", one.label, allowed)


def read_indicators(
    history: History,
    instrument: Instrument,
    grid: Grid,
    indicators: Sequence[Indicator],
    *,
    basis: str | None = None,
    start: int | None = None,
    end: int | None = None,
    limit: int | None = None,
    fill: str = "none",
    as_of: AsOf = NOW,
) -> Indicated:
    """Return the bars that `History.candles` returns for this query, with their indicators.

    A value does not depend on `start`, `end` and `limit`. Bars that `fill=null` adds have no
    values and leave those of the others as they are; bars that `fill=previous` adds count.
    Indicators of volume are null where bars have none. Blocks; any thread.
    """
    check_basis(indicators, basis)
    candles = history.candles(
        instrument, grid, basis=basis, start=start, end=end, limit=limit, fill=fill, as_of=as_of
    )
    before = "none" if fill == "null" else fill
    return Indicated(candles, values_of(history, candles, indicators, before, as_of))


def values_of(
    history: History, candles: Candles, indicators: Sequence[Indicator], fill: str, as_of: AsOf
) -> Columns:
    """Return sources and values for given bars that follow each other without a hole.

    What the windows need before them is read with `fill`, as of `as_of`.
    """
    bars = bar_columns(candles.table)
    found = {name: source_column(bars, name) for name in sources_of(indicators)}
    if not candles.table.num_rows:
        return found | {name: np.empty(0) for names in columns_of(indicators) for name in names}
    reach = max((one.window or 0) - 1 for one in indicators)
    tables = {
        False: _before(history, candles, reach, fill, as_of),
        True: _day_before(history, candles, as_of) if any_daily(indicators) else None,
    }
    for one, names in zip(indicators, columns_of(indicators), strict=True):
        table = tables[one.window is None]
        assert table is not None
        whole = pa.concat_tables([table, candles.table])
        days = trading_days(candles.grid, whole["start"].to_numpy()) if one.window is None else None
        places = np.arange(table.num_rows, whole.num_rows)
        found.update(zip(names, evaluate(one, bar_columns(whole), places, days), strict=True))
    return found


def _before(history: History, candles: Candles, count: int, fill: str, as_of: AsOf) -> pa.Table:
    """Return the last `count` bars before the first of these."""
    first, key = candles.table["start"][0].as_py(), bar_keys(candles.table)[0]
    asked = count
    while asked > 0:
        # Bars by activity may begin at the same time, so there the first itself is read, too.
        shared = key != first
        found = history.candles(
            candles.instrument,
            candles.grid,
            basis=candles.basis,
            end=first + shared,
            limit=asked,
            fill=fill,
            as_of=as_of,
        ).table
        earlier = found.slice(0, int(np.searchsorted(bar_keys(found), key)))
        if earlier.num_rows >= count or found.num_rows < asked:
            return earlier.slice(max(earlier.num_rows - count, 0))
        asked += count + found.num_rows - earlier.num_rows
    return candles.table.slice(0, 0)


def _day_before(history: History, candles: Candles, as_of: AsOf) -> pa.Table:
    """Return the bars of the first bar's trading day that are before it."""
    first, key = candles.table["start"][0].as_py(), bar_keys(candles.table)[0]
    found = history.candles(
        candles.instrument,
        candles.grid,
        basis=candles.basis,
        start=int(trading_days(candles.grid, np.array([first]))[0]),
        end=first + (key != first),
        as_of=as_of,
    ).table
    return found.slice(0, int(np.searchsorted(bar_keys(found), key)))


def read_affected(
    history: History,
    instrument: Instrument,
    grid: Grid,
    indicators: Sequence[Indicator],
    changed: Sequence[tuple[int, int]],
    *,
    basis: str,
    as_of: AsOf,
) -> Iterator[Indicated]:
    """Yield the bars whose values depend on bars that changed, each run of them with its values.

    `changed` are (start, end) of the bars, rising; some may be gone. A few more bars may be
    among the answers, and one may come twice. Blocks.
    """
    reach = max((one.window or 1) - 1 for one in indicators)
    daily = any_daily(indicators)
    read = partial(history.candles, instrument, grid, basis=basis, as_of=as_of)
    for low, high in _runs(changed, reach * grid.length_ns_max):
        # Bars by activity end with their last event, others right after.
        tables = [read(start=low, end=high + 1).table, _after(read, high, reach)]
        if daily:
            day = int(trading_days(grid, np.array([high - 1]))[0])
            tables.append(read(start=high, end=replace(grid, interval=_DAY).next(day)).table)
        whole = pa.concat_tables(tables)
        whole = whole.take(pa.array(np.unique(bar_keys(whole), return_index=True)[1]))
        candles = Candles(instrument, grid, basis, whole)
        yield Indicated(candles, values_of(history, candles, indicators, "none", as_of))


def _after(read: Callable[..., Candles], start: int, count: int) -> pa.Table:
    """Return at least `count` bars that begin after a time, or all, and those that end there."""
    asked = count
    while True:
        found = read(start=start, limit=asked).table
        later = int((found["start"].to_numpy() > start).sum())
        if later >= count or found.num_rows < asked:
            return found
        asked += max(count, found.num_rows)


def _runs(changed: Sequence[tuple[int, int]], gap: int) -> Iterator[tuple[int, int]]:
    """Yield spans of bars that are so near to each other that they affect the same ones."""
    low, high = changed[0]
    for start, end in changed[1:]:
        if start - high > gap:
            yield low, high
            low = start
        high = max(high, end)
    yield low, high


def bar_keys(table: pa.Table | pa.RecordBatch) -> Ints:
    """Return what tells the bars of an instrument apart, rising with time, shape (n,).

    It is a bar's start, or for bars by activity the start of its day plus its number in it.
    """
    if "index" not in table.schema.names:
        return np.asarray(table.column("start").to_numpy())
    days, indexes = table.column("day").to_numpy(), table.column("index").to_numpy()
    return np.asarray(days + indexes)


def any_daily(indicators: Sequence[Indicator]) -> bool:
    """Say whether the window of one of them is the trading day."""
    return any(one.window is None for one in indicators)


def trading_days(grid: Grid, starts: Ints) -> Ints:
    """Return the start of the trading day that each bar starts in, shape (n,)."""
    return replace(grid, interval=_DAY).starts(starts)


def bar_columns(table: pa.Table) -> Columns:
    """Return what sources are made of as NumPy columns, NaN for null."""
    return {
        name: np.asarray(table[name].to_numpy(zero_copy_only=False), np.float64)
        for name in BAR_COLUMNS
    }
