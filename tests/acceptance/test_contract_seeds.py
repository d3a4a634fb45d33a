"""The routes of the systems that were replaced, and the faults that they had and this has not."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest
from contract_kit import NOW, Json, Site, problem, site

from tickplant.gateway.described import model_of
from tickplant.gateway.rest import books
from tickplant.gateway.seeds import DOORS
from tickplant.model.times import format_time

S = 1_000_000_000
MINUTE = 60 * S
DAY = "2024-05-07"


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("seeds")) as made:
        yield made


_names = count(1)


@pytest.fixture
def name() -> str:
    """A symbol that no other test uses."""
    return f"SEED{next(_names)}"


def trade(
    symbol: str, time: str | int, price: float, size: float | None = None, **more: Any
) -> Json:
    ts = time if isinstance(time, int) else f"{DAY}T{time}Z"
    return {"symbol": symbol, "ts_event": ts, "price": price, "size": size, **more}


# -- order-book market data -----------------------------------------------------------------------


def test_ohlcv_is_of_trades_by_event_time_and_the_newest_first(plant: Site, name: str) -> None:
    # Fault: volume and VWAP came from sizes of quotes, open and close from the order of processing.
    rows = [trade(name, "10:00:40", 12, 1), trade(name, "10:00:10", 10, 3),
            trade(name, "10:00:20", 9, 2), trade(name, "10:02:05", 11, 4)]  # fmt: skip
    plant.post("/v1/trades", rows)
    quote = {"symbol": name, "ts_event": f"{DAY}T10:00:30Z", "bid_price": 1, "bid_size": 9999,
             "ask_price": 99, "ask_size": 9999}  # fmt: skip
    plant.post("/v1/quotes", [quote])
    answer = plant.get(f"/ohlcv/{name.lower()}")
    assert (answer["symbol"], answer["exchange"], answer["interval"], answer["count"]) == (
        name, "ORIGIN", "1m", 2
    )  # fmt: skip
    newest, first = answer["bars"]
    assert first == {
        "window_start": f"{DAY}T10:00:00Z", "window_end": f"{DAY}T10:01:00Z",
        "open_price": 10.0, "high_price": 12.0, "low_price": 9.0, "close_price": 12.0,
        "volume": 6.0, "vwap": (12 + 30 + 18) / 6, "tick_count": 3,
        "first_ts": f"{DAY}T10:00:10Z", "last_ts": f"{DAY}T10:00:40Z", "state": first["state"],
    }  # fmt: skip
    assert (newest["window_start"], newest["open_price"]) == (f"{DAY}T10:02:00Z", 11.0)
    assert plant.get(f"/ohlcv/{name}", limit=1)["bars"] == [newest]
    span = {"from_ts": f"{DAY}T10:00:30Z", "to_ts": f"{DAY}T10:01:00Z"}
    assert plant.get(f"/ohlcv/{name}", **span)["bars"] == [first]
    for limit in (0, 1441, "x"):
        problem(plant.http.get(f"/ohlcv/{name}", params={"limit": limit}), 400)
    problem(plant.http.get("/ohlcv/NOBODY"), 404)


def test_spread_and_liquidity_of_a_quote(plant: Site, name: str) -> None:
    plant.post("/v1/quotes", [{"symbol": name, "ts_event": NOW - 30 * S, "bid_price": 99.0,
                               "bid_size": 30, "ask_price": 101.0, "ask_size": 10}])  # fmt: skip
    spread = {
        "exchange": "ORIGIN", "symbol": name, "latest_ts": format_time(NOW - 30 * S),
        "best_bid_price": 99.0, "best_ask_price": 101.0, "spread": 2.0, "mid_price": 100.0,
        "spread_bps": 200.0,
    }  # fmt: skip
    assert plant.get(f"/spread/{name}") == spread
    assert plant.get(f"/liquidity/{name}") == {
        **spread, "best_bid_qty": 30.0, "best_ask_qty": 10.0, "imbalance": 0.75,
        "market_signal": "BUY_PRESSURE", "staleness_seconds": 30.0, "freshness_status": "FRESH",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("bid", "ask", "signal"),
    [(6, 4, "NEUTRAL"), (6.1, 3.9, "BUY_PRESSURE"), (4, 6, "NEUTRAL"), (3.9, 6.1, "SELL_PRESSURE")],
)
def test_the_signal_is_of_one_imbalance_from_0_to_1(
    plant: Site, name: str, bid: float, ask: float, signal: str
) -> None:
    # Fault: imbalance was 0..1 in code and -1..1 on dashboards.
    plant.post("/v1/quotes", [{"symbol": name, "ts_event": NOW, "bid_price": 1, "bid_size": bid,
                               "ask_price": 2, "ask_size": ask}])  # fmt: skip
    found = plant.get(f"/liquidity/{name}")
    assert found["imbalance"] == pytest.approx(bid / (bid + ask), rel=1e-12)
    assert found["market_signal"] == signal


def test_without_a_book_there_is_no_number(plant: Site, name: str) -> None:
    # Fault: a missing book read as full selling.
    plant.post("/v1/trades", [trade(name, "10:00:00", 1)])
    found = plant.get(f"/liquidity/{name}")
    assert {key for key, value in found.items() if value is not None} == {
        "exchange", "symbol", "freshness_status"
    }  # fmt: skip
    assert found["freshness_status"] == "STALE"
    plant.post("/v1/quotes", [{"symbol": name, "ts_event": NOW, "bid_price": 5}])
    one_sided = plant.get(f"/liquidity/{name}")
    assert (one_sided["best_bid_price"], one_sided["best_bid_qty"]) == (5.0, None)
    assert {one_sided[key] for key in ("mid_price", "spread", "imbalance", "market_signal")} == {
        None
    }


def test_lag_has_one_definition_of_fresh(plant: Site, name: str) -> None:
    # Fault: freshness had three different thresholds.
    ages = {60: ("FRESH", 1.0), 61: ("WARN", 0.5), 120: ("WARN", 0.5), 121: ("STALE", 0.0)}
    rows = [trade(f"{name}A{age}", NOW - age * S, 1) for age in ages]
    plant.post("/v1/trades", rows)
    found = plant.get("/pipeline/lag")
    mine = {item["symbol"]: item for item in found["items"] if item["symbol"].startswith(name)}
    for age, (status, health) in ages.items():
        item = mine[f"{name}A{age}"]
        assert item == {
            "exchange": "ORIGIN", "symbol": f"{name}A{age}",
            "latest_event_ts": format_time(NOW - age * S), "latest_ingest_ts": format_time(NOW),
            "staleness_seconds": float(age), "freshness_status": status, "health_score": health,
        }  # fmt: skip
        assert plant.get(f"/v1/latest/{name}A{age}")["freshness"] == status
        assert plant.get("/price/latest", symbol=f"{name}A{age}")["freshness"] == status
    healthy = [item for item in found["items"] if item["health_score"] == 1.0]
    assert (found["healthy_count"], found["total_count"]) == (len(healthy), len(found["items"]))
    assert found["checked_at"] == format_time(NOW)


def test_symbols_tell_what_is_known(plant: Site, name: str) -> None:
    plant.post("/v1/trades", [trade(f"{name}-USDT", "10:00:00", 1, venue="BINANCE")])
    found = plant.get("/symbols")
    (mine,) = (one for one in found["symbols"] if one["symbol"] == f"{name}-USDT")
    assert (mine["exchange"], mine["base"], mine["quote"], mine["status"]) == (
        "BINANCE", name, "USDT", "active"
    )  # fmt: skip
    assert found["count"] == len(found["symbols"])


# -- trades and freshness -------------------------------------------------------------------------


def test_the_latest_price_in_any_case_with_its_age(plant: Site, name: str) -> None:
    plant.post("/v1/trades", [trade(name, NOW - 5 * S, 1.23456789)])
    found = plant.get("/price/latest", symbol=name.lower())
    assert found == {
        "symbol": name, "venue": "ORIGIN", "price": 1.23456789,
        "timestamp": format_time(NOW - 5 * S), "age_seconds": 5.0, "freshness": "FRESH",
    }  # fmt: skip
    for route in ("/price/latest", "/prices/latest", "/trades", "/candles"):
        problem(plant.http.get(route, params={"symbol": "NOBODY"}), 404)
        assert "symbol" in problem(plant.http.get(route), 400)["detail"]


def test_trades_by_symbol_in_the_query(plant: Site, name: str) -> None:
    rows = [trade(name, f"10:00:0{second}", second) for second in (3, 1, 2)]
    plant.post("/v1/trades", rows)
    span = {"start": f"{DAY}T10:00:01Z", "end": f"{DAY}T10:00:03Z"}
    found = plant.get("/trades", symbol=name, **span)
    assert [row["price"] for row in found["trades"]] == [1.0, 2.0]
    assert found["count"] == 2
    first = plant.get("/trades", symbol=name, limit=2)
    rest = plant.get("/trades", symbol=name, limit=2, page_token=first["next_page_token"])
    assert [row["price"] for row in first["trades"] + rest["trades"]] == [1.0, 2.0, 3.0]
    problem(plant.http.get("/trades", params={"symbol": name, "start": "2024-05-07T10:00:00"}), 400)
    backwards = {"symbol": name, "start": f"{DAY}T11:00:00Z", "end": f"{DAY}T10:00:00Z"}
    problem(plant.http.get("/trades", params=backwards), 400)  # a range error answered 500


def test_a_query_that_ends_in_mid_minute_leaves_the_stored_bar_whole(
    plant: Site, name: str
) -> None:
    # Fault: such a query overwrote the full candle with a partial one.
    plant.post("/v1/trades", [trade(name, "10:00:10", 1, 1), trade(name, "10:00:50", 2, 1)])
    query = {"symbol": name, "interval": "1m", "start": f"{DAY}T10:00:00Z"}
    whole = plant.get("/candles", **query)
    assert plant.get("/candles", **query, end=f"{DAY}T10:00:30Z")["candles"] == whole["candles"]
    assert plant.get("/candles", **query) == whole
    assert whole["candles"][0]["count"] == 2
    by_path = plant.get(f"/v1/candles/{name}", interval="1m", start=query["start"])
    assert whole == by_path


def test_ingestion_is_alive_while_rows_become_durable(plant: Site, name: str) -> None:
    before = plant.clock.now
    try:
        plant.clock.now = NOW + 100 * MINUTE
        plant.post("/v1/trades", [trade(name, NOW + 99 * MINUTE, 1)])
        alive = plant.get("/status/ingestion")
        assert alive["ingestion_status"] == "alive"
        assert alive["ingestion_alive"] is True
        assert alive["stale_threshold_seconds"] == 30.0
        assert alive["last_successful_ingestion"] == format_time(plant.clock.now)
        assert alive["seconds_since_last_heartbeat"] == 0.0
        assert alive["seconds_since_last_trade"] == 60.0
        assert alive["db_healthy"] is True
        assert alive["uptime_seconds"] == 6000.0
        assert alive["process_started_at"] == format_time(NOW)
        plant.clock.now += 30 * S
        assert plant.get("/status/ingestion")["ingestion_status"] == "alive"
        plant.http.post("/v1/trades", json=[{"symbol": name, "price": -1}])  # nothing is stored
        plant.clock.now += 1
        dead = plant.get("/status/ingestion")
        assert (dead["ingestion_status"], dead["ingestion_alive"]) == ("dead", False)
        assert dead["seconds_since_last_heartbeat"] == 30.0
    finally:
        plant.clock.now = before


# -- polled prices --------------------------------------------------------------------------------


def test_a_price_is_of_the_provider_that_was_named(plant: Site, name: str) -> None:
    # Faults: the parameter `provider` was ignored, prices were cut to two decimals, and naive
    # local time was stamped Z.
    rows = [trade(name, "10:00:00", 1.23456, venue="YAHOO"),
            trade(name, "10:00:01", 6.54321, venue="MINE")]  # fmt: skip
    plant.post("/v1/trades", rows)
    for provider, price, second in (("yahoo", 1.23456, 0), ("yfinance", 1.23456, 0),
                                    ("Mine", 6.54321, 1)):  # fmt: skip
        found = plant.get("/prices/latest", symbol=name.lower(), provider=provider)
        assert (found["price"], found["timestamp"]) == (price, f"{DAY}T10:00:0{second}Z")
        assert found["provider"] == provider.lower().replace("yfinance", "yahoo")
    problem(plant.http.get("/prices/latest", params={"symbol": name, "provider": "other"}), 404)
    assert (
        "YAHOO" in problem(plant.http.get("/prices/latest", params={"symbol": name}), 400)["detail"]
    )


# -- ticks by their time --------------------------------------------------------------------------


def bars(plant: Site, name: str) -> list[Any]:
    found = plant.get(f"/v1/candles/{name}", interval="1m", start=f"{DAY}T10:00:00Z")["candles"]
    return [(bar["open"], bar["close"], bar["count"]) for bar in found]


def test_a_tick_is_created_read_corrected_and_deleted(plant: Site, name: str) -> None:
    tick = {"symbol": name, "price": 1.12345, "time": f"{DAY}T10:00:00Z"}
    made = plant.http.post("/ticks/", json=tick)
    assert made.status_code == 201
    assert {key: made.json()[key] for key in tick} == tick
    problem(plant.http.post("/ticks/", json=tick), 409)
    problem(plant.http.post("/ticks/", json={**tick, "price": 2}), 409)
    plant.http.post(
        "/ticks/", json={**tick, "time": f"{DAY}T10:00:30Z", "price": 3}
    ).raise_for_status()
    listed = plant.http.get("/ticks/", params={"symbol": name}).json()
    assert [(row["time"], row["price"]) for row in listed] == [
        (f"{DAY}T10:00:00Z", 1.12345), (f"{DAY}T10:00:30Z", 3.0)
    ]  # fmt: skip
    assert bars(plant, name) == [(1.12345, 3.0, 2)]
    which = {"symbol": name, "time": tick["time"]}
    put = plant.http.put("/ticks/", params=which, json={"price": 2.5})
    assert (put.status_code, put.json()["price"]) == (200, 2.5)
    assert bars(plant, name) == [(2.5, 3.0, 2)]
    gone = plant.http.delete(f"/ticks/{name}/{tick['time']}")
    assert (gone.status_code, gone.json()["deleted"]) == (200, 1)
    assert bars(plant, name) == [(3.0, 3.0, 1)]
    problem(plant.http.delete(f"/ticks/{name}/{tick['time']}"), 404)
    problem(plant.http.put("/ticks/", params=which, json={"price": 2.5}), 404)
    again = plant.http.post("/ticks/", json={**tick, "price": 9})  # deleted, so it may be created
    assert again.status_code == 201
    problem(plant.http.post("/ticks/", json=tick), 409)
    assert bars(plant, name) == [(9.0, 3.0, 2)]


def test_ticks_in_bulk_reach_the_stream_and_old_bars(plant: Site, name: str) -> None:
    # Faults: bulk ticks did not reach the stream; backfill older than an hour never reached bars.
    ticks = [{"symbol": name, "price": n, "time": f"{DAY}T10:00:0{n}Z"} for n in range(1, 4)]
    plant.http.post("/ticks/", json={**ticks[0], "price": 7}).raise_for_status()
    with plant.stream() as talk:
        assert talk.ask("subscribe", id=1, channel="trades", symbols=[name])["op"] == "subscribed"
        bad = {"symbol": name, "price": -1, "time": f"{DAY}T10:00:09Z"}
        made = plant.http.post("/ticks/bulk", json={"ticks": [*ticks, bad]})
        assert made.status_code == 201
        body = made.json()
        assert (body["created"], body["duplicates"]) == (2, 1)
        assert [one["index"] for one in body["rejected"]] == [3]
        assert [event["price"] for event in talk.events(2)] == [2.0, 3.0]
    assert plant.http.post("/ticks/bulk", json=ticks).json()["duplicates"] == 3
    assert bars(plant, name) == [(7.0, 3.0, 3)]
    span = {"start": f"{DAY}T10:00:02Z", "end": f"{DAY}T10:00:04Z"}
    gone = plant.http.delete(f"/ticks/{name}", params=span)
    assert gone.json() == {"deleted": 2, "symbol": name}
    assert bars(plant, name) == [(7.0, 7.0, 1)]
    assert plant.http.post("/ticks/bulk", json=ticks).json()["created"] == 2
    problem(plant.http.delete(f"/ticks/{name}"), 400)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"symbol": "X"}, 422), ({"price": 1}, 422), ([], 422), ("x", 422),
        ({"symbol": "X", "price": "many"}, 422), ({"symbol": "X", "price": 0}, 422),
        ({"symbol": "X", "price": 1, "time": "2024-05-07T10:00:00"}, 422),
        ({"symbol": "X", "price": 1, "time": "yesterday"}, 422),
        ({"symbol": 5, "price": 1}, 422), ({"symbol": "X:Y,Z", "price": 1}, 422),
    ],
)  # fmt: skip
def test_a_bad_tick_is_refused_with_what_is_wrong(plant: Site, body: Any, status: int) -> None:
    answer = problem(plant.http.post("/ticks/", json=body), status)
    assert answer["errors"]


def test_ticks_that_cannot_be_told_apart_are_named_by_number(plant: Site, name: str) -> None:
    plant.post(
        "/v1/trades", [trade(name, "10:00:00", 1, id="a"), trade(name, "10:00:00", 2, id="b")]
    )
    time = f"{DAY}T10:00:00Z"
    assert "/v1/trades/" in problem(plant.http.delete(f"/ticks/{name}/{time}"), 409)["detail"]
    which = {"symbol": name, "time": time}
    problem(plant.http.put("/ticks/", params=which, json={"price": 5}), 409)
    problem(plant.http.post("/ticks/", json={"symbol": name, "price": 1, "time": time}), 409)


def test_an_hour_has_sixty_minutes_whether_or_not_each_had_a_tick(plant: Site, name: str) -> None:
    # Fault: an hour had sixty rows only when every minute had a tick.
    plant.post("/v1/trades", [trade(name, "10:00:10", 1), trade(name, "10:59:50", 2),
                              trade(name, "11:30:00", 3)])  # fmt: skip
    hour = {"symbol": name, "start": f"{DAY}T10:00:00Z", "end": f"{DAY}T11:00:00Z"}
    rows = plant.http.get("/ohlc/minute", params=hour).json()
    assert [row["bucket"] for row in rows] == [f"{DAY}T10:{m:02d}:00Z" for m in range(60)]
    assert [row["tick_count"] for row in rows] == [1, *[0] * 58, 1]
    assert {row["close"] for row in rows[:59]} == {1.0}
    assert set(rows[0]) == {
        "bucket", "symbol", "open", "high", "low", "close", "tick_count", "state"
    }  # fmt: skip
    bare = plant.http.get("/ohlc/minute", params={**hour, "fill": "none"}).json()
    assert [row["tick_count"] for row in bare] == [1, 1]
    hours = plant.http.get("/ohlc/hour", params={**hour, "end": f"{DAY}T12:00:00Z"}).json()
    assert [(row["bucket"], row["close"]) for row in hours] == [
        (f"{DAY}T10:00:00Z", 2.0), (f"{DAY}T11:00:00Z", 3.0)
    ]  # fmt: skip


def test_a_day_of_currencies_begins_at_22(plant: Site, name: str) -> None:
    times = ["2024-05-06T21:59:59Z", "2024-05-06T22:00:00Z", "2024-05-07T21:59:59Z"]
    plant.post("/v1/trades", [
        {"symbol": name, "ts_event": ts, "price": n} for n, ts in enumerate(times, 1)
    ])  # fmt: skip
    for route, more in (
        ("day", {}), ("custom-day", {}), ("custom-day", {"day_start_hour": 22}),
        ("day", {"timezone": "America/New_York", "day_start": "18:00"}),
    ):  # fmt: skip
        rows = plant.http.get(f"/ohlc/{route}", params={"symbol": name, **more}).json()
        assert [(row["bucket"], row["open"], row["close"]) for row in rows] == [
            ("2024-05-05T22:00:00Z", 1.0, 1.0), ("2024-05-06T22:00:00Z", 2.0, 3.0)
        ], (route, more)  # fmt: skip
    rows = plant.http.get("/ohlc/custom-day", params={"symbol": name, "day_start_hour": 0}).json()
    assert [row["bucket"] for row in rows] == ["2024-05-06T00:00:00Z", "2024-05-07T00:00:00Z"]
    for hour in (24, -1, "x"):
        params = {"symbol": name, "day_start_hour": hour}
        problem(plant.http.get("/ohlc/custom-day", params=params), 400)


def test_every_answer_is_as_the_document_says(plant: Site, name: str) -> None:
    plant.post("/v1/trades", [trade(name, NOW, 1)])
    plant.post("/v1/quotes", [{"symbol": name, "ts_event": NOW, "bid_price": 1, "ask_price": 2}])
    for door in (*DOORS, *books.DOORS):
        if door.method == "GET" and door.model is not None:
            path = door.path.replace("{symbol}", name)
            query = {"symbol": name} if any(one.name == "symbol" for one in door.params) else None
            answer = plant.http.get(path, params=query)
            assert answer.status_code == 200, (path, answer.text)
            model_of(door.model).model_validate(answer.json())
