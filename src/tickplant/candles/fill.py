"""Candles for the times without events: left out, carried on, or null."""

from __future__ import annotations

import numpy as np

from tickplant.candles.grid import Grid
from tickplant.candles.states import FinishedBars, Spreads

FILLS = ("none", "previous", "null")


def fill_gaps(
    bars: FinishedBars,
    grid: Grid,
    start: int,
    end: int,
    how: str,
    *,
    limit: int,
    previous_close: float = np.nan,
) -> FinishedBars:
    """Return the bars of one instrument with those added that [start, end) has no events for.

    An added bar has count 0, volume 0, revision 0, vwap and spreads NaN. Its prices are the last
    close before it for `previous` (`previous_close` ahead of the first bar), else NaN. Bars must be
    rising and within [floor(start), end). No more than the first `limit` candles are returned,
    filled or not.
    """
    if how == "none":
        return _take(bars, np.arange(min(bars.start.size, limit)))
    starts = grid.range(start, end, limit)
    if not starts.size:
        return _take(bars, np.arange(0))
    # Row 0 stands for "no bar", row i + 1 for bar i; each candle takes the row of its own bar.
    before = np.searchsorted(bars.start, starts, "right")
    present = (before > 0) & (np.append(0, bars.start)[before] == starts)
    row = np.where(present, before, 0)
    closes = _last_closes(bars.close, previous_close)[before] if how == "previous" else np.nan
    number = bars.instrument[0] if bars.instrument.size else 0

    def prices(
        column: np.ndarray[tuple[int], np.dtype[np.float64]],
    ) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        return np.where(present, np.append(np.nan, column)[row], closes)

    return FinishedBars(
        np.full(starts.size, number, np.int32),
        starts,
        prices(bars.open),
        prices(bars.high),
        prices(bars.low),
        prices(bars.close),
        np.append(0.0, bars.volume)[row],
        np.append(np.nan, bars.vwap)[row],
        np.append(0, bars.count)[row],
        np.append(0, bars.revision)[row],
        None
        if bars.spreads is None
        else Spreads(*(np.append(np.nan, each)[row] for each in bars.spreads)),
    )


def _last_closes(
    close: np.ndarray[tuple[int], np.dtype[np.float64]], previous: float
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Return the close that is known before and after each bar; a bar may have none of its own."""
    closes = np.append(previous, close)
    known = np.where(np.isnan(closes), 0, np.arange(closes.size))
    return closes[np.maximum.accumulate(known)]


def _take(bars: FinishedBars, index: np.ndarray[tuple[int], np.dtype[np.int64]]) -> FinishedBars:
    return FinishedBars(
        bars.instrument[index], bars.start[index], bars.open[index], bars.high[index],
        bars.low[index], bars.close[index], bars.volume[index], bars.vwap[index],
        bars.count[index], bars.revision[index],
        None if bars.spreads is None else Spreads(*(each[index] for each in bars.spreads)),
    )  # fmt: skip
