"""What a caller writes: names, parameters behind them and beside them, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickplant.analytics.ask import columns_of, parse_indicators, sources_of
from tickplant.analytics.catalogue import KINDS
from tickplant.model.errors import InvalidParameter


def labels(name: Any, **parameters: Any) -> list[str]:
    return [one.label for one in parse_indicators(name, parameters)]


def test_names_stand_alone_or_with_their_parameters() -> None:
    assert labels("sma") == ["sma:20"]
    assert labels(" SMA:5 , ema:50:HLC3,vwap") == ["sma:5", "ema:50:hlc3", "vwap"]
    assert labels(["macd:3:6", "bbands:20:2.5:open"]) == ["macd:3:6:9", "bbands:20:2.5:open"]
    assert labels("sma:close") == ["sma:20"]


def test_parameters_go_to_whoever_has_them_and_does_not_name_its_own() -> None:
    assert labels("sma,atr:7,macd", period=9, source="open") == [
        "sma:9:open",
        "atr:7",
        "macd:12:26:9:open",
    ]
    assert labels("bbands", deviations="1.5", period=None) == ["bbands:20:1.5"]


def test_every_label_means_the_indicator_that_has_it() -> None:
    given = [f"{name}:7" for name in KINDS if name != "macd"]
    for asked in (given, list(KINDS), ["macd:2:9:4:volume", "bbands:5:0.25", "sma:3:open"]):
        for one in parse_indicators(asked):
            assert parse_indicators(one.label) == (one,)


def test_columns_have_parameters_only_where_they_are_needed_to_tell_them_apart() -> None:
    found = parse_indicators("sma:5,sma:20:open,macd,bbands:20:2.5")
    assert columns_of(found) == [
        ("sma_5",),
        ("sma_20_open",),
        ("macd", "signal", "histogram"),
        ("lower", "middle", "upper"),
    ]
    assert sources_of(found) == ("close", "open")
    assert sources_of(parse_indicators("vwap,atr,rsi:5:hl2")) == ("volume", "close", "hl2")


REFUSED: list[tuple[Any, dict[str, Any], str]] = [
    (None, {}, "name: an empty value is not allowed; allowed is sma, ema"),
    ("", {}, "name: an empty value"),
    (",", {}, "name: "),
    ("sma,", {}, "name: an empty value"),
    ("sam", {}, "name: sam is not allowed; allowed is sma, ema, wma, vwap"),
    ("sma:1", {}, "period: 1 is not allowed; allowed is a whole number from 2 to 1000"),
    ("sma:1001", {}, "period: 1001"),
    ("sma:2.5", {}, "period: 2.5"),
    ("sma:-3", {}, "period: -3"),
    ("sma:²", {}, "period: ²"),
    ("sma:", {}, "name: sma: is not allowed; allowed is sma:period:source"),
    ("sma:5:6", {}, "source: 6 is not allowed; allowed is open, high, low, close"),
    ("sma:5:price", {}, "source: price is not allowed"),
    ("sma:5:close:7", {}, "name: sma:5:close:7 is not allowed; allowed is sma:period:source"),
    ("atr:5:close", {}, "name: atr:5:close is not allowed; allowed is atr:period"),
    ("macd:26:12", {}, "fast: 26 is not allowed; allowed is less than slow, which is 12"),
    ("bbands:20:0", {}, "deviations: 0 is not allowed; allowed is a number above 0"),
    ("bbands:20:nan", {}, "deviations: nan"),
    ("bbands:20:1e999", {}, "deviations: 1e999"),
    ("sma:5,sma:5", {}, "name: sma:5 is not allowed; allowed is each indicator once"),
    ("sma", {"fast": 3}, "fast: 3 is not allowed; allowed is only period, source with sma"),
    ("sma:5", {"period": 6}, "period: 6 is not allowed; allowed is only source with sma"),
    ("sma,atr", {"deviations": 3}, "deviations: 3 .* with sma, atr"),
    ("sma", {"period": True}, "period: True"),
    ("sma", {"source": "price"}, "source: price is not allowed; allowed is open, high"),
    ("sma", {"colour": 1}, "colour: 1 is not allowed; allowed is only period, fast"),
    ([f"sma:{n}" for n in range(2, 19)], {}, "at most 16 indicators"),
]


@pytest.mark.parametrize(("name", "parameters", "said"), REFUSED)
def test_what_is_not_allowed_is_refused_with_what_is(
    name: Any, parameters: dict[str, Any], said: str
) -> None:
    with pytest.raises(InvalidParameter, match=said):
        parse_indicators(name, parameters)


@given(st.text(alphabet="smaewvrdict:,.0123456789-+e close\x00é", max_size=30))
def test_no_text_is_a_fault_of_ours(text: str) -> None:
    try:
        found = parse_indicators(text)
    except InvalidParameter:
        return
    assert found
