"""Each reason code once, what is normalised, and an oracle that reads one row at a time."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tickplant.checks.batch import Bounds, Checked, check_batch
from tickplant.config import CheckSettings
from tickplant.model.events import INCOMING

BOUNDS = Bounds.of(CheckSettings())
NOW = 1_700_000_000_000_000_000
DAY = 86_400_000_000_000


def check(table: str, rows: list[dict[str, Any]], bounds: Bounds = BOUNDS) -> Checked:
    batch = pa.RecordBatch.from_pylist(rows, schema=INCOMING[table])
    return check_batch(table, batch, venue="push", bounds=bounds, now_ns=NOW)


def reasons(table: str, rows: list[dict[str, Any]], bounds: Bounds = BOUNDS) -> dict[int, str]:
    batch = pa.RecordBatch.from_pylist(rows, schema=INCOMING[table])
    checked = check_batch(table, batch, venue="push", bounds=bounds, now_ns=NOW)
    refused = checked.refused(batch)
    assert [p for p, good in enumerate(checked.accepted) if not good] == list(refused)
    return {place: reject.reason for place, reject in refused.items()}


TRADE = {"symbol": "A", "price": 1.0, "side": 0}
QUOTE = {"symbol": "A", "bid_price": 1.0, "ask_price": 1.1}

CASES = [
    ("trades", "symbol_missing", {"symbol": None}), ("trades", "symbol_missing", {"symbol": "  "}),
    ("trades", "symbol_invalid", {"symbol": "A B"}), ("trades", "symbol_invalid", {"symbol": "*"}),
    ("trades", "symbol_invalid", {"symbol": "A" * 65}),
    ("trades", "symbol_invalid", {"symbol": ":A"}), ("trades", "symbol_invalid", {"symbol": "X:"}),
    ("trades", "venue_invalid", {"venue": "a/b"}), ("trades", "venue_invalid", {"symbol": "?:A"}),
    ("trades", "price_missing", {"price": None}), ("trades", "price_not_positive", {"price": 0.0}),
    ("trades", "price_not_positive", {"price": -1.0}),
    ("trades", "price_not_finite", {"price": math.nan}),
    ("trades", "price_not_finite", {"price": math.inf}),
    ("trades", "price_too_large", {"price": 1.1e12}),
    ("trades", "size_negative", {"size": -1.0}), ("trades", "size_not_finite", {"size": math.nan}),
    ("trades", "size_not_finite", {"size": -math.inf}),
    ("trades", "size_too_large", {"size": 1.1e15}),
    ("trades", "ts_too_old", {"ts_event": NOW // 10**9}),
    ("trades", "ts_too_old", {"ts_event": -1}),
    ("trades", "ts_in_future", {"ts_event": NOW + 61 * 10**9}),
    ("trades", "side_invalid", {"side": 3}), ("trades", "side_invalid", {"side": -1}),
    ("trades", "id_too_long", {"id": "é" * 65}), ("trades", "key_too_long", {"key": b"k" * 65}),
    ("trades", "conditions_too_long", {"conditions": "c" * 257}),
    ("trades", "exchange_too_long", {"exchange": "e" * 33}),
    ("quotes", "quote_empty", {"bid_price": None, "ask_price": None}),
    ("quotes", "quote_empty", {"bid_price": 0.0, "ask_price": None}),
    ("quotes", "bid_price_not_positive", {"bid_price": -1.0}),
    ("quotes", "bid_price_not_finite", {"bid_price": math.nan}),
    ("quotes", "ask_price_too_large", {"ask_price": 2e12}),
    ("quotes", "ask_price_not_finite", {"ask_price": math.inf}),
    ("quotes", "bid_size_negative", {"bid_size": -1.0}),
    ("quotes", "ask_size_not_finite", {"ask_size": math.inf}),
    ("quotes", "ask_size_too_large", {"ask_size": 1e16}),
    ("quotes", "symbol_missing", {"symbol": None}), ("quotes", "ts_too_old", {"ts_event": 5}),
    ("quotes", "exchange_too_long", {"exchange": "e" * 33}),
    ("quotes", "key_too_long", {"key": b"k" * 65}),
]  # fmt: skip


@pytest.mark.parametrize(("table", "reason", "change"), CASES)
def test_each_reason_is_given_for_its_row_alone(
    table: str, reason: str, change: dict[str, Any]
) -> None:
    good = TRADE if table == "trades" else QUOTE
    rows = [good, good | change, good]
    assert reasons(table, rows) == {1: reason}
    batch = pa.RecordBatch.from_pylist(rows, schema=INCOMING[table])
    reject = check(table, rows).refused(batch)[1]
    assert reject.index == 1
    assert "allowed" in reject.detail
    assert reject.reason.split("_")[0].replace("quote", "bid_price") in reject.detail
    assert isinstance(json.loads(reject.row), dict)


BORDERS = [
    {"symbol": "A" * 64}, {"symbol": "brk.b"}, {"symbol": " a "}, {"symbol": "Xnas:a"},
    {"venue": "x_1.y-z"}, {"price": 5e-324}, {"price": 1e12}, {"size": 0.0}, {"size": 1e15},
    {"ts_event": NOW + 60 * 10**9}, {"ts_event": 31_536_000 * 10**9}, {"side": 2}, {"side": None},
    {"id": "é" * 64}, {"key": b"k" * 64}, {"conditions": "c" * 256}, {"exchange": "e" * 32},
]  # fmt: skip


@pytest.mark.parametrize("change", BORDERS)
def test_what_is_just_allowed_is_accepted(change: dict[str, Any]) -> None:
    assert reasons("trades", [TRADE, TRADE | change]) == {}


@pytest.mark.parametrize(("value", "unit"), [
    (NOW // 10**9, "seconds"), (NOW // 10**6, "milliseconds"), (NOW // 10**3, "microseconds"),
])  # fmt: skip
def test_a_time_in_a_wrong_unit_is_told_so(value: int, unit: str) -> None:
    rows = [TRADE | {"ts_event": value}]
    batch = pa.RecordBatch.from_pylist(rows, schema=INCOMING["trades"])
    assert f"looks like {unit}" in check("trades", rows).refused(batch)[0].detail


def test_negative_prices_may_be_let_in() -> None:
    bounds = Bounds.of(CheckSettings(price_min=-100.0))
    rows = [TRADE | {"price": price} for price in (-99.0, 0.0, -100.0)]
    assert reasons("trades", rows, bounds) == {2: "price_too_small"}


def test_of_several_faults_the_first_is_told() -> None:
    assert reasons("trades", [{"symbol": "?", "price": -1.0, "side": 9}]) == {0: "symbol_invalid"}


def test_zero_is_no_quote_and_takes_its_size_with_it() -> None:
    rows = check("quotes", [
        QUOTE | {"bid_price": 0.0, "bid_size": -5.0, "ask_size": 2.0},
        QUOTE | {"bid_price": None, "bid_size": 3.0},
        QUOTE | {"bid_size": 1.0, "ask_price": 0.0, "ask_size": 0.0},
    ])  # fmt: skip
    assert rows.accepted.all()
    assert rows.rows.select(["bid_price", "bid_size", "ask_price", "ask_size"]).to_pylist() == [
        {"bid_price": None, "bid_size": None, "ask_price": 1.1, "ask_size": 2.0},
        {"bid_price": None, "bid_size": None, "ask_price": 1.1, "ask_size": None},
        {"bid_price": 1.0, "bid_size": 1.0, "ask_price": None, "ask_size": None},
    ]


def test_a_crossed_quote_is_accepted() -> None:
    assert reasons("quotes", [QUOTE | {"bid_price": 2.0, "ask_price": 1.0}]) == {}


def test_an_empty_id_or_key_names_nothing() -> None:
    rows = check("trades", [TRADE | {"id": "", "key": b""}, TRADE | {"id": "1"}]).rows
    assert rows.column("id").to_pylist() == [None, "1"]
    assert rows.column("key").to_pylist() == [None, None]


def test_names_are_distinct_upper_case_and_complete() -> None:
    rows = [TRADE | change for change in (
        {"symbol": "a"}, {"symbol": "B", "venue": "x"}, {"symbol": "Y:a"}, {"symbol": "a"},
        {"symbol": "?"}, {"symbol": None}, {"symbol": "B"}, {"symbol": "Y:a", "venue": "q"},
    )]  # fmt: skip
    checked = check("trades", rows)
    found = [checked.spellings.names[code] if code >= 0 else None for code in checked.codes]
    assert found == [
        ("A", "PUSH"), ("B", "X"), ("A", "Y"), ("A", "PUSH"), None, None, ("B", "PUSH"), ("A", "Y")
    ]  # fmt: skip
    assert checked.codes.dtype == np.int32
    assert checked.accepted.tolist() == [name is not None for name in found]


def test_an_empty_batch_is_checked() -> None:
    for table in ("trades", "quotes"):
        checked = check(table, [])
        assert (len(checked.accepted), len(checked.codes), checked.spellings.names) == (0, 0, [])


def test_a_clean_batch_is_handed_back_as_it_is() -> None:
    batch = pa.RecordBatch.from_pylist([TRADE | {"id": "1"}] * 3, schema=INCOMING["trades"])
    checked = check_batch("trades", batch, venue="X", bounds=BOUNDS, now_ns=NOW)
    assert checked.rows is batch


def oracle(row: dict[str, Any]) -> bool:
    """Say of one trade whether it is good, in plain Python."""
    price, size = row["price"], row["size"]
    return (
        row["symbol"] in ("a", "B")
        and row["venue"] in (None, "v", "W")
        and price is not None and 0 < price <= 1e12
        and (size is None or 0 <= size <= 1e15)
        and (row["ts_event"] is None or 31_536_000 * 10**9 <= row["ts_event"] <= NOW + 60 * 10**9)
        and row["side"] in (None, 0, 1, 2)
    )  # fmt: skip


NUMBER = st.none() | st.sampled_from([0.0, -1.0, 1.0, 2e12, 2e15, math.nan, math.inf])
ROWS = st.lists(st.fixed_dictionaries({
    "symbol": st.sampled_from(["a", "B", "a", "a", "", "?", None]),
    "venue": st.sampled_from([None, None, "v", "W", "/"]),
    "price": NUMBER | st.just(1.0), "size": NUMBER,
    "ts_event": st.sampled_from([None, NOW, NOW + DAY, NOW - DAY, 0]),
    "side": st.sampled_from([None, 0, 1, 2, 3, -128]),
}), max_size=40)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(ROWS, st.integers(0, 3))
def test_rows_are_accepted_as_one_by_one(rows: list[dict[str, Any]], offset: int) -> None:
    batch = pa.RecordBatch.from_pylist(rows, schema=INCOMING["trades"]).slice(offset)
    checked = check_batch("trades", batch, venue="p", bounds=BOUNDS, now_ns=NOW)
    assert checked.accepted.tolist() == [oracle(row) for row in rows[offset:]]
    for place, row in enumerate(rows[offset:]):
        if checked.accepted[place]:
            name = (row["symbol"].upper(), (row["venue"] or "p").upper())
            assert checked.spellings.names[checked.codes[place]] == name
    assert list(checked.refused(batch)) == np.flatnonzero(~checked.accepted).tolist()
