"""What the contract says of reading, sentence by sentence, over a real server."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet
import pytest
from contract_kit import NOW_TEXT, Site, problem, site

ACME = [
    {"symbol": "acme", "ts_event": "2024-05-07T14:30:05Z", "price": 101.25, "size": 200, "id": "1"},
    {"symbol": "ACME", "ts_event": "2024-05-07T16:30:48.5+02:00", "price": 101.5, "size": 100},
    {"symbol": "Acme", "ts_event": "2024-05-07T14:31:02Z", "price": 101.4, "size": 50},
    {"symbol": "ACME", "ts_event": 1715092500000000001, "price": 101, "side": "sell"},
]
QUOTES = [
    {"symbol": "EURUSD", "ts_event": "2024-05-07T00:00:01Z", "bid_price": 1.5, "ask_price": 1.75},
    {"symbol": "EURUSD", "ts_event": "2024-05-07T00:00:02Z", "bid_price": 1.25, "bid_size": 3},
    {"symbol": "EURUSD", "ts_event": "2024-05-07T00:02:03Z", "bid_price": 1.25, "ask_price": 1.5},
]
ROWS = (
    ("/v1/instruments", "instruments", 6),
    ("/v1/trades/ACME", "trades", 4),
    ("/v1/quotes/EURUSD", "quotes", 3),
    ("/v1/candles/ACME", "candles", 3),
    ("/v1/latest?symbols=ACME,EURUSD", "latest", 2),
    ("/v1/quarantine", "quarantine", 1),
)
MEDIA = {
    "csv": "text/csv",
    "arrow": "application/vnd.apache.arrow.stream",
    "parquet": "application/vnd.apache.parquet",
    "json": "application/json",
}


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("contract"), server__body_mb_max=1) as made:
        made.post("/v1/trades", ACME)
        made.post("/v1/quotes", {"quotes": QUOTES})
        for venue in ("BINANCE", "kraken"):
            made.post("/v1/trades", {"symbol": "BTC-USDT", "venue": venue, "price": 5})
        early = "2024-05-07T00:00:00Z"
        made.post("/v1/trades", [
            {"symbol": "A+B#C", "price": 1}, {"symbol": "a+b#c", "price": 2, "ts_event": early},
        ])  # fmt: skip
        made.post("/v1/trades", [{"symbol": "A%B/"}, {"symbol": "é+&=%", "price": 1}])
        yield made


# -- times ----------------------------------------------------------------------------------------


def test_times_come_out_in_utc_with_as_many_digits_as_needed(plant: Site) -> None:
    assert [row["ts_event"] for row in plant.rows("/v1/trades/ACME")] == [
        "2024-05-07T14:30:05Z",
        "2024-05-07T14:30:48.5Z",
        "2024-05-07T14:31:02Z",
        "2024-05-07T14:35:00.000000001Z",
    ]
    assert {row["ts_recv"] for row in plant.rows("/v1/trades/ACME")} == {NOW_TEXT}


@pytest.mark.parametrize(("start", "end", "seqs"), [
    ("2024-05-07T14:30:05Z", "2024-05-07T14:31:02Z", [1, 2]),
    ("2024-05-07T14:30:05.000000001Z", None, [2, 3, 4]),
    ("2024-05-07T16:30:05+02:00", "2024-05-07T09:31:02.000000001-05:00", [1, 2, 3]),
    (1715092500000000001, 1715092500000000002, [4]),
    ("1715092500000000001", "1715092500000000001", []),
    ("2024-05-08T00:00:00Z", None, []),
    (None, "2024-05-07T14:30:05Z", []),
    (None, "2262-01-01T00:00:00Z", [1, 2, 3, 4]),
])  # fmt: skip
def test_ranges_hold_their_start_and_not_their_end(
    plant: Site, start: Any, end: Any, seqs: list[int]
) -> None:
    query = {name: value for name, value in (("start", start), ("end", end)) if value is not None}
    assert [row["seq"] for row in plant.rows("/v1/trades/ACME", **query)] == seqs
    query["order"] = "desc"
    assert [row["seq"] for row in plant.rows("/v1/trades/ACME", **query)] == seqs[::-1]


@pytest.mark.parametrize("value", [
    "2024-05-07T14:30:05", "2024-05-07", "2024-05-07 14:30:05", "now", "", "1.5e18", "1715092500.5",
    "2024-02-30T00:00:00Z", "2024-05-07T25:00:00Z", "9223372036854775808", "9999-01-01T00:00:00Z",
])  # fmt: skip
@pytest.mark.parametrize("path", ["/v1/trades/ACME", "/v1/quotes/EURUSD", "/v1/candles/ACME"])
def test_a_time_without_a_zone_or_out_of_range_is_400(plant: Site, path: str, value: str) -> None:
    for name in ("start", "end"):
        body = problem(plant.http.get(path, params={name: value}), 400)
        assert body["errors"][0]["loc"] == ["query", name]
        assert body["errors"][0]["value"] == value
        assert value in body["detail"]


def test_a_range_that_ends_before_it_starts_is_400_in_the_words_of_times(plant: Site) -> None:
    query = {"start": "2024-05-07T14:30:05Z", "end": "2024-05-07T14:30:04Z"}
    for path in ("/v1/trades/ACME", "/v1/quotes/EURUSD", "/v1/candles/ACME"):
        detail = problem(plant.http.get(path, params=query), 400)["detail"]
        assert query["start"] in detail
        assert query["end"] in detail


# -- symbols --------------------------------------------------------------------------------------


@pytest.mark.parametrize("spelling", ["ACME", "acme", "aCmE", "ORIGIN:ACME", "origin:acme",
                                      "origin%3Aacme", "%61cme"])  # fmt: skip
def test_symbols_are_known_in_any_case(plant: Site, spelling: str) -> None:
    for path in ("/v1/trades/", "/v1/quotes/", "/v1/candles/", "/v1/latest/", "/v1/instruments/"):
        found = plant.get(f"{path}{spelling}")
        assert (found["symbol"], found["venue"]) == ("ACME", "ORIGIN")


def test_a_bare_symbol_of_several_venues_is_400_with_the_choices(plant: Site) -> None:
    assert plant.get("/v1/trades/kraken:btc-usdt")["venue"] == "KRAKEN"
    for path in ("trades", "quotes", "candles", "latest", "instruments"):
        body = problem(plant.http.get(f"/v1/{path}/btc-usdt"), 400)
        assert "BINANCE:BTC-USDT, KRAKEN:BTC-USDT" in body["detail"]
    body = problem(plant.http.get("/v1/latest?symbols=ACME,BTC-USDT"), 400)
    assert "BINANCE:BTC-USDT" in body["detail"]


def test_an_unknown_symbol_is_404(plant: Site) -> None:
    for path in ("trades", "quotes", "candles", "latest", "instruments"):
        for symbol in ("NOPE", "KRAKEN:ACME", "%00", "%FF", "x" * 500, "..%2e", "'; drop table"):
            assert "symbol" in problem(plant.http.get(f"/v1/{path}/{symbol}"), 404)["detail"]
    body = problem(plant.http.get("/v1/trades/ACNE"), 404)
    assert "ACME" in body["detail"], "the nearest known one is named"
    problem(plant.http.get("/v1/latest?symbols=ACME,NOPE"), 404)


def test_symbols_of_odd_letters_are_percent_encoded(plant: Site) -> None:
    found = plant.get("/v1/trades/%C3%A9%2B%26%3D%25")
    assert (found["symbol"], len(found["trades"])) == ("É+&=%", 1)
    first = plant.http.get("/v1/candles/a%2Bb%23c?limit=1&start=2024-01-01T00:00:00Z")
    assert first.links["next"]["url"].startswith("/v1/candles/a+b%23c?limit=1&start=2024-01-01T")
    assert plant.get(first.links["next"]["url"])["symbol"] == "A+B#C"
    assert plant.get("/v1/latest?symbols=%C3%A9%2B%26%3D%25")["latest"][0]["symbol"] == "É+&=%"


# -- pages ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_pages_are_stable_while_rows_arrive_before_and_after(tmp_path: Path, order: str) -> None:
    with site(tmp_path) as plant:
        second = 10**9
        base = 1715040000 * second
        plant.post("/v1/trades", [
            {"symbol": "P", "ts_event": base + (i // 3) * second, "price": i + 1} for i in range(10)
        ])  # fmt: skip
        prices, token = [], None
        while True:
            query = {"order": order, "limit": 3} | ({"page_token": token} if token else {})
            page = plant.get("/v1/trades/P", **query)
            prices += [row["price"] for row in page["trades"]]
            token = page["next_page_token"]
            if token is None:
                break
            times = [base - second, base + second, base + 9 * second]
            late = [{"symbol": "P", "ts_event": ts, "price": 99} for ts in times]
            plant.post("/v1/trades", late)
        wanted = [float(i + 1) for i in range(10)]
        assert prices == (wanted if order == "asc" else wanted[::-1])
        assert len(plant.rows("/v1/trades/P")) == 19


def test_a_full_last_page_is_followed_by_none(plant: Site) -> None:
    assert plant.get("/v1/trades/ACME", limit=4)["next_page_token"] is None
    assert plant.get("/v1/trades/ACME", limit=10_000)["next_page_token"] is None
    token = plant.get("/v1/trades/ACME", limit=3)["next_page_token"]
    last = plant.get("/v1/trades/acme", limit=9, page_token=token)
    assert ([row["seq"] for row in last["trades"]], last["next_page_token"]) == ([4], None)


@pytest.mark.parametrize("limit", ["0", "-1", "10001", "1e3", "", "a", "1.0", "99999999999999999"])
def test_limits_are_1_to_10000(plant: Site, limit: str) -> None:
    for path, _, _ in ROWS:
        if "latest" not in path:
            body = problem(plant.http.get(path, params={"limit": limit}), 400)
            assert body["errors"] == [{"loc": ["query", "limit"], "value": limit,
                "msg": "allowed is a whole number from 1 to 10000"}]  # fmt: skip


def test_every_page_of_instruments_and_quarantine(plant: Site) -> None:
    for path, key in (("/v1/instruments", "instruments"), ("/v1/candles/ACME", "candles")):
        wanted = plant.get(path, limit=100)[key]
        query: dict[str, Any] = {"limit": 1}
        if key == "candles":
            query["start"] = "2024-05-01T00:00:00Z"
        found = []
        while query.get("page_token", "") is not None:
            page = plant.get(path, **query)
            assert len(page[key]) <= 1
            found += page[key]
            query["page_token"] = page["next_page_token"]
        assert found == wanted


# -- formats --------------------------------------------------------------------------------------


def read_back(form: str, content: bytes) -> list[dict[str, Any]]:
    if form == "csv":
        return list(csv.DictReader(io.StringIO(content.decode())))
    if form == "arrow":
        return list(pa.ipc.open_stream(content).read_all().to_pylist())
    return list(pa.parquet.read_table(io.BytesIO(content)).to_pylist())


@pytest.mark.parametrize(("path", "key", "count"), ROWS)
@pytest.mark.parametrize("form", MEDIA)
def test_rows_come_in_the_format_that_is_asked_for(
    plant: Site, path: str, key: str, count: int, form: str
) -> None:
    by_query = plant.http.get(path + ("&" if "?" in path else "?") + f"format={form}")
    by_header = plant.http.get(path, headers={"Accept": f"{MEDIA[form]}, */*;q=0.1"})
    assert by_query.status_code == by_header.status_code == 200
    for answer in (by_query, by_header):
        assert answer.headers["content-type"].partition(";")[0] == MEDIA[form]
        if form == "json":
            assert len(answer.json()[key]) == count
            continue
        rows = read_back(form, answer.content)
        assert len(rows) == count
        for row, shown in zip(rows, plant.get(path)[key], strict=True):
            assert set(shown) <= set(row) | {"trade", "quote", "candle", "corrects"}
            for name in ("price", "bid_price", "open", "volume", "revision", "count", "symbol"):
                if name in shown and not isinstance(shown[name], dict):
                    value = row[name] if row[name] != "" else None
                    if isinstance(shown[name], float) and value is not None:
                        value = float(value)
                    assert str(value) == str(shown[name])


def test_times_in_arrow_and_parquet_are_timestamps_of_nanoseconds_in_utc(plant: Site) -> None:
    for form, read in (
        ("arrow", lambda raw: pa.ipc.open_stream(raw).read_all()),
        ("parquet", lambda raw: pa.parquet.read_table(io.BytesIO(raw))),
    ):
        table = read(plant.http.get("/v1/trades/ACME", params={"format": form}).content)
        assert table.schema.field("ts_event").type == pa.timestamp("ns", tz="UTC")
        assert table["ts_event"].cast(pa.int64()).to_pylist()[-1] == 1715092500000000001


def test_the_next_page_of_other_formats_is_in_a_header(plant: Site) -> None:
    first = plant.http.get("/v1/trades/ACME?limit=3&format=csv")
    token = first.headers["x-next-page-token"]
    query = {"limit": 3, "format": "arrow", "page_token": token}
    second = plant.http.get("/v1/trades/ACME", params=query)
    assert [row["seq"] for row in read_back("arrow", second.content)] == [4]
    assert "x-next-page-token" not in second.headers


def test_csv_of_texts_that_need_quotes_reads_back_the_same(tmp_path: Path) -> None:
    with site(tmp_path) as plant:
        texts = [None, "@", 'a,"b"', "two\nlines", "é|"]
        rows = [{"symbol": "C", "price": 1, "conditions": text} for text in texts]
        first = plant.post("/v1/trades", rows)["seq_first"]
        plant.http.put(f"/v1/trades/C/{first}", json={"price": 2}).raise_for_status()
        text = plant.http.get("/v1/trades/C?format=csv").text
        shown = {int(row["seq"]): row for row in csv.DictReader(io.StringIO(text))}
        assert [row["conditions"] for row in shown.values()][:4] == [t or "" for t in texts[1:]]
        assert {row["flags"] for row in shown.values()} == {"", "correction"}
        assert '""' not in text.replace('"a,""b"""', "")


