"""Values of indicators for a run of bars, each from its own window."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from tickplant.analytics.catalogue import Indicator
from tickplant.analytics.sources import source_column
from tickplant.analytics.vwap import anchored_vwap, rolling_vwap

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def evaluate(
    indicator: Indicator,
    bars: Mapping[str, Floats],
    places: Sequence[int] | Ints,
    days: Ints | None = None,
) -> Floats:
    """Return the indicator's columns at some bars, shape (columns, len(places)).

    `bars` are columns of shape (n,) by name, in order, with NaN for what is missing; `places` are
    numbers of bars, rising. The bars before them must reach back over the indicator's window, or
    to the first bar that there is. `days` tells the trading days of the bars apart, for an
    indicator whose window is the day. A bar that lacks a source is no part of any window and has
    NaN, as has one with too few bars before it.
    """
    found = np.full((len(indicator.kind.columns), len(places)), np.nan)
    series = [source_column(bars, name) for name in indicator.inputs]
    # A bar without a vwap was traded without sizes; it counts as a bar, and adds nothing.
    required = series[:1] if indicator.kind.formula is None else series
    known = np.flatnonzero(~np.isnan(np.array(required)).any(axis=0))
    ranks = np.full(len(series[0]), -1)
    ranks[known] = np.arange(len(known))
    wanted = ranks[np.asarray(places, np.int64)]
    columns = np.flatnonzero(wanted >= 0)
    series = [values[known] for values in series]
    if not len(columns):
        return found
    if indicator.kind.formula is None:
        kept_days = None if days is None else days[known]
        found[0, columns] = _vwap(indicator, series, wanted[columns], kept_days)
    else:
        _fill(found, indicator, series, columns, wanted[columns])
    return found


def _fill(
    found: Floats, indicator: Indicator, series: list[Floats], columns: Ints, ranks: Ints
) -> None:
    formula, needed, window = indicator.kind.formula, indicator.needed, indicator.window
    assert formula is not None
    assert window is not None
    parameters = {name: value for name, value in indicator.given if name != "source"}
    for column, rank in zip(columns.tolist(), ranks.tolist(), strict=True):
        if rank + 1 >= needed:
            first = max(rank + 1 - window, 0)
            windows = (values[first : rank + 1] for values in series)
            found[:, column] = formula(*windows, **parameters)


def _vwap(indicator: Indicator, series: list[Floats], ranks: Ints, days: Ints | None) -> Floats:
    volume, vwap = series
    last = int(ranks[-1]) + 1
    if indicator.window is not None:
        first = max(int(ranks[0]) + 1 - indicator.window, 0)
        values = rolling_vwap(volume[first:last], vwap[first:last], indicator.window)
    else:
        assert days is not None
        first = int(np.searchsorted(days, days[ranks[0]]))
        values = anchored_vwap(volume[first:last], vwap[first:last], days[first:last])
    return values[ranks - first]
