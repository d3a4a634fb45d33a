"""Every read route: what it answers when it is asked rightly."""

from __future__ import annotations

import httpx
import pytest
from plant_fakes import START, FakePlant

Client = httpx.AsyncClient
MINUTE = 60 * 10**9


async def post(client: Client, table: str, rows: object) -> dict:
    answer = await client.post(f"/v1/{table}", json=rows)
    assert answer.status_code == 201, answer.text
    return answer.json()


async def seed(client: Client, count: int = 5) -> None:
    await post(
        client,
        "trades",
        [
            {
                "symbol": "EURUSD",
                "price": (1390 + i) / 1000,
                "size": 10 + i,
                "ts_event": START + i * MINUTE,
                "side": "buy",
                "id": f"T{i}",
            }
            for i in range(count)
        ],
    )


async def test_trades_are_answered_in_event_order(client: Client) -> None:
    await post(
        client,
        "trades",
        [
            {"symbol": "EURUSD", "price": 2, "ts_event": START + 2},
            {
                "symbol": "EURUSD",
                "price": 1,
                "ts_event": START + 1,
                "size": 5,
                "side": "sell",
                "id": "a",
                "conditions": ["X", "Y"],
                "exchange": "N",
            },
        ],
    )
    answer = await client.get("/v1/trades/eurusd")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == {
        "symbol": "EURUSD",
        "venue": "ORIGIN",
        "trades": [
            {
                "ts_event": "2014-05-13T16:53:20.000000001Z",
                "ts_recv": "2014-05-13T16:53:20Z",
                "seq": 2,
                "price": 1.0,
                "size": 5.0,
                "side": "sell",
                "id": "a",
                "conditions": "X,Y",
                "exchange": "N",
                "flags": [],
            },
            {
                "ts_event": "2014-05-13T16:53:20.000000002Z",
                "ts_recv": "2014-05-13T16:53:20Z",
                "seq": 1,
                "price": 2.0,
                "size": None,
                "side": None,
                "id": None,
                "conditions": None,
                "exchange": None,
                "flags": [],
            },
        ],
        "next_page_token": None,
    }


async def test_a_range_takes_its_start_and_leaves_its_end(client: Client) -> None:
    await seed(client)
    answer = await client.get(
        "/v1/trades/EURUSD", params={"start": START + MINUTE, "end": START + 3 * MINUTE}
    )
    assert [row["id"] for row in answer.json()["trades"]] == ["T1", "T2"]


async def test_descending_order(client: Client) -> None:
    await seed(client)
    answer = await client.get("/v1/trades/EURUSD?order=desc&limit=2")
    assert [row["id"] for row in answer.json()["trades"]] == ["T4", "T3"]


async def test_as_of_shows_what_was_known(client: Client) -> None:
    await seed(client, 3)
    answer = await client.get("/v1/trades/EURUSD?as_of=2")
    assert [row["seq"] for row in answer.json()["trades"]] == [1, 2]
    answer = await client.get("/v1/trades/EURUSD", params={"as_of": START - 1})
    assert answer.json()["trades"] == []


async def test_quotes_show_a_missing_side_as_null(client: Client) -> None:
    await post(client, "quotes", {"symbol": "EURUSD", "bid_price": 1.39, "ts_event": START})
    (quote,) = (await client.get("/v1/quotes/EURUSD")).json()["quotes"]
    assert quote["bid_price"] == 1.39
    assert quote["ask_price"] is None
    assert quote["flags"] == []


async def test_candles(client: Client) -> None:
    await seed(client)
    answer = await client.get("/v1/candles/EURUSD?interval=2m")
    body = answer.json()
    assert {name: body[name] for name in body if name != "candles"} == {
        "symbol": "EURUSD",
        "venue": "ORIGIN",
        "interval": "2m",
        "basis": "trade",
        "timezone": "UTC",
        "day_start": "00:00",
        "next_page_token": None,
    }
    first, *_, last = body["candles"]
    assert first == {
        "start": "2014-05-13T16:52:00Z",
        "end": "2014-05-13T16:54:00Z",
        "open": 1.39,
        "high": 1.39,
        "low": 1.39,
        "close": 1.39,
        "volume": 10.0,
        "vwap": 1.39,
        "count": 1,
        "revision": 1,
        "state": "partial",
        "coverage": 40 / 120,
    }
    assert last["state"] == "forming"
    assert last["count"] == 2


async def test_candles_without_a_start_are_the_newest(client: Client) -> None:
    await seed(client)
    body = (await client.get("/v1/candles/EURUSD?limit=2")).json()
    assert [bar["close"] for bar in body["candles"]] == [1.393, 1.394]
    assert body["next_page_token"] is None