def test_no_rows_have_all_their_columns(plant: Site) -> None:
    for form in ("csv", "arrow", "parquet"):
        full = plant.http.get(f"/v1/trades/ACME?format={form}").content
        empty = plant.http.get(f"/v1/trades/EURUSD?format={form}").content
        if form == "csv":
            assert empty.partition(b"\n")[0] == full.partition(b"\n")[0]
            assert len(empty.splitlines()) == 1
        elif form == "arrow":
            assert pa.ipc.open_stream(empty).schema == pa.ipc.open_stream(full).schema


# -- errors ---------------------------------------------------------------------------------------


def test_every_kind_of_error_is_a_problem(plant: Site) -> None:
    http = plant.http
    for path in ("/", "/docs", "/openapi.json", "/health", "/metrics"):
        assert http.get(path).status_code == 200
    assert problem(http.get("/v1/trades/ACME?lmit=3"), 400)["errors"][0]["loc"] == ["query", "lmit"]
    assert "limit" in problem(http.get("/v1/trades/ACME?lmit=3"), 400)["detail"]
    problem(http.get("/v1/nothing"), 404)
    assert "slash" in problem(http.get("/v1/trades/ACME/"), 404)["detail"]
    refused = http.delete("/v1/candles/ACME")
    problem(refused, 405)
    assert refused.headers["allow"] == "GET, HEAD, OPTIONS"
    problem(http.request("PROPFIND", "/v1/trades/ACME"), 405)
    problem(http.get("/v1/trades/ACME", headers={"Accept": "application/xml"}), 406)
    problem(http.post("/v1/trades", content=b"x" * (2 << 20)), 413)
    problem(http.post("/v1/trades", content=b"x", headers={"Content-Type": "text/xml"}), 415)
    problem(http.post("/v1/trades", content=b"{"), 422)
    upgrade = http.get("/v1/stream")
    assert "WebSocket" in problem(upgrade, 426)["detail"]
    assert upgrade.headers["upgrade"] == "websocket"


