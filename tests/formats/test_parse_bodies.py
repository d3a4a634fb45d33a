"""Bodies of each format: what is taken, what is refused, and with which words."""

from __future__ import annotations

import io
import json

import pyarrow as pa
import pytest

from tickplant.formats.parse import PARSERS, parse_body
from tickplant.formats.parsed import Parsed, incoming_batch
from tickplant.model.errors import InvalidBody, UnsupportedMedia
from tickplant.model.events import INCOMING

JSON = "application/json"
NDJSON = "application/x-ndjson"
CSV = "text/csv"
ARROW = "application/vnd.apache.arrow.stream"
NS = 1_399_420_800_000_000_000


def arrow(table: pa.Table | pa.RecordBatch) -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write(table)
    return sink.getvalue()


def rows_of(parsed: Parsed) -> list[dict[str, object]]:
    return [{k: v for k, v in row.items() if v is not None} for row in parsed.rows.to_pylist()]


def reasons(parsed: Parsed) -> list[tuple[int, str]]:
    return [(reject.index, reject.reason) for reject in parsed.unreadable]


FULL = {
    "symbol": "AAPL", "venue": "XNAS", "ts_event": "2014-05-07T00:00:00.5Z", "price": 101.25,
    "size": 3, "side": "Sell", "id": 77, "conditions": ["A", "B"], "exchange": "Q", "key": "k1",
    "unknown": {"a": [1]},
}  # fmt: skip
FULL_READ = {
    "symbol": "AAPL", "venue": "XNAS", "ts_event": NS + 500_000_000, "price": 101.25, "size": 3.0,
    "side": 2, "id": "77", "conditions": "A,B", "exchange": "Q", "key": b"k1",
}  # fmt: skip


@pytest.mark.parametrize("wrap", [
    lambda row: row, lambda row: [row], lambda row: {"trades": [row]},
])  # fmt: skip
def test_json_takes_an_object_a_list_and_a_wrapped_list(wrap: object) -> None:
    body = json.dumps(wrap(FULL)).encode()  # type: ignore[operator]
    parsed = parse_body("trades", JSON, body)
    assert rows_of(parsed) == [FULL_READ]
    assert parsed.rows.schema == INCOMING["trades"]
    assert (parsed.unreadable, parsed.indexes) == ((), None)


def test_every_format_reads_the_same_trade() -> None:
    cells = {**FULL, "conditions": '"A,B"'}
    del cells["unknown"]
    csv = ",".join(cells) + "\r\n" + ",".join(map(str, cells.values())) + "\r\n"
    table = pa.table({k: [v] for k, v in FULL.items() if k != "unknown"})
    for media, body in [(NDJSON, json.dumps(FULL).encode() + b"\r\n\r\n"), (CSV, csv.encode()),
                        (ARROW, arrow(table))]:  # fmt: skip
        assert rows_of(parse_body("trades", media, body)) == [FULL_READ], media


def test_quotes_have_their_own_fields() -> None:
    row = {"symbol": "EURUSD", "bid_price": 1.1, "bid_size": None, "ask_price": "1.2", "ts": NS}
    parsed = parse_body("quotes", JSON, json.dumps({"quotes": [row]}).encode())
    assert rows_of(parsed) == [
        {"symbol": "EURUSD", "bid_price": 1.1, "ask_price": 1.2, "ts_event": NS}
    ]
    assert parsed.rows.schema == INCOMING["quotes"]


@pytest.mark.parametrize("name", ["ts_event", "timestamp", "time", "ts"])
@pytest.mark.parametrize("value", [NS, str(NS), "2014-05-07T00:00:00Z",
                                   "2014-05-07T02:00:00+02:00", "2014-05-07 00:00:00.000000000Z",
                                   "2014-05-07t00:00:00z"])  # fmt: skip
def test_times_in_all_spellings_under_all_names(name: str, value: object) -> None:
    row = {"symbol": "A", "price": 1, name: value}
    for media, body in [(JSON, json.dumps(row)), (NDJSON, json.dumps(row)),
                        (CSV, f"symbol,price,{name}\nA,1,{value}\n")]:  # fmt: skip
        parsed = parse_body("trades", media, body.encode())
        assert parsed.rows.column("ts_event").to_pylist() == [NS], media


def test_ts_event_wins_over_its_aliases_row_by_row() -> None:
    rows = [{"symbol": "A", "price": 1, "ts_event": NS, "time": 5},
            {"symbol": "A", "price": 1, "time": NS + 1}, {"symbol": "A", "price": 1}]  # fmt: skip
    parsed = parse_body("trades", JSON, json.dumps(rows).encode())
    assert parsed.rows.column("ts_event").to_pylist() == [NS, NS + 1, None]


