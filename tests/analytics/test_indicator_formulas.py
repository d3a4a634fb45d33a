"""Every indicator against textbook loops in decimals, and its independence of what lies before."""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import indicator_oracle as oracle
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tickplant.analytics import library
from tickplant.analytics.ask import parse_indicators
from tickplant.analytics.evaluate import evaluate
from tickplant.model.errors import NotInstalled

Bars = dict[str, np.ndarray]


def random_bars(seed: int, count: int, scale: float = 100.0, step: float = 0.01) -> Bars:
    """Bars of a random walk on a grid of prices; some bars were traded without sizes."""
    rng = np.random.default_rng(seed)
    close = scale * (1 + step * np.cumsum(rng.integers(-3, 4, count)) / 10)
    close = np.maximum(close, scale / 10)
    open_ = np.append(close[:1], close[:-1])
    wick = scale * step * rng.integers(0, 4, (2, count)) / 10
    volume = rng.integers(0, 4, count) * rng.random(count)
    return {
        "open": open_,
        "high": np.maximum(open_, close) + wick[0],
        "low": np.minimum(open_, close) - wick[1],
        "close": close,
        "volume": volume,
        "vwap": np.where(volume > 0, (open_ + close) / 2, np.nan),
    }


def values(asked: str, bars: Bars, days: Any = None) -> list[list[float]]:
    (indicator,) = parse_indicators(asked)
    places = np.arange(len(bars["close"]))
    return evaluate(indicator, bars, places, days).tolist()


def check(ours: Sequence[float], theirs: oracle.Series, tolerance: float) -> None:
    known = [value is not None for value in theirs]
    assert [not math.isnan(value) for value in ours] == known
    for value, true in zip(ours, theirs, strict=True):
        if true is not None:
            assert abs(Decimal(value) - true) <= Decimal(tolerance)


SCALES = [(100.0, 0.01), (1.39, 1e-6), (30_000.0, 0.001), (1e-7, 0.01)]


@pytest.mark.parametrize(("scale", "step"), SCALES)
@pytest.mark.parametrize("period", [2, 3, 14, 20])
def test_averages_are_those_of_the_textbook(scale: float, step: float, period: int) -> None:
    bars = random_bars(period, 150, scale, step)
    close, near = bars["close"].tolist(), scale * 1e-12
    check(values(f"sma:{period}", bars)[0], oracle.sma(close, period), near)
    check(values(f"wma:{period}", bars)[0], oracle.wma(close, period), near)
    check(values(f"ema:{period}", bars)[0], oracle.ema(close, period), near)


@pytest.mark.parametrize(("scale", "step"), SCALES)
def test_bands_are_those_of_the_textbook_even_where_prices_hardly_move(
    scale: float, step: float
) -> None:
    bars = random_bars(1, 120, scale, step)
    theirs = oracle.bbands(bars["close"].tolist(), 20, 2.5)
    for ours, true in zip(values("bbands:20:2.5", bars), theirs, strict=True):
        check(ours, true, scale * 1e-12)
    flat = {**bars, "close": np.full(120, scale)}
    lower, _, upper = values("bbands:20", flat)
    assert lower[-1] == pytest.approx(upper[-1], rel=1e-12)


@pytest.mark.parametrize(("scale", "step"), SCALES)
@pytest.mark.parametrize("period", [2, 14])
def test_wilders_indicators_are_those_of_the_textbook(
    scale: float, step: float, period: int
) -> None:
    bars = random_bars(period + 1, 600 if period == 14 else 120, scale, step)
    columns = [bars[name].tolist() for name in ("high", "low", "close")]
    check(values(f"atr:{period}", bars)[0], oracle.atr(*columns, period), scale * 1e-11)
    # A range that is a millionth of the price has lost six of its sixteen digits.
    check(values(f"rsi:{period}", bars)[0], oracle.rsi(columns[2], period), 1e-9 / step)


@pytest.mark.parametrize(("scale", "step"), SCALES)
@pytest.mark.parametrize("parameters", [(12, 26, 9), (2, 3, 2), (5, 35, 5)])
def test_macd_is_that_of_the_textbook(
    scale: float, step: float, parameters: tuple[int, int, int]
) -> None:
    bars = random_bars(7, 700, scale, step)
    theirs = oracle.macd(bars["close"].tolist(), *parameters)
    ours = values("macd:{}:{}:{}".format(*parameters), bars)
    for column, true in zip(ours, theirs, strict=True):
        check(column, true, scale * 1e-11)


def test_sources_are_columns_and_means_of_them() -> None:
    bars = random_bars(3, 30)
    high, low, close, open_ = (bars[name] for name in ("high", "low", "close", "open"))
    for source, column in {
        "open": open_,
        "high": high,
        "low": low,
        "volume": bars["volume"],
        "hl2": (high + low) / 2,
        "hlc3": (high + low + close) / 3,
        "ohlc4": (open_ + high + low + close) / 4,
    }.items():
        check(
            values(f"sma:3:{source}", bars)[0],
            oracle.sma(column.tolist(), 3),
            1e-12 * float(np.abs(column).max()),
        )