def test_bad_input_names_where_it_was_what_was_seen_and_what_is_allowed(plant: Site) -> None:
    http = plant.http
    for answer in (
        http.get("/v1/trades/ACME?order=up"),
        http.get("/v1/trades/NOPE"),
        http.get("/v1/candles/ACME?interval=1x"),
        http.get("/v1/candles/ACME?timezone=Mars"),
        http.get("/v1/latest"),
        http.get("/v1/latest?symbols="),
        http.delete("/v1/trades/ACME/x"),
        http.put("/v1/trades/ACME/1", json={"price": -1}),
        http.put("/v1/trades/ACME/1", json={"id": "x"}),
        http.post("/v1/trades", content=b"{"),
        http.post("/v1/trades", content=b""),
        http.post("/v1/trades", json={"quotes": []}),
        http.post("/v1/trades", content=b"a,b\n", headers={"Content-Type": "text/csv"}),
        http.post("/v1/trades", content=b"x", headers={"Content-Type": MEDIA["arrow"]}),
        http.post("/v1/trades", content=b"x", headers={"Content-Type": "image/png"}),
        http.post("/v1/trades", content=b"x", headers={"Content-Encoding": "br"}),
        http.post("/v1/trades?strict=true", json=[{"symbol": "ACME", "price": 0}]),
        http.post("/v1/trades?strict=perhaps", json=[]),
    ):
        body = problem(answer, answer.status_code)
        assert 400 <= answer.status_code < 500
        assert body["errors"], f"{answer.request.url}: no errors are listed"