@pytest.mark.parametrize(("field", "value", "words"), [
    ("price", "abc", "abc"), ("price", True, "True"), ("price", [1], "a number"),
    ("size", {"a": 1}, "a number"), ("ts_event", "2014-05-07T00:00:00", "no zone"),
    ("ts_event", 1.5, "1.5"), ("ts_event", 10**30, "1678 to 2262"), ("ts_event", "0x1F", "0x1F"),
    ("ts_event", "2014-02-30T00:00:00Z", "day"), ("side", "up", "buy or sell"),
    ("side", 1, "buy or sell"), ("id", 1.5, "a string or an integer"), ("symbol", 5, "a string"),
    ("conditions", [1], "list of strings"), ("exchange", 1, "a string"), ("venue", [], "a string"),
    ("key", 4, "64 bytes"),
])  # fmt: skip
def test_a_bad_value_costs_only_its_own_row(field: str, value: object, words: str) -> None:
    good = {"symbol": "A", "price": 1.5, "ts_event": NS}
    bad = {**good, field: value}
    items = [good, bad, good]
    for media, body in [(JSON, json.dumps(items)), (NDJSON, "\n".join(map(json.dumps, items)))]:
        parsed = parse_body("trades", media, body.encode())
        assert reasons(parsed) == [(1, f"{field}_invalid")], media
        assert parsed.indexes == [0, 2]
        assert parsed.rows.num_rows == 2
        reject = parsed.unreadable[0]
        assert field in reject.detail
        assert words in reject.detail
        assert json.loads(reject.row) == bad


@pytest.mark.parametrize(("field", "value"), [
    ("price", "abc"), ("price", "0x10"), ("price", "1_0"), ("ts_event", "2014-05-07T00:00:00"),
    ("ts_event", "yesterday"), ("ts_event", "0x1F"), ("side", "up"),
])  # fmt: skip
def test_a_bad_cell_costs_only_its_own_line(field: str, value: str) -> None:
    lines = ["symbol,price,ts_event,side"]
    for place in range(200):
        row = {"symbol": "A", "price": "1.5", "ts_event": str(NS), "side": "buy"}
        lines.append(",".join((row | {field: value} if place in (7, 150) else row).values()))
    body = "\n".join(lines).encode()
    parsed = parse_body("trades", CSV, body)
    assert reasons(parsed) == [(7, f"{field}_invalid"), (150, f"{field}_invalid")]
    assert parsed.rows.num_rows == 198
    assert parsed.indexes == [place for place in range(200) if place not in (7, 150)]
    assert json.loads(parsed.unreadable[0].row)[field] == value


def test_numbers_may_be_text_and_huge_ones_are_left_to_the_checks() -> None:
    rows = [{"symbol": "A", "price": price} for price in ("1.5", 1e3, 2**53 + 1)]
    parsed = parse_body("trades", JSON, json.dumps(rows).encode())
    assert parsed.rows.column("price").to_pylist() == [1.5, 1000.0, float(2**53)]
    huge = b'[{"symbol":"A","price":' + b"9" * 400 + b'},{"symbol":"A","price":1}]'
    assert parse_body("trades", JSON, huge).rows.column("price").to_pylist() == [float("inf"), 1.0]


def test_a_number_out_of_range_costs_only_its_row() -> None:
    body = b'[{"symbol":"A","price":1e999},{"symbol":"A","price":1},{"symbol":"A","price":-1e400}]'
    parsed = parse_body("trades", JSON, body)
    assert reasons(parsed) == []
    # Infinite, so that the checks refuse it and name the field, as they do for 400 digits.
    assert parsed.rows.column("price").to_pylist() == [float("inf"), 1.0, float("-inf")]
    times = b'[{"symbol":"A","price":1,"ts_event":1e999},{"symbol":"A","price":1}]'
    assert reasons(parse_body("trades", JSON, times)) == [(0, "ts_event_invalid")]


@pytest.mark.parametrize("more", [b"NaN", b'"\\ud800"', b"1" * 5_000, b"[" * 2_000, b"01"])
def test_a_number_out_of_range_makes_nothing_else_readable(more: bytes) -> None:
    body = b'[{"symbol":"A","price":1e999,"x":' + more + b'},{"symbol":"A","price":1}]\n'
    body = body.replace(b"},{", b"}\n{")[1:-2]
    parsed = parse_body("trades", NDJSON, body)
    assert reasons(parsed) == [(0, "row_unreadable")]


def test_rows_that_are_no_objects_are_refused_alone() -> None:
    parsed = parse_body("trades", JSON, b'[5, {"symbol":"A","price":1}, null, "x"]')
    assert reasons(parsed) == [(0, "row_unreadable"), (2, "row_unreadable"), (3, "row_unreadable")]
    assert parsed.indexes == [1]


