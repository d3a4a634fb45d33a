"""Random rows for the tests of candles, and what candles look like as plain tuples."""

from __future__ import annotations

import math

import numpy as np
from candle_oracle import NS, Origin, Row
from hypothesis import strategies as st

from tickplant.candles.grid import Grid
from tickplant.candles.interval import parse_interval
from tickplant.candles.states import FinishedBars, States, build

GRIDS = [
    ("1s", "UTC", "00:00"), ("1m", "UTC", "00:00"), ("7m", "Asia/Kolkata", "09:15"),
    ("1h", "America/New_York", "17:00"), ("1d", "America/New_York", "17:00"),
    ("1d", "Australia/Lord_Howe", "00:00"), ("1w", "UTC", "22:00"),
    ("1mo", "Europe/London", "00:00"),
]  # fmt: skip
BASE = 1_710_050_000 * NS  # in the night in which New York changes its clocks, 2024-03-10

prices = st.one_of(
    st.floats(1e-12, 1e12),
    st.sampled_from([0.1, 0.2, 0.3, 1.38817, 100.25, 1e12, 1e-8, float("nan"), -5.25, 0.0, -0.0]),
)
sizes = st.one_of(
    st.floats(0.0, 1e15, allow_subnormal=False).map(lambda x: x if x > 1e-9 else 0.0),
    st.sampled_from([0.0, 1.0, 0.1, 1e15, 0.00000001, float("nan")]),
)


@st.composite
def row_lists(draw: st.DrawFn, max_size: int = 30) -> list[Row]:
    """Rows in order of arrival: seq rises, times do not."""
    spread = draw(st.sampled_from([3, 300, 90_000, 4_000_000]))
    times = st.builds(
        lambda s, rest: BASE + s * NS + rest,
        st.integers(-spread, spread),
        st.sampled_from([0, 0, 1, 999_999_999]),
    )
    drawn = draw(st.lists(st.tuples(st.integers(1, 3), times, prices, sizes), max_size=max_size))
    # A product that would be below the domain of exact sums is left to a test of its own.
    return [
        Row(instrument, ts, seq, price, size if abs(price) > 1e-3 else 0.0)
        for seq, (instrument, ts, price, size) in enumerate(drawn, 1)
    ]


def grid_of(text: str, zone: str, day_start: str) -> Grid:
    return Grid(parse_interval(text), zone, day_start)


def origin_of(grid: Grid) -> Origin:
    return Origin(grid.timezone, int(grid.day_start[:2]), int(grid.day_start[3:]))


def columns(rows: list[Row]) -> tuple[np.ndarray, ...]:
    return (
        np.array([row.instrument for row in rows], np.int32),
        np.array([row.ts for row in rows], np.int64),
        np.array([row.seq for row in rows], np.int64),
        np.array([row.price for row in rows], np.float64),
        np.array([row.size for row in rows], np.float64),
    )


def built(grid: Grid, rows: list[Row]) -> States:
    return build(grid, *columns(rows))


def as_dict(bars: FinishedBars) -> dict[tuple[int, int], tuple[float, ...]]:
    names = ("open", "high", "low", "close", "volume", "vwap", "count", "revision")
    keys = zip(bars.instrument.tolist(), bars.start.tolist(), strict=True)
    values = zip(*(getattr(bars, name).tolist() for name in names), strict=True)
    out = dict(zip(keys, values, strict=True))
    assert len(out) == bars.start.size
    return out


def published(candles: dict[tuple[int, int], tuple[float, ...]]) -> dict:
    """What the oracle's candles look like published."""
    out = {}
    for key, (opened, high, low, close, volume, notional, count, seq) in candles.items():
        vwap = notional / volume if volume > 0 else math.nan
        out[key] = (opened, high, low, close, volume, vwap, count, seq)
    return out


def comparable(bars: dict[tuple[int, int], tuple[float, ...]]) -> dict:
    """The same with None for NaN, so that they can be compared."""
    return {
        key: tuple(None if math.isnan(v) else v for v in values) for key, values in bars.items()
    }