def test_head_and_options_work_everywhere(plant: Site) -> None:
    for path in ("/v1/trades/ACME", "/v1/candles/ACME?interval=7m", "/health", "/", "/metrics"):
        got, head = plant.http.get(path), plant.http.head(path)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-type"] == got.headers["content-type"]
    assert plant.http.head("/v1/trades/NOPE").status_code == 404
    options = plant.http.options("/v1/trades/ACME/1")
    assert (options.status_code, options.headers["allow"]) == (204, "DELETE, OPTIONS, PUT")


# -- each route -----------------------------------------------------------------------------------


def test_instruments(plant: Site) -> None:
    fields = [
        "symbol", "venue", "kind", "base", "quote", "tick_size", "lot_size", "underlying", "expiry",
        "strike", "right", "timezone", "calendar", "status", "aliases",
    ]  # fmt: skip
    found = plant.rows("/v1/instruments")
    assert [(one["venue"], one["symbol"]) for one in found] == [
        ("ORIGIN", "ACME"), ("ORIGIN", "EURUSD"), ("BINANCE", "BTC-USDT"), ("KRAKEN", "BTC-USDT"),
        ("ORIGIN", "A+B#C"), ("ORIGIN", "É+&=%"),
    ]  # fmt: skip
    assert all(list(one) == fields for one in found)
    assert plant.get("/v1/instruments/eurusd") == found[1]
    assert (found[1]["kind"], found[1]["base"], found[1]["quote"]) == ("fx", "EUR", "USD")
    count = {name: len(plant.rows("/v1/instruments", **query)) for name, query in {
        "venue": {"venue": "kraken"}, "kind": {"kind": "FX"}, "q": {"q": "btc"},
        "both": {"q": "btc", "venue": "BINANCE"}, "none": {"q": "zzz"},
    }.items()}  # fmt: skip
    assert count == {"venue": 1, "kind": 1, "q": 2, "both": 1, "none": 0}