def test_there_is_no_strength_where_nothing_moves() -> None:
    bars = {**random_bars(1, 20), "close": np.full(20, 100.0)}
    assert np.isnan(values("rsi:3", bars)[0]).all()
    rising = {**bars, "close": np.arange(20.0)}
    assert values("rsi:3", rising)[0][3:] == [100.0] * 17
    assert values("rsi:3", {**bars, "close": 50 - np.arange(20.0)})[0][3:] == [0.0] * 17


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 60), st.integers(2, 9), st.integers(1, 20))
def test_vwap_is_the_quotient_of_exact_sums(seed: int, count: int, period: int, day: int) -> None:
    bars = random_bars(seed, count)
    prices = [None if math.isnan(price) else price for price in bars["vwap"].tolist()]
    volume = bars["volume"].tolist()
    rolling = [(i - period + 1, i) for i in range(period - 1, count)]
    expected = [None] * min(period - 1, count) + oracle.vwap(volume, prices, rolling)
    assert plain(values(f"vwap:{period}", bars)[0]) == expected
    days = np.arange(count) // day
    anchored = [(i - i % day, i) for i in range(count)]
    assert plain(values("vwap", bars, days)[0]) == oracle.vwap(volume, prices, anchored)


def plain(numbers: list[float]) -> list[float | None]:
    return [None if math.isnan(number) else number for number in numbers]


ASKED = ["sma:5", "wma:4", "ema:3", "rsi:2", "macd:2:4:3", "bbands:6", "atr:3", "vwap:4", "vwap"]


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(ASKED), st.integers(0, 120))
def test_a_value_depends_on_its_window_and_on_nothing_else(
    seed: int, asked: str, place: int
) -> None:
    bars, days = random_bars(seed, 121), np.arange(121) // 50
    (indicator,) = parse_indicators(asked)
    whole = evaluate(indicator, bars, [place], days)
    first = place - place % 50 if indicator.window is None else max(place - indicator.window + 1, 0)
    window = {name: column[first : place + 1] for name, column in bars.items()}
    alone = evaluate(indicator, window, [place - first], days[first : place + 1])
    many = evaluate(indicator, bars, np.arange(121), days)
    assert np.array_equal(whole, alone, equal_nan=True)
    assert np.array_equal(whole[:, 0], many[:, place], equal_nan=True)


@pytest.mark.parametrize("asked", ["ema:20", "rsi:14", "macd", "atr:14"])
def test_what_lies_before_the_window_weighs_next_to_nothing(asked: str) -> None:
    (indicator,) = parse_indicators(asked)
    bars = random_bars(5, 900)
    assert indicator.window is not None
    before = 900 - indicator.window
    shifted = {name: column.copy() for name, column in bars.items()}
    for name in ("open", "high", "low", "close"):
        shifted[name][:before] *= 2
    ours, theirs = (
        evaluate(indicator, {k: v[cut:] for k, v in one.items()}, [899 - cut])
        for one, cut in ((bars, before), (shifted, before))
    )
    assert np.array_equal(ours, theirs)
    # The same average that remembers all of it, at twice the price, moves by less than 1e-9.
    remembered = oracle_last(asked, shifted)
    for value, true in zip(theirs[:, 0].tolist(), remembered, strict=True):
        assert abs(Decimal(value) - true) < Decimal("1e-9")


def oracle_last(asked: str, bars: Bars) -> list[Decimal]:
    close = bars["close"].tolist()
    found: dict[str, list[oracle.Series]] = {
        "ema:20": [oracle.ema(close, 20)],
        "rsi:14": [oracle.rsi(close, 14)],
        "macd": oracle.macd(close, 12, 26, 9),
        "atr:14": [oracle.atr(bars["high"].tolist(), bars["low"].tolist(), close, 14)],
    }
    last = [series[-1] for series in found[asked]]
    assert None not in last
    return [value for value in last if value is not None]


def test_bars_without_prices_are_no_part_of_any_window() -> None:
    bars = random_bars(2, 40)
    kept = np.arange(40) % 3 > 0
    holed = {name: np.where(kept, column, np.nan) for name, column in bars.items()}
    holed["volume"] = np.where(kept, bars["volume"], 0.0)
    days = np.arange(40) // 10
    alone = {name: column[kept] for name, column in bars.items()}
    for asked in ASKED:
        (indicator,) = parse_indicators(asked)
        mine = evaluate(indicator, holed, np.arange(40), days)
        theirs = evaluate(indicator, alone, np.arange(kept.sum()), days[kept])
        assert np.isnan(mine[:, ~kept]).all()
        assert np.array_equal(mine[:, kept], theirs, equal_nan=True), asked


def test_without_the_library_the_message_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "talib", None)
    library.require.cache_clear()
    library.talib.cache_clear()
    try:
        with pytest.raises(NotInstalled, match=r"pip install 'tickplant\[indicators\]'"):
            parse_indicators("vwap,sma:2")
        assert len(values("vwap:2", random_bars(1, 5))) == 1
    finally:
        library.require.cache_clear()
        library.talib.cache_clear()