async def test_candles_with_a_start_go_on_by_pages(client: Client) -> None:
    await seed(client)
    params: dict = {"start": START, "limit": 2}
    seen = []
    while True:
        body = (await client.get("/v1/candles/EURUSD", params=params)).json()
        seen.append([bar["close"] for bar in body["candles"]])
        if body["next_page_token"] is None:
            break
        params["page_token"] = body["next_page_token"]
    assert seen == [[1.39, 1.391], [1.392, 1.393], [1.394]]


@pytest.mark.parametrize(
    ("age_s", "word"), [(0, "FRESH"), (60, "FRESH"), (61, "WARN"), (121, "STALE")]
)
async def test_latest_has_an_age(client: Client, plant: FakePlant, age_s: int, word: str) -> None:
    await post(client, "trades", {"symbol": "EURUSD", "price": 1.4, "ts_event": START})
    plant.now = START + age_s * 10**9
    body = (await client.get("/v1/latest/EURUSD")).json()
    assert (body["age_s"], body["freshness"]) == (age_s, word)
    assert body["trade"]["price"] == 1.4
    assert body["quote"] is None
    assert body["candle"]["state"] == "forming"


async def test_latest_of_several_keeps_the_order_asked_for(client: Client) -> None:
    await post(client, "trades", [{"symbol": s, "price": 1} for s in ("AAA", "BBB", "CCC")])
    body = (await client.get("/v1/latest?symbols=ccc,ORIGIN:aaa")).json()
    assert [one["symbol"] for one in body["latest"]] == ["CCC", "AAA"]
    everything = (await client.get("/v1/latest?symbols=*")).json()
    assert len(everything["latest"]) == 3
    flat = (await client.get("/v1/latest?symbols=ccc&format=csv")).text
    assert flat.splitlines()[1].startswith("CCC,ORIGIN,2014-05-13T16:53:20Z,0,FRESH,1,")


async def test_instruments_are_filtered_and_paged(client: Client) -> None:
    await post(
        client,
        "trades",
        [
            {"symbol": s, "venue": v, "price": 1}
            for s, v in (("EURUSD", "A"), ("BTC-USDT", "B"), ("GBPUSD", "A"), ("EURUSD", "B"))
        ],
    )

    async def names(query: str) -> list[str]:
        body = (await client.get(f"/v1/instruments?{query}")).json()
        return [f"{one['venue']}:{one['symbol']}" for one in body["instruments"]]

    assert await names("venue=a") == ["A:EURUSD", "A:GBPUSD"]
    assert await names("kind=spot") == ["B:BTC-USDT"]
    assert await names("q=usd&venue=B") == ["B:BTC-USDT", "B:EURUSD"]
    first = (await client.get("/v1/instruments?limit=3")).json()
    assert await names(f"limit=3&page_token={first['next_page_token']}") == ["B:EURUSD"]
    one = (await client.get("/v1/instruments/btc-usdt")).json()
    assert (one["base"], one["quote"], one["kind"]) == ("BTC", "USDT", "spot")
    assert set(one) == {
        "symbol",
        "venue",
        "kind",
        "base",
        "quote",
        "tick_size",
        "lot_size",
        "underlying",
        "expiry",
        "strike",
        "right",
        "timezone",
        "calendar",
        "status",
        "aliases",
    }


async def test_an_ambiguous_symbol_is_refused_with_the_choices(client: Client) -> None:
    await post(client, "trades", [{"symbol": "X", "venue": v, "price": 1} for v in ("A", "B")])
    answer = await client.get("/v1/trades/X")
    assert answer.status_code == 400
    assert "A:X, B:X" in answer.json()["detail"]
    assert (await client.get("/v1/trades/B:x")).json()["venue"] == "B"


async def test_an_unknown_symbol_is_404_with_the_nearest(client: Client) -> None:
    await seed(client, 1)
    answer = await client.get("/v1/candles/EURUSS")
    assert answer.status_code == 404
    assert "ORIGIN:EURUSD" in answer.json()["detail"]


async def test_quarantine_lists_what_was_refused(client: Client) -> None:
    await post(client, "trades", [{"symbol": "A", "price": -1}, {"symbol": "A", "price": "x"}])
    body = (await client.get("/v1/quarantine?reason=price_not_positive&table=trades")).json()
    (row,) = body["quarantine"]
    assert row["reason"] == "price_not_positive"
    assert row["feed"] == "push"
    assert (await client.get("/v1/quarantine?table=quotes")).json()["quarantine"] == []
    assert len((await client.get("/v1/quarantine")).json()["quarantine"]) == 2


async def test_gaps_show_names_and_no_end_while_they_last(client: Client, plant: FakePlant) -> None:
    await seed(client, 1)
    plant.miss(instrument=1, end=START + 1_500_000_000, cause="sequence", detail="12 to 14")
    plant.miss()
    first, second = (await client.get("/v1/gaps")).json()["gaps"]
    start = "2014-05-13T16:53:20Z"
    assert first == {
        "id": 2, "feed": "push", "symbol": "EURUSD", "venue": "ORIGIN", "start": start,
        "end": "2014-05-13T16:53:21.5Z", "duration_s": 1.5, "cause": "sequence", "status": "open",
        "noticed": start, "events": None, "changed": 2, "detail": "12 to 14",
    }  # fmt: skip
    assert second == first | {
        "id": 3, "symbol": None, "venue": None, "end": None, "duration_s": None, "cause": "stall",
        "changed": 3, "detail": None,
    }  # fmt: skip


