"""Candles of the contract against values that were worked out by hand."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from contract_kit import NOW, Json, Site, problem, site

DAY = "2024-05-07T"
# symbol, time, price, size; the 7th is a Tuesday
TRADES: list[tuple[str, str, float, float | None]] = [
    ("T", "14:30:05Z", 101.25, 200), ("T", "14:30:48.5Z", 101.5, 100),
    ("T", "14:31:02Z", 101.4, 50), ("T", "14:35:00.000000001Z", 101, None),
    ("SUM", "00:00:00Z", 1, 0.1), ("SUM", "00:00:00Z", 3, 0.2), ("SUM", "00:00:00Z", 2, 0.3),
    ("BIG", "00:00:00Z", 1e12, 1e15), ("BIG", "00:00:01Z", 5e-324, 5e-324),
    ("BIG", "00:00:02Z", 123456789.012345, 1),
    ("LATE", "00:00:59.999999999Z", 2, 1), ("LATE", "00:00:00Z", 1, 1), ("LATE", "00:00:30Z", 9, 1),
    ("LATE", "00:01:00Z", 4, 1),
]  # fmt: skip
# the night in March 2024 when New York's clocks go forward: 17:00 there is 22:00, then 21:00 UTC
YORK = [
    ("2024-03-08T21:59:59Z", 1), ("2024-03-08T22:00:00Z", 2), ("2024-03-10T20:59:59Z", 3),
    ("2024-03-10T21:00:00Z", 4), ("2024-03-31T20:59:59Z", 5), ("2024-03-31T21:00:00Z", 6),
]  # fmt: skip


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("candles")) as made:
        rows = [
            {"symbol": symbol, "ts_event": DAY + ts, "price": price, "size": size}
            for symbol, ts, price, size in TRADES
        ]
        rows += [{"symbol": "NY", "ts_event": ts, "price": price} for ts, price in YORK]
        assert made.post("/v1/trades", rows)["accepted"] == len(rows)
        quotes = [("01", 1.5, 1.75), ("02", 1.25, None), ("03", None, 2.0), ("04", 1.625, 1.625)]
        made.post("/v1/quotes", [
            {"symbol": "Q", "ts_event": f"{DAY}00:00:{s}Z", "bid_price": b, "ask_price": a}
            for s, b, a in quotes
        ])  # fmt: skip
        yield made


def ohlc(bar: Json) -> tuple[Any, ...]:
    return bar["start"][11:], bar["open"], bar["high"], bar["low"], bar["close"]


def test_minutes_of_trades(plant: Site) -> None:
    answer = plant.get("/v1/candles/t")
    head = {name: answer[name] for name in answer if name not in {"candles", "next_page_token"}}
    assert head == {
        "symbol": "T", "venue": "ORIGIN", "interval": "1m", "basis": "trade", "timezone": "UTC",
        "day_start": "00:00",
    }  # fmt: skip
    first, second, third = answer["candles"]
    assert first == {
        "start": "2024-05-07T14:30:00Z", "end": "2024-05-07T14:31:00Z", "open": 101.25,
        "high": 101.5, "low": 101.25, "close": 101.5, "volume": 300.0, "vwap": 30_400 / 300,
        "count": 2, "revision": 2, "state": "partial", "coverage": 55 / 60,
    }  # fmt: skip
    assert (*ohlc(second), second["volume"]) == ("14:31:00Z", 101.4, 101.4, 101.4, 101.4, 50)
    assert (*ohlc(third), third["volume"]) == ("14:35:00Z", 101, 101, 101, 101, 0)
    assert (third["vwap"], third["count"], third["revision"]) == (None, 1, 4)
    assert third["state"] == "forming"


def test_open_and_close_go_by_event_time(plant: Site) -> None:
    first, second = plant.rows("/v1/candles/LATE")
    assert ohlc(first) == ("00:00:00Z", 1, 9, 1, 2)
    assert ohlc(second) == ("00:01:00Z", 4, 4, 4, 4)


def test_sums_are_exact_and_rows_of_one_time_go_by_their_number(plant: Site) -> None:
    (bar,) = plant.rows("/v1/candles/SUM")
    assert ohlc(bar) == ("00:00:00Z", 1, 3, 1, 2)
    assert (bar["volume"], bar["count"]) == (0.6, 3)  # 0.1 + 0.2 + 0.3 one by one is 0.600...01
    assert bar["vwap"] == pytest.approx(1.3 / 0.6, rel=1e-15)


def test_the_largest_and_the_smallest_come_back_to_the_last_digit(plant: Site) -> None:
    prices = [row["price"] for row in plant.rows("/v1/trades/BIG")]
    assert prices == [1e12, 5e-324, 123456789.012345]
    (bar,) = plant.rows("/v1/candles/BIG")
    assert ohlc(bar) == ("00:00:00Z", 1e12, 1e12, 5e-324, 123456789.012345)
    assert bar["volume"] == 1e15 + 1
    text = plant.http.get("/v1/trades/BIG?format=csv").text
    assert "5e-324" in text
    assert "123456789.012345" in text


@pytest.mark.parametrize(("interval", "wanted"), [
    ("1s", ["14:30:05Z", "14:30:48Z", "14:31:02Z", "14:35:00Z"]),
    ("90s", ["14:30:00Z", "14:34:30Z"]), ("7m", ["14:28:00Z", "14:35:00Z"]),
    ("5m", ["14:30:00Z", "14:35:00Z"]), ("1h", ["14:00:00Z"]),
    ("60m", ["14:00:00Z"]), ("7h", ["14:00:00Z"]), ("1d", ["00:00:00Z"]),
])  # fmt: skip
def test_any_whole_number_of_a_unit(plant: Site, interval: str, wanted: list[str]) -> None:
    bars = plant.rows("/v1/candles/T", interval=interval)
    assert [bar["start"][11:] for bar in bars] == wanted
    assert sum(bar["volume"] for bar in bars) == 350
    assert plant.get("/v1/candles/T", interval=interval)["interval"] == interval


@pytest.mark.parametrize(("query", "wanted"), [
    ({"interval": "1d"}, [("2024-03-08T22:00:00Z", 2, 2), ("2024-03-09T22:00:00Z", 3, 3),
                          ("2024-03-10T21:00:00Z", 4, 4), ("2024-03-30T21:00:00Z", 5, 5)]),
    ({"interval": "1w"}, [("2024-03-03T22:00:00Z", 1, 3), ("2024-03-10T21:00:00Z", 4, 4),
                          ("2024-03-24T21:00:00Z", 5, 5)]),
    ({"interval": "1mo"}, [("2024-02-29T22:00:00Z", 1, 5), ("2024-03-31T21:00:00Z", 6, 6)]),
])  # fmt: skip
def test_days_weeks_and_months_begin_at_17_00_in_new_york(
    plant: Site, query: dict[str, str], wanted: list[tuple[str, float, float]]
) -> None:
    where = {"timezone": "America/New_York", "day_start": "17:00"}
    bars = plant.rows("/v1/candles/NY", **query, **where)
    found = {bar["start"]: (bar["open"], bar["close"]) for bar in bars}
    for start, opened, closed in wanted:
        assert found[start] == (opened, closed)
    answer = plant.get("/v1/candles/NY", **query, **where)
    assert (answer["timezone"], answer["day_start"]) == ("America/New_York", "17:00")


def test_each_basis_of_quotes(plant: Site) -> None:
    wanted = {
        "bid": (1.5, 1.625, 1.25, 1.625, 3), "ask": (1.75, 2.0, 1.625, 1.625, 3),
        "mid": (1.625, 1.625, 1.625, 1.625, 2),
    }  # fmt: skip
    for basis, values in wanted.items():
        (bar,) = plant.rows("/v1/candles/Q", basis=basis)
        assert (*ohlc(bar)[1:], bar["count"]) == values
        assert (bar["volume"], bar["vwap"]) == (None, None)
    assert plant.get("/v1/candles/Q")["basis"] == "mid"
    assert plant.rows("/v1/candles/Q", basis="trade") == []
    assert plant.rows("/v1/candles/T", basis="bid") == []


def test_gaps_are_filled_on_request(plant: Site) -> None:
    span = {"start": f"{DAY}14:29:00Z", "end": f"{DAY}14:37:00Z"}
    assert len(plant.rows("/v1/candles/T", **span)) == 3
    for fill, quiet, before in (("previous", 101.4, None), ("null", None, None)):
        bars = plant.rows("/v1/candles/T", fill=fill, **span)
        starts = [f"14:{minute}:00Z" for minute in range(29, 29 + len(bars))]
        assert [bar["start"][11:] for bar in bars] == starts
        assert len(bars) >= 7, "all minutes up to the last trade's"
        assert ohlc(bars[3])[1:] == (quiet,) * 4
        assert ohlc(bars[0])[1:] == (before,) * 4
        assert (bars[3]["count"], bars[3]["volume"], bars[3]["vwap"]) == (0, 0, None)
    pages, token = [], None
    while True:
        query = {**span, "fill": "previous", "limit": 3} | ({"page_token": token} if token else {})
        page = plant.get("/v1/candles/T", **query)
        pages += page["candles"]
        token = page["next_page_token"]
        if token is None:
            break
    assert pages == plant.rows("/v1/candles/T", fill="previous", **span)


def test_start_end_and_limit(plant: Site) -> None:
    def starts(**query: Any) -> list[str]:
        return [bar["start"][11:16] for bar in plant.rows("/v1/candles/T", **query)]

    assert starts(start=f"{DAY}14:31:00Z") == ["14:31", "14:35"]
    assert starts(start=f"{DAY}14:31:30Z") == ["14:31", "14:35"], "the start is floored to its bar"
    assert starts(end=f"{DAY}14:31:00Z") == ["14:30"]
    assert starts(limit=2) == ["14:31", "14:35"], "the newest ones where there is no start"
    assert starts(limit=2, start="2024-01-01T00:00:00Z") == ["14:30", "14:31"]
    assert starts(start=f"{DAY}14:31:00Z", end=f"{DAY}14:31:00Z") == []
    assert starts(start="2025-01-01T00:00:00Z") == []


def test_as_of_a_number_or_a_time_shows_what_was_known_then(plant: Site) -> None:
    (bar,) = plant.rows("/v1/candles/T", interval="1h", as_of=2)
    assert (*ohlc(bar), bar["count"]) == ("14:00:00Z", 101.25, 101.5, 101.25, 101.5, 2)
    assert plant.rows("/v1/candles/T", as_of=0) == []
    assert plant.rows("/v1/candles/T", as_of=NOW - 1) == []
    assert len(plant.rows("/v1/candles/T", as_of=NOW)) == 3
    plant.clock.now += 10**9
    seq = plant.post("/v1/trades", {"symbol": "T", "ts_event": f"{DAY}14:30:00Z", "price": 99})
    assert plant.rows("/v1/candles/T")[0]["open"] == 99
    assert plant.rows("/v1/candles/T", as_of=NOW)[0]["open"] == 101.25
    assert plant.rows("/v1/candles/T", as_of="2024-05-08T12:00:00.5Z")[0]["open"] == 101.25
    assert plant.rows("/v1/candles/T", as_of=seq["seq_last"])[0]["open"] == 99
    assert plant.rows("/v1/candles/T", as_of=seq["seq_last"] - 1)[0]["open"] == 101.25


@pytest.mark.parametrize(("name", "value"), [
    ("interval", "0m"), ("interval", "1M"), ("interval", "1.5h"), ("interval", "m"),
    ("interval", "1y"), ("interval", "-1m"), ("interval", "99999999999999999999s"),
    ("basis", "last"), ("timezone", "Mars/Base"), ("timezone", "+02:00"), ("timezone", ""),
    ("timezone", "../UTC"), ("day_start", "24:00"), ("day_start", "9"), ("fill", "zero"),
    ("as_of", "yesterday"), ("as_of", "2024-05-07T00:00:00"), ("order", "desc"),
])  # fmt: skip
def test_bad_values_are_400(plant: Site, name: str, value: str) -> None:
    body = problem(plant.http.get("/v1/candles/T", params={name: value}), 400)
    assert body["errors"][0]["loc"] == ["query", name]
