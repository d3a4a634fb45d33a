"""What the contract says of writing, sentence by sentence, over a real server."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Iterator
from itertools import count
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.ipc
import pytest
from contract_kit import NOW, NOW_TEXT, Json, Site, problem, site

ARROW = "application/vnd.apache.arrow.stream"
T = "2024-05-07T00:00:00Z"


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("writes")) as made:
        yield made


_names = count(1)


@pytest.fixture
def name() -> str:
    """A symbol that no other test uses."""
    return f"W{next(_names)}"


def send(plant: Site, media: str, content: str | bytes, path: str = "/v1/trades") -> httpx.Response:
    return plant.http.post(path, content=content, headers={"Content-Type": media})


def arrow(**columns: Any) -> bytes:
    table, sink = pa.table(columns), io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def taken(answer: httpx.Response) -> tuple[int, int, list[int]]:
    assert answer.status_code == 201, answer.text
    body = answer.json()
    return body["accepted"], body["duplicates"], [one["index"] for one in body["rejected"]]


# -- bodies ---------------------------------------------------------------------------------------


def test_one_object_a_list_or_an_object_of_a_list(plant: Site, name: str) -> None:
    row = {"symbol": name, "price": 1}
    for body, rows in ((row, 1), ([row, row], 2), ({"trades": [row]}, 1), ([], 0)):
        assert plant.post("/v1/trades", body)["accepted"] == rows
    quote = {"symbol": name, "bid_price": 1}
    for body, rows in ((quote, 1), ([quote, quote], 2), ({"quotes": [quote]}, 1)):
        assert plant.post("/v1/quotes", body)["accepted"] == rows
    assert len(plant.rows(f"/v1/trades/{name}")) == 4
    assert len(plant.rows(f"/v1/quotes/{name}")) == 4
    problem(plant.http.post("/v1/trades", json={"quotes": [quote]}), 422)


def test_the_same_rows_in_four_media_types_are_the_same_rows(plant: Site) -> None:
    rows = [
        {"symbol": "", "ts_event": T, "price": 1.1, "size": 0.3, "side": "buy", "id": "a"},
        {"symbol": "", "ts_event": 1715040000000000001, "price": 2.0, "size": None, "side": None,
         "id": None},
    ]  # fmt: skip
    stored = []
    for media in ("application/json", "application/x-ndjson", "text/csv", ARROW):
        symbol = "M-" + media.partition("/")[2].replace("/", "")
        named = [row | {"symbol": symbol} for row in rows]
        body: str | bytes
        if media == "application/json":
            body = json.dumps(named)
        elif media == "application/x-ndjson":
            body = "\n".join(map(json.dumps, named)) + "\n"
        elif media == "text/csv":
            lines = [",".join("" if v is None else str(v) for v in row.values()) for row in named]
            body = "\r\n".join([",".join(rows[0]), *lines])
        else:
            columns = {key: [row[key] for row in named] for key in rows[0]}
            times = [1715040000000000000, 1715040000000000001]
            body = arrow(**columns | {"ts_event": pa.array(times, pa.timestamp("ns", "UTC"))})
        assert taken(send(plant, media, body)) == (2, 0, [])
        stored.append(plant.rows(f"/v1/trades/{symbol}"))
    for row in (row for found in stored for row in found):
        del row["seq"]
    assert all(found == stored[0] for found in stored)
    assert [row["ts_event"][20:] for row in stored[0]] == ["", "000000001Z"]


def test_bodies_may_be_packed_and_begin_with_a_mark_of_utf_8(plant: Site, name: str) -> None:
    body = json.dumps({"symbol": name, "price": 1}).encode()
    headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
    answer = plant.http.post("/v1/trades", content=gzip.compress(body), headers=headers)
    assert taken(answer) == (1, 0, [])
    problem(plant.http.post("/v1/trades", content=body, headers=headers), 422)
    for media, content in (
        ("application/json", body),
        ("application/x-ndjson", body),
        ("text/csv", f"symbol,price\n{name},1".encode()),
    ):
        assert taken(send(plant, media, b"\xef\xbb\xbf" + content)) == (1, 0, [])


@pytest.mark.parametrize(("media", "body"), [
    ("application/json", b""), ("application/json", b"{"), ("application/json", b"7"),
    ("application/json", b'{"symbol": "A", "price": NaN}'), ("application/json", b"\xff\xfe"),
    ("application/x-ndjson", b""), ("text/csv", b""), ("text/csv", b"a;b\n1;2"), (ARROW, b""),
    (ARROW, b"\xff" * 100), (ARROW, arrow(symbol=["A"], price=["x"])[:-60]),
])  # fmt: skip
def test_a_body_that_cannot_be_read_is_422(plant: Site, media: str, body: bytes) -> None:
    assert problem(send(plant, media, body), 422)["errors"][0]["loc"] == ["body"]


def test_other_types_are_415_and_name_those_that_are_read(plant: Site) -> None:
    for media in ("text/plain", "application/xml", "application/x-www-form-urlencoded"):
        body = problem(send(plant, media, b"{}"), 415)
        assert body["errors"][0] | {"msg": ""} == {
            "loc": ["header", "content-type"], "msg": "", "value": media,
        }  # fmt: skip
        for read in ("application/json", "application/x-ndjson", "text/csv", ARROW):
            assert read in body["detail"]


# -- fields and defaults --------------------------------------------------------------------------


def test_defaults(plant: Site, name: str) -> None:
    plant.post("/v1/trades", {"symbol": name.lower(), "price": 2})
    (row,) = plant.rows(f"/v1/trades/{name}")
    assert {key: row[key] for key in ("ts_event", "ts_recv", "price", "size", "side", "id")} == {
        "ts_event": NOW_TEXT, "ts_recv": NOW_TEXT, "price": 2, "size": None, "side": None,
        "id": None,
    }  # fmt: skip
    assert plant.get(f"/v1/instruments/{name}")["venue"] == "ORIGIN"
    plant.post("/v1/trades", {"symbol": name, "price": 2, "venue": "other", "unknown": [{}]})
    assert plant.get(f"/v1/trades/OTHER:{name}")["venue"] == "OTHER"


def test_an_id_names_a_trade_of_its_symbol_and_venue(plant: Site, name: str) -> None:
    row = {"symbol": name, "price": 1, "id": "x"}
    first = plant.post("/v1/trades", [row, row])
    assert (first["accepted"], first["duplicates"]) == (1, 1)
    again = plant.post("/v1/trades", [row | {"price": 9, "symbol": name.lower()}])
    assert again == {
        "accepted": 0, "duplicates": 1, "rejected": [], "seq_first": None, "seq_last": None,
    }  # fmt: skip
    others = [row | {"venue": "ELSE"}, row | {"id": "X"}, row | {"symbol": name + "2"}]
    assert plant.post("/v1/trades", others)["accepted"] == 3
    without = {"symbol": name, "price": 1}
    assert plant.post("/v1/trades", [without, without])["accepted"] == 2
    assert [row["price"] for row in plant.rows(f"/v1/trades/ORIGIN:{name}")] == [1] * 4


def test_good_rows_are_taken_and_bad_ones_are_named_and_kept(plant: Site, name: str) -> None:
    good = {"symbol": name, "price": 1}
    bad: list[tuple[Any, str]] = [
        ({"price": 1}, "symbol_missing"), ({"symbol": name}, "price_missing"),
        ({"symbol": name, "price": 0}, "price_not_positive"),
        ({"symbol": name, "price": -0.0}, "price_not_positive"),
        ({"symbol": name, "price": 1e308}, "price_too_large"),
        ({"symbol": name, "price": "abc"}, "price_invalid"),
        ({"symbol": name, "price": True}, "price_invalid"),
        ({"symbol": name, "price": 1, "size": -1}, "size_negative"),
        ({"symbol": "a b", "price": 1}, "symbol_invalid"),
        ({"symbol": name, "price": 1, "venue": "a b"}, "venue_invalid"),
        ({"symbol": name, "price": 1, "side": "up"}, "side_invalid"),
        ({"symbol": name, "price": 1, "ts_event": "2024-05-07T00:00:00"}, "ts_event_invalid"),
        ({"symbol": name, "price": 1, "ts_event": 1715040000}, "ts_too_old"),
        ({"symbol": name, "price": 1, "ts_event": NOW + 61 * 10**9}, "ts_in_future"),
        ({"symbol": name, "price": 1, "ts_event": 10**30}, "ts_event_invalid"),
        (7, "row_unreadable"), (None, "row_unreadable"),
    ]  # fmt: skip
    receipt = plant.post("/v1/trades", [good, *(row for row, _ in bad), good])
    assert receipt["accepted"] == 2
    assert [one["index"] for one in receipt["rejected"]] == list(range(1, len(bad) + 1))
    assert [one["reason"] for one in receipt["rejected"]] == [reason for _, reason in bad]
    kept = [row for row in plant.rows("/v1/quarantine", limit=10_000)
            if row["seq"] > receipt["seq_first"]]  # fmt: skip
    assert sorted(row["reason"] for row in kept) == sorted(reason for _, reason in bad)
    assert len(plant.rows(f"/v1/trades/{name}")) == 2


def test_strict_refuses_the_whole_body(plant: Site, name: str) -> None:
    rows = [{"symbol": name, "price": 1}, {"symbol": name, "price": 0}, 7]
    answer = plant.http.post("/v1/trades?strict=true", json=rows)
    errors = problem(answer, 422)["errors"]
    assert [error["loc"] for error in errors] == [["body", 1], ["body", 2]]
    assert not plant.http.get(f"/v1/trades/{name}").json().get("trades")
    assert plant.post("/v1/trades?strict=false", rows)["accepted"] == 1
    assert taken(plant.http.post("/v1/trades?strict=true", json=rows[:1])) == (1, 0, [])


def test_the_numbers_of_a_receipt_are_those_of_its_rows(plant: Site, name: str) -> None:
    rows = [{"symbol": name, "price": price} for price in (1, 2, 3)]
    first, second = plant.post("/v1/trades", rows), plant.post("/v1/trades", rows)
    assert first["seq_last"] == first["seq_first"] + 2
    assert second["seq_first"] > first["seq_last"]
    seqs = [row["seq"] for row in plant.rows(f"/v1/trades/{name}")]
    assert seqs[0] == first["seq_first"]
    assert seqs[-1] == second["seq_last"]
    assert len(set(seqs)) == 6


def test_numbers_keep_every_digit(plant: Site, name: str) -> None:
    prices = [0.1, 1.005, 123456789.012345, 5e-324, 1e12, 2 / 3, 4.35]
    plant.post("/v1/trades", [{"symbol": name, "price": p, "ts_event": T} for p in prices])
    assert [row["price"] for row in plant.rows(f"/v1/trades/{name}")] == prices
    big = {"symbol": name, "price": 1, "id": 2**70, "size": -0.0}
    plant.post("/v1/trades", big)
    row = plant.rows(f"/v1/trades/{name}", start=NOW)[0]
    assert (row["id"], row["size"]) == (str(2**70), 0)


def test_quotes_may_lack_a_side(plant: Site, name: str) -> None:
    row = {"symbol": name}
    receipt = plant.post("/v1/quotes", [
        row | {"bid_price": 1, "ask_price": 0}, row | {"ask_price": 2, "bid_price": None},
        row | {"bid_price": 0, "ask_price": 0}, row, row | {"bid_price": 3, "ask_price": 2},
    ])  # fmt: skip
    assert [one["index"] for one in receipt["rejected"]] == [2, 3]
    stored = [(row["bid_price"], row["ask_price"]) for row in plant.rows(f"/v1/quotes/{name}")]
    assert stored == [(1, None), (None, 2), (3, 2)]


# -- corrections and cancels ----------------------------------------------------------------------


def amendable(plant: Site, name: str) -> int:
    rows = [{"symbol": name, "price": p, "size": 2, "ts_event": T, "id": str(p)} for p in (1, 2)]
    first: int = plant.post("/v1/trades", rows)["seq_first"]
    return first


def test_a_correction_is_an_event_itself(plant: Site, name: str) -> None:
    seq = amendable(plant, name)
    answer = plant.http.put(f"/v1/trades/{name}/{seq}", json={"price": 5, "size": None})
    assert answer.status_code == 200
    row: Json = answer.json()
    assert (row["symbol"], row["venue"], row["corrects"]) == (name, "ORIGIN", seq)
    assert (row["price"], row["size"], row["flags"], row["id"]) == (5, None, ["correction"], "1")
    assert row["seq"] > seq + 1
    now = plant.rows(f"/v1/trades/{name}")
    assert {r["seq"]: r["price"] for r in now} == {row["seq"]: 5, seq + 1: 2}
    before = plant.rows(f"/v1/trades/{name}", as_of=row["seq"] - 1)
    assert [r["price"] for r in before] == [1, 2]
    (bar,) = plant.rows(f"/v1/candles/{name}")
    assert (bar["high"], bar["volume"], bar["count"], bar["revision"]) == (5, 2, 2, row["seq"])
    (bar,) = plant.rows(f"/v1/candles/{name}", as_of=row["seq"] - 1)
    assert (bar["high"], bar["volume"], bar["revision"]) == (2, 4, seq + 1)


def test_a_correction_of_the_time_moves_the_trade_to_its_bar(plant: Site, name: str) -> None:
    seq = amendable(plant, name)
    moved = "2024-05-07T00:01:30.25Z"
    plant.http.put(f"/v1/trades/{name}/{seq}", json={"ts_event": moved}).raise_for_status()
    bars = plant.rows(f"/v1/candles/{name}")
    assert [(bar["start"][14:16], bar["close"]) for bar in bars] == [("00", 2), ("01", 1)]
    assert plant.rows(f"/v1/trades/{name}", start=moved)[0]["ts_event"] == moved
    assert plant.rows(f"/v1/trades/{name}", end=moved)[0]["price"] == 2


def test_a_correction_may_be_corrected_by_either_number(plant: Site, name: str) -> None:
    seq = amendable(plant, name)
    once = plant.http.put(f"/v1/trades/{name}/{seq}", json={"price": 5}).json()
    twice = plant.http.put(f"/v1/trades/{name}/{once['seq']}", json={"side": "sell"}).json()
    assert (twice["price"], twice["side"], twice["corrects"]) == (5, "sell", seq)
    again = plant.http.put(f"/v1/trades/{name}/{seq}", json={"price": 6}).json()
    assert (again["price"], again["side"]) == (6, "sell")
    assert len(plant.rows(f"/v1/trades/{name}")) == 2


def test_a_cancel_is_an_event_itself(plant: Site, name: str) -> None:
    seq = amendable(plant, name)
    answer = plant.http.delete(f"/v1/trades/{name.lower()}/{seq + 1}")
    assert answer.status_code == 200
    cancel = answer.json()
    assert cancel == {"seq": cancel["seq"], "cancels": seq + 1}
    assert [row["price"] for row in plant.rows(f"/v1/trades/{name}")] == [1]
    assert len(plant.rows(f"/v1/trades/{name}", as_of=cancel["seq"] - 1)) == 2
    (bar,) = plant.rows(f"/v1/candles/{name}")
    assert (bar["high"], bar["volume"], bar["count"]) == (1, 2, 1)
    for send_again in (plant.http.delete, lambda path: plant.http.put(path, json={"price": 1})):
        problem(send_again(f"/v1/trades/{name}/{seq + 1}"), 404)
    plant.http.delete(f"/v1/trades/{name}/{seq}").raise_for_status()
    assert plant.rows(f"/v1/trades/{name}") == plant.rows(f"/v1/candles/{name}") == []
    assert plant.get(f"/v1/latest/{name}")["trade"] is None
    resent = plant.post("/v1/trades", {"symbol": name, "price": 1, "ts_event": T, "id": "1"})
    assert resent["duplicates"] == 1, "sending it again must not bring it back"


@pytest.mark.parametrize(("body", "where"), [
    ({"price": -1}, "price"), ({"price": None}, "price"), ({"size": -1}, "size"),
    ({"side": "up"}, "side"), ({"ts_event": "2024-05-07T00:00:00"}, "ts_event"),
    ({"ts_event": "2030-01-01T00:00:00Z"}, "ts_event"), ({"seq": 1}, "seq"), ({"id": "x"}, "id"),
    ({"symbol": "Y"}, "symbol"), ({"venue": "Y"}, "venue"), ({}, None), ([], None), (None, None),
])  # fmt: skip
def test_a_bad_correction_is_422_and_changes_nothing(
    plant: Site, name: str, body: Any, where: str | None
) -> None:
    seq = amendable(plant, name)
    said = problem(plant.http.put(f"/v1/trades/{name}/{seq}", json=body), 422)
    assert said["errors"][0]["loc"] == ["body", *([where] if where else [])]
    if where in {"price", "size"} and body[where] is not None:
        assert said["errors"][0]["value"] == body[where]
    assert [row["price"] for row in plant.rows(f"/v1/trades/{name}")] == [1, 2]


def test_what_is_not_there_cannot_be_amended(plant: Site, name: str) -> None:
    seq = amendable(plant, name)
    plant.post("/v1/quotes", {"symbol": name, "bid_price": 1})
    for path, status in (
        (f"/v1/trades/{name}/{seq + 2}", 404), (f"/v1/trades/{name}/0", 404),
        (f"/v1/trades/NOPE/{seq}", 404), (f"/v1/trades/{name}/{10**17}", 404),
        (f"/v1/trades/{name}/x", 400), (f"/v1/trades/{name}/-1", 400),
        (f"/v1/trades/{name}/{2**64}", 400), (f"/v1/trades/{name}/{seq}?x=1", 400),
    ):  # fmt: skip
        problem(plant.http.delete(path), status)
        problem(plant.http.put(path, json={"price": 3}), status)
    assert len(plant.rows(f"/v1/trades/{name}")) == 2
