"""Bad input: always a problem of one shape that names the parameter, and never 500."""

from __future__ import annotations

import gzip
import json

import httpx
import pytest
from plant_fakes import FakePlant

from log_kit import lines_of
from tickplant.gateway.app import create_app
from tickplant.gateway.rest.bodies import MEMBERS_MAX, BodyRoom, gunzip
from tickplant.gateway.rest.problems import BodyTooLarge
from tickplant.model.errors import InvalidBody, LogUnavailable, Overloaded

Client = httpx.AsyncClient
RANGED = ("/v1/trades/X", "/v1/quotes/X", "/v1/quarantine")

# parameter, bad value, what the answer must name
BAD_TIMES = ["", "now", "2014-05-07", "2014-05-07T00:00:00", "2014-13-07T00:00:00Z", "9" * 30]
BAD_LIMITS = ["0", "-1", "10001", "1.5", "abc", "", "9" * 5000, "١٢"]
CASES = [
    *((path, "start", value, "zone") for path in (*RANGED, "/v1/candles/X") for value in BAD_TIMES),
    *((path, "end", "x", "zone") for path in (*RANGED, "/v1/candles/X")),
    *((path, "limit", value, "10000")
      for path in (*RANGED, "/v1/candles/X", "/v1/instruments") for value in BAD_LIMITS),
    *((path, "order", "up", "asc, desc") for path in RANGED),
    *((path, "page_token", value, "next_page_token")
      for path in (*RANGED, "/v1/candles/X", "/v1/instruments")
      for value in ("x", "AAAA", "!!", "Zm9v")),
    *((path, "format", "xml", "json, csv, arrow, parquet")
      for path in (*RANGED, "/v1/candles/X", "/v1/instruments")),
    *((path, "as_of", value, "sequence number")
      for path in (*RANGED, "/v1/candles/X") for value in ("yesterday", "²", "")),
    *(("/v1/candles/X", "interval", value, "mo")
      for value in ("0m", "1x", "-1m", "1.5h", "m", "", "1M", "99999999h")),
    ("/v1/candles/X", "basis", "last", "trade, mid, bid, ask"),
    ("/v1/candles/X", "fill", "zero", "none, previous, null"),
    *(("/v1/candles/X", "timezone", value, "IANA") for value in ("Mars/Base", "../etc/passwd", "")),
    *(("/v1/candles/X", "day_start", value, "HH:MM") for value in ("25:00", "9", "12:60", "noon")),
    ("/v1/candles/X", "calendar", "XNYZ", "XNYS"),
    ("/v1/candles/X", "calendar", "", "the nearest are"),
    ("/v1/candles/X", "session", "night", "regular, extended, all"),
    ("/v1/candles/X", "session", "all", "beside a calendar"),
    ("/v1/quarantine", "table", "books", "trades, quotes"),
    ("/v1/quarantine", "reason", "", "1 to 64"),
    *(("/v1/gaps", name, "soon", "zone") for name in ("start", "end")),
    *(("/v1/gaps", "limit", value, "10000") for value in BAD_LIMITS),
    *(("/v1/gaps", "page_token", value, "next_page_token") for value in ("x", "AAAA")),
    ("/v1/gaps", "status", "closed", "open, repairing, repaired, unrepairable"),
    ("/v1/gaps", "feed", "", "1 to 128"),
    ("/v1/gaps", "symbol", " ", "1 to 256"),
    ("/v1/gaps", "as_of", "yesterday", "sequence number"),
    ("/v1/gaps", "format", "xml", "json, csv, arrow, parquet"),
    ("/v1/instruments", "venue", "", "1 to 32"),
    ("/v1/latest", "symbols", "", "symbols"),
    ("/v1/latest", "symbols", "X,,X", "symbols"),
]  # fmt: skip


def check_problem(answer: httpx.Response, status: int) -> dict:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert set(body) == {"type", "title", "status", "detail", "instance", "errors"}
    assert body["status"] == status
    assert body["instance"] == answer.request.url.path
    return body


@pytest.fixture(autouse=True)
async def some_data(client: Client) -> None:
    await client.post("/v1/trades", json=[{"symbol": "X", "price": p} for p in (1, 2, 3)])


