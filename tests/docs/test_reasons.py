"""Every reason of the reference is given by a row, and no row has a reason that is not there."""

import json

import pytest
from docs_files import read, section

from tickplant.checks.batch import Bounds, check_batch
from tickplant.config import CheckSettings
from tickplant.formats.parse import parse_body

NOW = 1_715_092_300_000_000_000
LONG = "x" * 5_000
TRADE = {"symbol": "ACME", "price": 1.0}
QUOTE = {"symbol": "ACME", "bid_price": 1.0, "ask_price": 2.0}
STAT = {"symbol": "ACME", "name": "open_interest", "value": 1.0}
GOOD = {"trades": TRADE, "quotes": QUOTE, "stats": STAT}
ELSEWHERE = {"symbol_unknown", "ts_event_missing"}
"""Reasons that depend on more than the row: the instruments known, and that it is in a file."""

NUMBERS = ("price", "size", "bid_price", "bid_size", "ask_price", "ask_size")
TRADES = ("price", "size", "side", "id", "conditions")


def rows() -> list[tuple[str, dict[str, object], float]]:
    """Return (table, row, checks.price_min) of bad rows."""
    bad: list[tuple[str, dict[str, object], float]] = []

    def add(field: str, value: object, price_min: float = 0.0) -> None:
        of_trades = field in TRADES
        row = TRADE if of_trades else QUOTE
        bad.append(("trades" if of_trades else "quotes", {**row, field: value}, price_min))

    for field in ("symbol", "venue", "ts_event", "exchange", "key", *TRADES, *NUMBERS):
        add(field, {"an": "object"})
    for field in NUMBERS:
        add(field, -1e300)
        add(field, 1e300)
        add(field, "nan")
        if "price" in field:
            add(field, -50.0, -10.0)
    for field in ("id", "key", "conditions", "exchange"):
        add(field, LONG)
    for field, value in (("symbol", None), ("symbol", "A B"), ("venue", "a b")):
        add(field, value)
    add("ts_event", 1_715_092_300)
    add("ts_event", NOW + 10**12)
    add("side", "up")
    for field, value in (
        ("name", 5), ("name", "Open interest"), ("name", None), ("value", "many"), ("value", None),
        ("value", "nan"), ("value", -1), ("value", 1e9),
    ):  # fmt: skip
        bad.append(("stats", {**STAT, field: value}, 0.0))
    bad.append(("trades", {"symbol": "ACME"}, 0.0))
    bad.append(("quotes", {"symbol": "ACME", "bid_price": 0}, 0.0))
    return bad


def reasons_of(table: str, body: bytes, price_min: float = 0.0) -> set[str]:
    parsed = parse_body(table, "application/x-ndjson", body)
    bounds = Bounds.of(CheckSettings(price_min=price_min))
    checked = check_batch(table, parsed.rows, venue="ORIGIN", bounds=bounds, now_ns=NOW)
    refused = checked.refused(parsed.rows).values()
    return {reject.reason for reject in (*parsed.unreadable, *refused)}


@pytest.fixture(scope="module")
def documented() -> set[str]:
    lines = section(read("docs/reference/errors.md"), "Reasons").splitlines()
    return {line.split("`")[1] for line in lines if line.startswith("| `")}


def test_reasons_of_the_reference_are_those_that_rows_get(documented: set[str]) -> None:
    good = json.dumps({"symbol": "ACME", "price": 1.0})
    seen = set(ELSEWHERE) | reasons_of("trades", f'{good}\n{{"symbol": \n'.encode())
    for table, row, price_min in rows():
        good = json.dumps(GOOD[table])
        found = reasons_of(table, f"{good}\n{json.dumps(row)}\n".encode(), price_min)
        assert found, row
        seen |= found
    assert seen == documented