def test_trades_and_quotes_have_their_fields(plant: Site) -> None:
    answer = plant.get("/v1/trades/ACME")
    assert set(answer) == {"symbol", "venue", "trades", "next_page_token"}
    wanted = {"ts_event", "ts_recv", "seq", "price", "size", "side", "id", "conditions", "flags"}
    assert all(wanted <= set(row) for row in answer["trades"])
    assert [row["size"] for row in answer["trades"]] == [200, 100, 50, None]
    assert [row["side"] for row in answer["trades"]] == [None, None, None, "sell"]
    answer = plant.get("/v1/quotes/EURUSD")
    wanted = {"ts_event", "ts_recv", "seq", "bid_price", "bid_size", "ask_price", "ask_size"}
    assert all({*wanted, "flags"} <= set(row) for row in answer["quotes"])
    assert (answer["quotes"][1]["ask_price"], answer["quotes"][1]["bid_size"]) == (None, 3)


def test_latest(plant: Site) -> None:
    one = plant.get("/v1/latest/acme")
    assert one["trade"]["price"] == 101
    assert one["quote"] is None
    assert one["candle"]["start"] == "2024-05-07T14:35:00Z"
    age = Decimal("1715169600.5") - Decimal("1715092500.000000001")
    assert abs(Decimal(str(one["age_s"])) - age) < Decimal("0.001")
    assert one["freshness"] == "STALE"
    several = plant.get("/v1/latest?symbols=ACME,eurusd")["latest"]
    assert several[0] == one
    assert several[1]["quote"]["ask_price"] == 1.5
    assert [one["symbol"] for one in plant.get("/v1/latest?symbols=*")["latest"]][:1] == ["ACME"]
    assert plant.get("/v1/latest/KRAKEN:BTC-USDT")["freshness"] == "FRESH"


def test_status_feeds_health_ready_and_metrics(plant: Site) -> None:
    status = plant.get("/v1/status")
    assert (status["ready"], status["instruments"]) == (True, 6)
    assert status["store"]["tables"]["trades"]["rows"] == 9
    assert isinstance(plant.get("/v1/feeds")["feeds"], list)
    assert plant.get("/health")["status"] == "ok"
    assert plant.get("/ready")["ready"] is True
    metrics = plant.http.get("/metrics")
    assert metrics.headers["content-type"].startswith("text/plain")
    assert metrics.text.startswith("# HELP")


def test_the_document_lists_every_route_of_the_contract_that_is_served(plant: Site) -> None:
    document = plant.get("/openapi.json")
    assert {f"{method.upper()} {path}" for path, item in document["paths"].items()
            for method in item} >= {
        "GET /v1/instruments", "GET /v1/instruments/{symbol}", "GET /v1/trades/{symbol}",
        "GET /v1/quotes/{symbol}", "GET /v1/candles/{symbol}", "GET /v1/latest/{symbol}",
        "GET /v1/latest", "GET /v1/feeds", "GET /v1/status", "POST /v1/trades", "POST /v1/quotes",
        "PUT /v1/trades/{symbol}/{seq}", "DELETE /v1/trades/{symbol}/{seq}", "GET /health",
        "GET /ready", "GET /metrics",
    }  # fmt: skip
    assert "http" not in plant.http.get("/docs").text.replace("http-equiv", "")