@pytest.mark.parametrize(("path", "name", "value", "allowed"), CASES)
async def test_a_bad_value_is_named_with_what_is_allowed(
    client: Client, path: str, name: str, value: str, allowed: str
) -> None:
    body = check_problem(await client.get(path, params={name: value}), 400)
    assert allowed in body["detail"]
    (error,) = body["errors"]
    assert error["loc"] == ["query", name]
    assert len(str(error["value"])) <= 100


async def test_an_unknown_symbol_in_the_query_is_named_where_it_was_given(client: Client) -> None:
    for query in ("/v1/gaps?symbol=NOPE", "/v1/latest?symbols=NOPE"):
        (error,) = check_problem(await client.get(query), 404)["errors"]
        assert error["loc"] == ["query", query.split("?")[1].split("=")[0]]


@pytest.mark.parametrize(("calendar", "name", "value", "allowed"), [
    ("XHKG", "session", "extended", "known of XNYS"),
    ("XNYS", "timezone", "UTC", "America/New_York"),
    ("CMES", "day_start", "00:00", "17:00"),
])  # fmt: skip
async def test_what_a_calendar_does_not_have_is_refused(
    client: Client, calendar: str, name: str, value: str, allowed: str
) -> None:
    params = {"calendar": calendar, name: value}
    body = check_problem(await client.get("/v1/candles/X", params=params), 400)
    assert allowed in body["detail"]
    assert body["errors"][0]["loc"] == ["query", name]


@pytest.mark.parametrize("path", [
    "/v1/trades/X", "/v1/candles/X", "/v1/instruments", "/v1/latest", "/v1/feeds", "/v1/status",
    "/health", "/ready", "/metrics", "/v1/latest/X", "/v1/instruments/X", "/v1/quarantine",
    "/v1/gaps",
])  # fmt: skip
async def test_an_unknown_parameter_is_refused(client: Client, path: str) -> None:
    body = check_problem(await client.get(path, params={"lmit": "5"}), 400)
    assert body["detail"].startswith("lmit: no such parameter")
    if path == "/v1/trades/X":
        assert "nearest known one is limit" in body["detail"]


async def test_a_parameter_given_twice_is_refused(client: Client) -> None:
    check_problem(await client.get("/v1/trades/X?limit=1&limit=2"), 400)


async def test_a_range_that_ends_before_it_starts_is_refused(client: Client) -> None:
    answer = await client.get("/v1/trades/X?start=20&end=10")
    assert "not before start" in check_problem(answer, 400)["detail"]


async def test_a_token_of_another_query_is_refused(client: Client) -> None:
    token = (await client.get("/v1/trades/X?limit=1")).json()["next_page_token"]
    good = await client.get("/v1/trades/X", params={"limit": 2, "page_token": token})
    assert len(good.json()["trades"]) == 2
    for path, params in (
        ("/v1/trades/X", {"order": "desc"}), ("/v1/trades/X", {"start": 5}), ("/v1/quotes/X", {}),
        ("/v1/quarantine", {}), ("/v1/gaps", {}),
    ):  # fmt: skip
        answer = await client.get(path, params={**params, "page_token": token})
        assert "page_token" in check_problem(answer, 400)["detail"]


@pytest.mark.parametrize("accept", ["text/html", "image/png", "application/json;q=0", "nonsense"])
async def test_an_accept_header_that_allows_nothing_is_406(client: Client, accept: str) -> None:
    body = check_problem(await client.get("/v1/trades/X", headers={"Accept": accept}), 406)
    for name in ("application/json", "text/csv", "arrow.stream", "parquet"):
        assert name in body["detail"]


async def test_the_router_answers_in_the_same_shape(client: Client) -> None:
    check_problem(await client.get("/nowhere"), 404)
    check_problem(await client.get("/v1/trades/"), 404)
    answer = await client.patch("/v1/trades/X/1")
    assert check_problem(answer, 405)["detail"].endswith("DELETE, OPTIONS, PUT")
    assert answer.headers["allow"] == "DELETE, OPTIONS, PUT"


async def test_options_and_head(client: Client) -> None:
    options = await client.options("/v1/candles/X")
    assert (options.status_code, options.headers["allow"]) == (204, "GET, HEAD, OPTIONS")
    got = await client.get("/v1/trades/X")
    head = await client.head("/v1/trades/X")
    assert head.status_code == 200
    assert head.content == b""
    assert head.headers["content-length"] == str(len(got.content))