def test_a_line_that_is_no_json_is_refused_alone_with_its_number() -> None:
    body = b'{"symbol":"A","price":1}\n\n{"symbol":\n{"symbol":"B","price":2}\n'
    parsed = parse_body("trades", NDJSON, body)
    assert reasons(parsed) == [(1, "row_unreadable")]
    assert parsed.unreadable[0].detail.startswith("line 3:")
    assert parsed.indexes == [0, 2]


@pytest.mark.parametrize(("body", "words"), [
    (b"", "empty"), (b" \r\n ", "empty"), (b"\xef\xbb\xbf", "empty"), (b"<html>", "byte 0"),
    (b"[1, 2]", "none of its rows"), (b'"text"', "allowed is an object"), (b"17", "allowed is"),
    (b'[{"symbol":"A","price":1}', "too early, at byte 25"), (b'[{"price":NaN}]', "NaN"),
    (b'[{"symbol":"\xff"}]', "UTF-8 at byte 12"), (b'{"quotes":[]}', "this takes trades"),
    (b'{"trades":5}', "array"), (b"[" * 100_000, "deep"), (b'[{"price":1}] x', "trailing"),
])  # fmt: skip
def test_what_is_no_json_body_is_refused_whole(body: bytes, words: str) -> None:
    with pytest.raises(InvalidBody) as refused:
        parse_body("trades", JSON, body)
    assert words in str(refused.value)


def test_nesting_costs_only_its_row_in_ndjson() -> None:
    body = b'{"a":' + b"[" * 100_000 + b'\n{"symbol":"A","price":1}'
    parsed = parse_body("trades", NDJSON, body)
    assert reasons(parsed) == [(0, "row_unreadable")]
    assert len(parsed.unreadable[0].row) < 5_000


@pytest.mark.parametrize(("body", "words"), [
    (b"", "empty"), (b"symbol,size\nA,1\n", "price"), (b"price\n1\n", "symbol"),
    (b"symbol,price,price\nA,1,2\n", "twice"), (b"symbol,price\nA,\xff\n", "UTF-8 at byte 15"),
    (b'"symbol,price\nA,1', "no CSV"), (b"symbol;price\nA;1\n", "symbol;price"),
])  # fmt: skip
def test_what_is_no_csv_body_is_refused_whole(body: bytes, words: str) -> None:
    with pytest.raises(InvalidBody) as refused:
        parse_body("trades", CSV, body)
    assert words in str(refused.value)


def test_csv_ignores_order_case_marks_blank_lines_and_other_columns() -> None:
    body = b'\xef\xbb\xbf\r\n Price ,extra,SYMBOL\r\n"1.5",x,"A"\r\n\r\n,"a ""b""\r\nc",B\r\n'
    parsed = parse_body("trades", CSV, body)
    assert rows_of(parsed) == [{"symbol": "A", "price": 1.5, "side": 0}, {"symbol": "B", "side": 0}]


def test_lines_of_a_wrong_width_are_refused_alone() -> None:
    parsed = parse_body("trades", CSV, b"symbol,price\nA\n\nA,1\nA,1,2\nA,2\n")
    assert reasons(parsed) == [(0, "row_unreadable"), (2, "row_unreadable")]
    assert parsed.indexes == [1, 3]
    assert parsed.rows.column("price").to_pylist() == [1.0, 2.0]


@pytest.mark.parametrize("body", [b"symbol,price", b"symbol,price\n", b"symbol,price\r\n"])
def test_a_header_alone_is_no_rows(body: bytes) -> None:
    assert parse_body("trades", CSV, body).rows.num_rows == 0


def test_an_empty_list_is_no_rows() -> None:
    assert parse_body("trades", JSON, b"[]").rows.num_rows == 0


def test_an_arrow_stream_that_fits_is_taken_without_a_copy() -> None:
    batch = incoming_batch("trades", symbol=["A"] * 9, price=[1.0] * 9, side=[1] * 9)
    body = arrow(batch)
    parsed = parse_body("trades", ARROW, body)
    assert parsed.rows.equals(batch)
    inside = range(pa.py_buffer(body).address, pa.py_buffer(body).address + len(body))
    assert parsed.rows.column("price").buffers()[1].address in inside


