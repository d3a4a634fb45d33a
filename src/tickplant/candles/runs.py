"""Blocks of candle states, and reductions over runs of rows that make and merge them.

A block is int64 of shape (24, n), or (27, n) for candles of quotes: a row for each column and a
column for each candle; the float columns are views of their bits. Taking, joining and gathering
states is thus one call. What a candle has nothing for is held by the neutral element of its
merging: no open lies at the end of time and no close at its beginning, both with the price NaN; no
high is -inf, no low inf.

Rows are sorted by (instrument, candle) with the row's place packed into the lower bits of the key,
so that a plain sort of integers, which is several times faster, is a stable one. Then every column
is one reduction over the runs of equal keys.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tickplant.candles import exact
from tickplant.model.conditions import Update

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bits = NDArray[np.uint8]
Flags = NDArray[np.bool_]

INSTRUMENT, START = 0, 1
OPEN, OPEN_TS, OPEN_SEQ = 2, 3, 4
HIGH, LOW = 5, 6
CLOSE, CLOSE_TS, CLOSE_SEQ = 7, 8, 9
COUNT, SEQ_MAX = 10, 11
VOLUME = 12
NOTIONAL = VOLUME + exact.DIGITS
COLUMNS = NOTIONAL + exact.DIGITS

# Quotes have no sizes: their two sums are those of spreads and middles, over as many as SPREADS.
SPREAD_SUM, MIDDLE_SUM = VOLUME, NOTIONAL
SPREAD_MIN, SPREAD_MAX, SPREADS = COLUMNS, COLUMNS + 1, COLUMNS + 2
QUOTE_COLUMNS = SPREADS + 1

_EARLIEST, _LATEST = np.iinfo(np.int64).min, np.iinfo(np.int64).max


def find_order(instrument: Ints, starts: Ints, unit_ns: int) -> Ints | None:
    """Return the stable order by (instrument, start), or None where it is the present one.

    `instrument` may have shape (1,). Starts differ by multiples of `unit_ns`.
    """
    if starts.size == 1:
        return None
    low = instrument.min()
    ordinal = (starts - starts.min()) // unit_ns
    width = int(ordinal.max()) + 1
    top = (int(instrument.max() - low) + 1) * width
    place_bits = ordinal.size.bit_length()
    if top.bit_length() + place_bits > 62:
        return np.lexsort((starts, np.broadcast_to(instrument, starts.shape)))
    key: Ints = (instrument - low) * width + ordinal
    if (key[1:] >= key[:-1]).all():
        return None
    key <<= place_bits
    key |= np.arange(key.size)
    key.sort()
    key &= (1 << place_bits) - 1
    return key


def find_runs(instrument: Ints, starts: Ints) -> Ints:
    """Return where a new (instrument, start) begins; `instrument` may have shape (1,)."""
    new = np.empty(starts.size, np.bool_)
    new[0] = True
    np.not_equal(starts[1:], starts[:-1], out=new[1:])
    if instrument.size > 1:
        new[1:] |= instrument[1:] != instrument[:-1]
    return np.flatnonzero(new)


def fill_prices(block: Ints, groups: Ints, ts: Ints, seq: Ints, price: Floats) -> None:
    """Reduce prices and numbers of rows in runs that begin at `groups`."""
    counts = lengths_of(groups, ts.size)
    block[COUNT] = counts
    if _rising(ts, seq):
        opens, closes = groups, groups + counts - 1
        block[SEQ_MAX] = seq[closes]
    else:
        opens = _extreme(np.minimum, groups, counts, ts, seq)
        closes = _extreme(np.maximum, groups, counts, ts, seq)
        block[SEQ_MAX] = np.maximum.reduceat(seq, groups)
    _fill_open(block, ts[opens], seq[opens], price[opens])
    _fill_close(block, ts[closes], seq[closes], price[closes])
    _fill_extremes(block, groups, price, price)


def fill_some_prices(
    block: Ints, groups: Ints, ts: Ints, seq: Ints, price: Floats, updates: Bits
) -> None:
    """Do the same where a row is only taken for what its bits in `updates` say."""
    counts = lengths_of(groups, ts.size)
    block[COUNT] = counts
    block[SEQ_MAX] = np.maximum.reduceat(seq, groups)
    on = updates & int(Update.OPEN) != 0
    rows, some = _chosen(np.minimum, on, groups, counts, ts, seq)
    times, numbers = np.where(some, ts[rows], _LATEST), np.where(some, seq[rows], _LATEST)
    _fill_open(block, times, numbers, np.where(some, price[rows], np.nan))
    on = updates & int(Update.LAST) != 0
    rows, some = _chosen(np.maximum, on, groups, counts, ts, seq)
    times, numbers = np.where(some, ts[rows], _EARLIEST), np.where(some, seq[rows], _EARLIEST)
    _fill_close(block, times, numbers, np.where(some, price[rows], np.nan))
    on = updates & int(Update.HIGH_LOW) != 0
    _fill_extremes(block, groups, np.where(on, price, -np.inf), np.where(on, price, np.inf))


def _fill_open(block: Ints, ts: Ints, seq: Ints, price: Floats) -> None:
    block[OPEN_TS], block[OPEN_SEQ] = ts, seq
    # Adding 0.0 makes of -0.0 a 0.0, lest a high or low depend on which of them came first.
    block.view(np.float64)[OPEN] = price + 0.0


def _fill_close(block: Ints, ts: Ints, seq: Ints, price: Floats) -> None:
    block[CLOSE_TS], block[CLOSE_SEQ] = ts, seq
    block.view(np.float64)[CLOSE] = price + 0.0


def _fill_extremes(block: Ints, groups: Ints, highs: Floats, lows: Floats) -> None:
    floats = block.view(np.float64)
    floats[HIGH] = np.maximum.reduceat(highs, groups) + 0.0
    floats[LOW] = np.minimum.reduceat(lows, groups) + 0.0


def lengths_of(groups: Ints, n: int) -> Ints:
    """Return the lengths of the runs of n rows that begin at `groups`."""
    counts = np.empty_like(groups)
    counts[:-1] = groups[1:]
    counts[-1] = n
    counts -= groups
    return counts


def _extreme(least: np.ufunc, groups: Ints, counts: Ints, ts: Ints, seq: Ints) -> Ints:
    """Return the row with the least (ts, seq) of each run; `least` may be the maximum, too."""
    if groups.size == ts.size:
        return groups
    hits = np.flatnonzero(ts == np.repeat(least.reduceat(ts, groups), counts))
    if hits.size == groups.size:
        return hits
    run = np.searchsorted(groups, hits, "right") - 1
    first = find_runs(run[:1], run)
    bests = np.repeat(least.reduceat(seq[hits], first), lengths_of(first, hits.size))
    best = seq[hits] == bests
    hits, run = hits[best], run[best]
    rows: Ints = hits[find_runs(run[:1], run)]
    return rows


def _chosen(
    least: np.ufunc, on: Flags, groups: Ints, counts: Ints, ts: Ints, seq: Ints
) -> tuple[Ints, Flags]:
    """Do as `_extreme` among the rows that are `on`; also say whether a run has one."""
    if _rising(ts, seq):
        worst = ts.size if least is np.minimum else -1
        rows: Ints = least.reduceat(np.where(on, np.arange(ts.size), worst), groups)
        some: Flags = rows != worst
        return np.where(some, rows, 0), some
    worst = _LATEST if least is np.minimum else _EARLIEST
    rows = _extreme(least, groups, counts, np.where(on, ts, worst), np.where(on, seq, worst))
    return rows, on[rows]


def _rising(ts: Ints, seq: Ints) -> bool:
    return bool((seq[1:] > seq[:-1]).all() and (ts[1:] >= ts[:-1]).all())


def sum_sizes(block: Ints, groups: Ints, price: Floats, size: Floats | None) -> None:
    """Sum sizes and notionals of rows in runs that begin at `groups`; NaN counts as no size."""
    if size is None:
        block[VOLUME:COLUMNS] = 0
        return
    unsized = np.isnan(size)
    if unsized.any():
        size = np.where(unsized, 0.0, size)
    block[VOLUME:NOTIONAL] = exact.sum_groups(size, groups)
    block[NOTIONAL:COLUMNS] = exact.sum_groups(price * size, groups)


def fill_spreads(block: Ints, groups: Ints, spread: Floats, middle: Floats) -> None:
    """Reduce spreads and middles of quotes in runs that begin at `groups`; NaN is one-sided."""
    floats = block.view(np.float64)
    one_sided = np.isnan(spread)
    lows = highs = spread
    block[SPREADS] = lengths_of(groups, spread.size)
    if one_sided.any():
        lows, highs = np.where(one_sided, np.inf, spread), np.where(one_sided, -np.inf, spread)
        spread, middle = np.where(one_sided, 0.0, spread), np.where(one_sided, 0.0, middle)
        block[SPREADS] -= np.add.reduceat(one_sided.astype(np.int64), groups)
    floats[SPREAD_MIN] = np.minimum.reduceat(lows, groups) + 0.0
    floats[SPREAD_MAX] = np.maximum.reduceat(highs, groups) + 0.0
    block[SPREAD_SUM:MIDDLE_SUM] = exact.sum_groups(spread, groups)
    block[MIDDLE_SUM:COLUMNS] = exact.sum_groups(middle, groups)


def merge_runs(block: Ints, groups: Ints) -> Ints:
    """Merge runs of columns that begin at `groups`; most often most of them are runs of one."""
    counts = lengths_of(groups, block.shape[1])
    several = counts > 1
    merging = np.flatnonzero(several)
    if 2 * merging.size > groups.size:
        return _merge_all(block, groups, counts)
    out: Ints = block.take(groups, axis=1)
    of_several = np.repeat(several, counts)
    counts = counts[merging]
    part = block.take(np.flatnonzero(of_several), axis=1)
    out[:, merging] = _merge_all(part, np.cumsum(counts) - counts, counts)
    return out


def _merge_all(block: Ints, groups: Ints, counts: Ints) -> Ints:
    out = np.empty((len(block), groups.size), np.int64)
    out[:OPEN] = block[:OPEN, groups]
    opens = _extreme(np.minimum, groups, counts, block[OPEN_TS], block[OPEN_SEQ])
    closes = _extreme(np.maximum, groups, counts, block[CLOSE_TS], block[CLOSE_SEQ])
    out[OPEN : OPEN_SEQ + 1] = block[OPEN : OPEN_SEQ + 1, opens]
    out[CLOSE : CLOSE_SEQ + 1] = block[CLOSE : CLOSE_SEQ + 1, closes]
    floats, merged = block.view(np.float64), out.view(np.float64)
    merged[HIGH] = np.maximum.reduceat(floats[HIGH], groups)
    merged[LOW] = np.minimum.reduceat(floats[LOW], groups)
    out[SEQ_MAX] = np.maximum.reduceat(block[SEQ_MAX], groups)
    out[COUNT] = np.add.reduceat(block[COUNT], groups)
    out[VOLUME:COLUMNS] = np.add.reduceat(block[VOLUME:COLUMNS], groups, axis=1)
    exact.carry(out[VOLUME:COLUMNS].reshape(2, exact.DIGITS, -1))
    if len(block) > COLUMNS:
        merged[SPREAD_MIN] = np.minimum.reduceat(floats[SPREAD_MIN], groups)
        merged[SPREAD_MAX] = np.maximum.reduceat(floats[SPREAD_MAX], groups)
        out[SPREADS] = np.add.reduceat(block[SPREADS], groups)
    return out


def merge_pairs(ours: Ints, theirs: Ints) -> Ints:
    """Merge two blocks candle by candle; both have the same candles in the same places."""
    out = ours.copy()
    earlier = _before(theirs[OPEN_TS], theirs[OPEN_SEQ], ours[OPEN_TS], ours[OPEN_SEQ])
    later = _before(ours[CLOSE_TS], ours[CLOSE_SEQ], theirs[CLOSE_TS], theirs[CLOSE_SEQ])
    np.copyto(out[OPEN : OPEN_SEQ + 1], theirs[OPEN : OPEN_SEQ + 1], where=earlier)
    np.copyto(out[CLOSE : CLOSE_SEQ + 1], theirs[CLOSE : CLOSE_SEQ + 1], where=later)
    floats, other = out.view(np.float64), theirs.view(np.float64)
    np.maximum(floats[HIGH], other[HIGH], out=floats[HIGH])
    np.minimum(floats[LOW], other[LOW], out=floats[LOW])
    np.maximum(out[SEQ_MAX], theirs[SEQ_MAX], out=out[SEQ_MAX])
    out[COUNT] += theirs[COUNT]
    out[VOLUME:COLUMNS] += theirs[VOLUME:COLUMNS]
    exact.carry(out[VOLUME:COLUMNS].reshape(2, exact.DIGITS, -1))
    if len(out) > COLUMNS:
        np.minimum(floats[SPREAD_MIN], other[SPREAD_MIN], out=floats[SPREAD_MIN])
        np.maximum(floats[SPREAD_MAX], other[SPREAD_MAX], out=floats[SPREAD_MAX])
        out[SPREADS] += theirs[SPREADS]
    return out


def _before(ts: Ints, seq: Ints, other_ts: Ints, other_seq: Ints) -> NDArray[np.bool_]:
    before: NDArray[np.bool_] = (ts < other_ts) | ((ts == other_ts) & (seq < other_seq))
    return before