async def test_a_fault_of_ours_is_logged_and_not_shown(client: Client, plant: FakePlant) -> None:
    def broken() -> None:
        raise ZeroDivisionError("secret")

    plant.status = broken  # type: ignore[method-assign,assignment]
    with lines_of("tickplant.gateway.envelope") as written:
        answer = await client.get("/v1/status", headers={"X-Request-Id": "mine-7"})
    body = check_problem(answer, 500)
    assert "mine-7" in body["detail"]
    assert "secret" not in answer.text
    (line,) = map(json.loads, written.getvalue().splitlines())
    assert (line["level"], line["request"]) == ("error", "mine-7")
    assert "ZeroDivisionError" in line["error"]


async def test_every_answer_has_an_id_and_its_duration(client: Client) -> None:
    one, other = await client.get("/v1/feeds"), await client.get("/nowhere")
    assert one.headers["x-request-id"] != other.headers["x-request-id"]
    assert float(one.headers["x-response-time-ms"]) > 0
    echoed = await client.get("/v1/feeds", headers={"X-Request-Id": b"abc\x7f\xe9"})
    assert echoed.headers["x-request-id"].isascii()


# -- bodies ---------------------------------------------------------------------------------------


def small_plant() -> FakePlant:
    from tickplant.config import ServerSettings, Settings

    return FakePlant(Settings(server=ServerSettings(body_mb_max=1)))


@pytest.mark.parametrize("announced", [True, False])
async def test_a_body_that_is_too_large_is_413(announced: bool) -> None:
    plant = small_plant()
    sent = 0

    async def chunks():
        nonlocal sent
        for _ in range(64):
            sent += 1 << 16
            yield b" " * (1 << 16)

    transport = httpx.ASGITransport(app=create_app(plant))  # type: ignore[arg-type]
    async with Client(transport=transport, base_url="http://plant") as client:
        content = b" " * (2 << 20) if announced else chunks()
        answer = await client.post("/v1/trades", content=content)
    assert "body_mb_max" in check_problem(answer, 413)["detail"]
    assert announced or sent <= (1 << 20) + (1 << 16), "it was read further than the bound"


async def test_a_small_body_that_unpacks_to_a_large_one_is_413() -> None:
    bomb = gzip.compress(b" " * (64 << 20))
    assert len(bomb) < 1 << 20
    transport = httpx.ASGITransport(app=create_app(small_plant()))  # type: ignore[arg-type]
    async with Client(transport=transport, base_url="http://plant") as client:
        answer = await client.post("/v1/trades", content=bomb, headers={"Content-Encoding": "gzip"})
    check_problem(answer, 413)


async def test_gzip_is_unpacked(client: Client, plant: FakePlant) -> None:
    lines = b'{"symbol": "Z", "price": 1}\n{"symbol": "Z", "price": 2}\n'
    headers = {"Content-Encoding": "gzip", "Content-Type": "application/x-ndjson"}
    packed = gzip.compress(lines[:28]) + gzip.compress(lines[28:])
    answer = await client.post("/v1/trades", content=packed, headers=headers)
    assert answer.json()["accepted"] == 2
    for damaged in (packed[:-5], b"nonsense", b""):
        answer = await client.post("/v1/trades", content=damaged, headers=headers)
        check_problem(answer, 422)


@pytest.mark.parametrize(("header", "value"), [
    ("Content-Type", "application/x-www-form-urlencoded"), ("Content-Type", "text/html"),
    ("Content-Type", "application/json; charset=latin-1"), ("Content-Encoding", "br"),
])  # fmt: skip
async def test_a_type_that_is_not_read_is_415(client: Client, header: str, value: str) -> None:
    answer = await client.post("/v1/trades", content=b"{}", headers={header: value})
    assert header in check_problem(answer, 415)["detail"]


@pytest.mark.parametrize("body", [b"", b"{", b"[1", b'"x"', b"\xff\xfe", b"null", b"[" * 100_000])
async def test_a_body_that_cannot_be_read_is_422(client: Client, body: bytes) -> None:
    check_problem(await client.post("/v1/trades", content=body), 422)


async def test_a_strict_body_with_a_bad_row_is_refused_as_a_whole(
    client: Client, plant: FakePlant
) -> None:
    rows = [{"symbol": "S", "price": 1}, {"symbol": "S", "price": -1}]
    before = plant.seq
    body = check_problem(await client.post("/v1/trades?strict=true", json=rows), 422)
    assert body["errors"][0]["loc"] == ["body", 1]
    assert plant.seq == before
    check_problem(await client.post("/v1/trades?strict=maybe", json=rows), 400)