@pytest.mark.parametrize("column", [
    pa.array([1_399_420_800], pa.timestamp("s", "UTC")),
    pa.array([1_399_420_800_000], pa.timestamp("ms", "America/New_York")),
    pa.array([NS], pa.timestamp("ns", "+02:00")),
    pa.array([NS // 1000], pa.timestamp("us", "UTC")),
    pa.array([NS], pa.int64()), pa.array([NS], pa.uint64()),
    pa.array(["2014-05-07T00:00:00Z"], pa.large_string()),
    pa.array([str(NS)], pa.string()).dictionary_encode(),
])  # fmt: skip
def test_arrow_times_of_any_compatible_type(column: pa.Array) -> None:
    table = pa.table({"symbol": ["A"], "price": [1.0], "ts_event": column})
    assert parse_body("trades", ARROW, arrow(table)).rows.column("ts_event").to_pylist() == [NS]


@pytest.mark.parametrize("column", [
    pa.array([3, None], pa.int8()), pa.array([3, None], pa.uint64()),
    pa.array([3, None], pa.float32()),
    pa.array(["3", ""], pa.string()), pa.array(["3.0", None], pa.large_string()),
    pa.array([3, None], pa.int64()).cast(pa.decimal128(22, 3)),
    pa.array([3, None], pa.int32()).dictionary_encode(),
])  # fmt: skip
def test_arrow_numbers_of_any_compatible_type(column: pa.Array) -> None:
    table = pa.table({"symbol": ["A", "A"], "price": [1.0, 1.0], "size": column})
    assert parse_body("trades", ARROW, arrow(table)).rows.column("size").to_pylist() == [3.0, None]


def test_arrow_lists_of_conditions_and_text_keys_and_codes_of_sides() -> None:
    table = pa.table({
        "symbol": ["A", "A", "A"], "price": [1, 2, 3], "conditions": [["x", "y"], None, []],
        "key": ["k", "", None], "side": pa.array([2, None, 1], pa.int64()), "id": [7, None, 9],
    })  # fmt: skip
    rows = parse_body("trades", ARROW, arrow(table)).rows
    assert rows.column("conditions").to_pylist() == ["x,y", None, None]
    assert rows.column("key").to_pylist() == [b"k", None, None]
    assert rows.column("side").to_pylist() == [2, 0, 1]
    assert rows.column("id").to_pylist() == ["7", None, "9"]


@pytest.mark.parametrize(("name", "column", "words"), [
    ("ts_event", pa.array([1], pa.timestamp("ns")), "timestamp[ns]"),
    ("ts_event", pa.array([1.5]), "double"), ("symbol", pa.array([1]), "int64"),
    ("price", pa.array([[1.0]]), "list"), ("size", pa.array([True]), "bool"),
    ("exchange", pa.array([b"x"]), "binary"),
])  # fmt: skip
def test_an_arrow_column_of_a_wrong_type_is_refused_whole(
    name: str, column: pa.Array, words: str
) -> None:
    table = pa.table({"symbol": ["A"], "price": [1.0]} | {name: column})
    with pytest.raises(InvalidBody) as refused:
        parse_body("trades", ARROW, arrow(table))
    assert name in str(refused.value)
    assert words in str(refused.value)


def test_an_arrow_time_out_of_range_costs_only_its_row() -> None:
    times = pa.array([10**12, 1_399_420_800], pa.timestamp("s", "UTC"))
    table = pa.table({"symbol": ["A", "A"], "price": [1.0, 2.0], "ts_event": times})
    parsed = parse_body("trades", ARROW, arrow(table))
    assert reasons(parsed) == [(0, "ts_event_invalid")]
    assert parsed.rows.column("ts_event").to_pylist() == [NS]


def test_several_arrow_batches_are_one_and_none_is_none() -> None:
    batch = pa.record_batch({"symbol": ["A"], "price": [1.0]})
    body = arrow(pa.Table.from_batches([batch, batch]))
    assert parse_body("trades", ARROW, body).rows.num_rows == 2
    assert parse_body("trades", ARROW, arrow(batch.schema.empty_table())).rows.num_rows == 0


@pytest.mark.parametrize("body", [b"", b"junk", b"\xff\xff\xff\xff" + b"\x7f" * 40])
def test_what_is_no_arrow_stream_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidBody):
        parse_body("trades", ARROW, body)


@pytest.mark.parametrize("media", ["text/html", "application/xml", "text/csv; charset=latin-1"])
def test_an_unknown_media_type_is_refused_with_those_that_are_read(media: str) -> None:
    with pytest.raises(UnsupportedMedia) as refused:
        parse_body("trades", media, b"[]")
    assert refused.value.status == 415
    assert all(known in str(refused.value) for known in PARSERS)


@pytest.mark.parametrize("media", [None, "", "Application/JSON; charset=UTF-8", "text/json"])
def test_media_types_have_parameters_case_and_a_default(media: str | None) -> None:
    assert parse_body("trades", media, b"[]").rows.num_rows == 0


def test_incoming_batch_fills_what_is_missing() -> None:
    batch = incoming_batch("trades", symbol=["A", "B"], price=pa.array([1, 2]))
    assert batch.schema == INCOMING["trades"]
    assert batch.column("side").to_pylist() == [0, 0]
    assert batch.column("size").null_count == 2
    with pytest.raises(KeyError):
        incoming_batch("trades", prize=[1])