@pytest.mark.parametrize(("query", "wanted"), [
    ("", [3, 4, 5, 6]), ("feed=push", [3, 4, 5]), ("feed=other", [6]),
    ("status=Repaired", [4]), ("symbol=a", [3, 5, 6]), ("symbol=ORIGIN:B", [4, 5, 6]),
    ("start=1400000001000000000", [4, 5, 6]), ("start=1400000000999999999", [3, 4, 5, 6]),
    ("end=1400000003000000000", [3, 5, 6]), ("end=1400000003000000001", [3, 4, 5, 6]),
    ("as_of=4", [3, 4]), ("symbol=B&status=open&feed=push", [5]), ("feed=other&symbol=A", [6]),
])  # fmt: skip
async def test_gaps_are_chosen_by_feed_symbol_span_and_status(
    client: Client, plant: FakePlant, query: str, wanted: list[int]
) -> None:
    await post(client, "trades", [{"symbol": s, "price": 1} for s in "AB"])
    second = 10**9
    plant.miss(instrument=1, end=START + second)
    plant.miss(instrument=2, start=START + 3 * second, end=START + 4 * second, status="repaired")
    plant.miss()
    plant.miss(feed=plant.catalog.feed_number("other"))
    found = (await client.get(f"/v1/gaps?{query}")).json()["gaps"]
    assert [gap["id"] for gap in found] == wanted


async def test_gaps_come_in_pages_to_which_new_ones_are_added(
    client: Client, plant: FakePlant
) -> None:
    for _ in range(4):
        plant.miss()
    first = await client.get("/v1/gaps?limit=2&status=open")
    token = first.json()["next_page_token"]
    assert first.headers["x-next-page-token"] == token
    plant.miss()
    plant.miss(status="repaired")
    params = {"limit": 3, "status": "open", "page_token": token}
    rest = (await client.get("/v1/gaps", params=params)).json()
    assert [gap["id"] for gap in (*first.json()["gaps"], *rest["gaps"])] == [1, 2, 3, 4, 5]
    assert rest["next_page_token"] is None
    past = (await client.get("/v1/gaps?limit=1&as_of=2")).json()
    assert past["next_page_token"] is not None
    params = {"limit": 9, "as_of": 2, "page_token": past["next_page_token"]}
    rest = (await client.get("/v1/gaps", params=params)).json()
    assert [gap["id"] for gap in rest["gaps"]] == [2]


@pytest.mark.parametrize(("name", "value", "said"), [
    ("feed", "pusch", "known are other, push"), ("symbol", "AA", "ORIGIN:A"),
])  # fmt: skip
async def test_gaps_of_what_is_not_known_are_404(
    client: Client, plant: FakePlant, name: str, value: str, said: str
) -> None:
    await post(client, "trades", [{"symbol": "A", "price": 1}])
    plant.catalog.feed_number("other")
    answer = await client.get("/v1/gaps", params={name: value})
    assert answer.status_code == 404
    assert said in answer.json()["detail"]


async def test_feeds_and_status(client: Client) -> None:
    assert (await client.get("/v1/feeds")).json()["feeds"][0]["id"] == "venue"
    assert (await client.get("/v1/status")).json()["state"] == "running"


async def test_health_names_the_probe_that_failed(client: Client, plant: FakePlant) -> None:
    good = await client.get("/health")
    assert good.status_code == 200
    assert set(good.json()["checks"]) == {"log", "store", "disk"}
    plant.log_state.state, plant.log_state.reason = "unavailable", "No space left on device"
    bad = await client.get("/health")
    assert bad.status_code == 503
    assert bad.json()["checks"]["log"] == {"ok": False, "detail": "No space left on device"}
    assert bad.json()["checks"]["store"]["ok"]


async def test_ready_gives_the_reason(client: Client, plant: FakePlant) -> None:
    assert (await client.get("/ready")).status_code == 200
    plant.ready = (False, "the plant is starting")
    answer = await client.get("/ready")
    assert answer.status_code == 503
    assert answer.json() == {"ready": False, "reason": "the plant is starting"}


async def test_metrics_count_the_requests(client: Client) -> None:
    await client.get("/v1/feeds")
    await client.get("/v1/trades/NOPE")
    text = (await client.get("/metrics")).text
    assert 'route="/v1/feeds",status="200"} 1.0' in text
    assert 'route="/v1/trades/{symbol}",status="404"} 1.0' in text