async def test_a_passing_fault_is_503_and_says_when_to_retry(
    client: Client, plant: FakePlant
) -> None:
    plant.refuse = LogUnavailable("No space left on device", retry_after_s=2.5)
    answer = await client.post("/v1/trades", json={"symbol": "S", "price": 1})
    check_problem(answer, 503)
    assert answer.headers["retry-after"] == "3"


@pytest.mark.parametrize(("body", "named"), [
    (b"", "body"), (b"[]", "price, size, side"), (b"{}", "price, size, side"), (b"{", "JSON"),
    (b'{"price": "x"}', "price"), (b'{"price": null}', "price"), (b'{"price": true}', "price"),
    (b'{"size": []}', "size"), (b'{"side": "up"}', "side"), (b'{"symbol": "Y"}', "symbol"),
    (b'{"ts_event": "2014-05-07T00:00:00"}', "ts_event"), (b'{"conditions": 5}', "conditions"),
])  # fmt: skip
async def test_a_bad_correction_is_refused(client: Client, body: bytes, named: str) -> None:
    answer = await client.put("/v1/trades/X/1", content=body)
    assert named in check_problem(answer, 422)["detail"]


@pytest.mark.parametrize("path", ["/v1/trades/X/99", "/v1/trades/OTHER/1", "/v1/trades/NOPE/1"])
async def test_a_trade_that_is_not_there_is_404(client: Client, path: str) -> None:
    await client.post("/v1/trades", json={"symbol": "OTHER", "price": 1})
    check_problem(await client.delete(path), 404)
    check_problem(await client.put(path, json={"price": 2}), 404)


@pytest.mark.parametrize("seq", ["x", "-1", "1.5", "9" * 30])
async def test_a_seq_that_is_no_number_is_400(client: Client, seq: str) -> None:
    body = check_problem(await client.delete(f"/v1/trades/X/{seq}"), 400)
    assert body["errors"][0]["loc"] == ["path", "seq"]


async def test_bodies_beyond_the_room_are_told_to_retry() -> None:
    room = BodyRoom(100)
    with room.hold() as one:
        one(60)
        with room.hold() as other:
            other(40)
            with pytest.raises(Overloaded, match="at most 100 bytes"):
                other(1)
        one(40)
        assert room.bytes_held == 100
    assert room.bytes_held == 0


async def test_the_room_for_bodies_is_given_back() -> None:
    app = create_app(small_plant())  # type: ignore[arg-type]
    async with Client(transport=httpx.ASGITransport(app=app), base_url="http://plant") as small:
        body = b'{"symbol": "A", "price": 1}' + b" " * 900_000
        for _ in range(12):
            assert (await small.post("/v1/trades", content=body)).status_code == 201
            packed = await small.post(
                "/v1/trades", content=gzip.compress(body), headers={"Content-Encoding": "gzip"}
            )
            assert packed.status_code == 201


def test_gzip_of_many_members_is_bounded() -> None:
    member = gzip.compress(b"x")
    assert gunzip(member * 5_000, 5_000) == b"x" * 5_000
    with pytest.raises(BodyTooLarge):
        gunzip(member * 5_000, 4_999)
    with pytest.raises(InvalidBody, match="members"):
        gunzip(member * (MEMBERS_MAX + 1), 1 << 20)
    large = b"0123456789abcdef" * 100_000
    packed = gzip.compress(large, 0) + gzip.compress(large, 9)
    assert gunzip(packed, 2 * len(large)) == large * 2


async def test_a_producer_that_goes_away_is_no_fault(
    plant: FakePlant, caplog: pytest.LogCaptureFixture
) -> None:
    async def receive() -> dict:
        return {"type": "http.disconnect"}

    async def send(message: dict) -> None:
        raise AssertionError(message)

    scope = {
        "type": "http", "method": "POST", "path": "/v1/trades", "raw_path": b"/v1/trades",
        "query_string": b"", "headers": [], "root_path": "", "http_version": "1.1",
    }  # fmt: skip
    await create_app(plant)(scope, receive, send)  # type: ignore[arg-type]
    assert not caplog.records
