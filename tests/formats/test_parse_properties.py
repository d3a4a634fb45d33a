"""What is written in a format is what is read, and no body at all breaks a parser."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pyarrow as pa
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tickplant.formats.parse import PARSERS, parse_body
from tickplant.formats.parsed import Parsed
from tickplant.model.errors import UserError
from tickplant.model.events import INCOMING

NUMBERS = st.none() | st.floats(allow_nan=False, allow_infinity=False)
WORDS = st.none() | st.text(
    st.characters(codec="utf-8", exclude_characters="\r\n\0"), min_size=1, max_size=12
)
TIMES = st.none() | st.integers(-(2**63) + 2, 2**63 - 2)
TRADES = st.fixed_dictionaries({
    "symbol": WORDS, "venue": WORDS, "ts_event": TIMES, "price": NUMBERS, "size": NUMBERS,
    "side": st.sampled_from([None, "buy", "sell"]), "id": WORDS, "conditions": WORDS,
    "exchange": WORDS, "key": WORDS,
})  # fmt: skip
QUOTES = st.fixed_dictionaries({
    "symbol": WORDS, "venue": WORDS, "ts_event": TIMES, "bid_price": NUMBERS, "bid_size": NUMBERS,
    "ask_price": NUMBERS, "ask_size": NUMBERS, "exchange": WORDS, "key": WORDS,
})  # fmt: skip
TABLES = st.one_of(
    st.tuples(st.just("trades"), st.lists(TRADES, min_size=1, max_size=20)),
    st.tuples(st.just("quotes"), st.lists(QUOTES, min_size=1, max_size=20)),
)
Rows = list[dict[str, Any]]


def in_csv(table: str, rows: Rows) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), quoting=csv.QUOTE_ALL)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def in_arrow(table: str, rows: Rows) -> bytes:
    kinds = {f.name: f.type for f in INCOMING[table]} | {"side": pa.string(), "key": pa.string()}
    schema = pa.schema([(name, kinds[name]) for name in rows[0]])
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, schema) as writer:
        writer.write_table(pa.Table.from_pylist(rows, schema=schema))
    return sink.getvalue()


WRITERS = {
    "application/json": lambda table, rows: json.dumps(rows).encode(),
    "application/x-ndjson": lambda table, rows: "\n".join(map(json.dumps, rows)).encode(),
    "text/csv": in_csv,
    "application/vnd.apache.arrow.stream": in_arrow,
}


def expected(rows: Rows) -> Rows:
    sides = {None: 0, "buy": 1, "sell": 2}
    read = []
    for row in rows:
        changed = {"key": None if row["key"] is None else row["key"].encode()}
        if "side" in row:
            changed["side"] = sides[row["side"]]
        read.append(row | changed)
    return read


@settings(max_examples=150, deadline=None)
@given(TABLES)
def test_rows_written_are_rows_read(case: tuple[str, Rows]) -> None:
    table, rows = case
    assert set(WRITERS) == set(PARSERS)
    for media, write in WRITERS.items():
        parsed = parse_body(table, media, write(table, rows))
        assert parsed.unreadable == (), media
        assert parsed.rows.to_pylist() == expected(rows), media


@settings(max_examples=200, deadline=None)
@given(st.lists(st.datetimes(datetime(1700, 1, 1), datetime(2250, 1, 1)), min_size=1, max_size=8),
       st.integers(-14 * 60, 14 * 60))  # fmt: skip
def test_times_of_any_zone_are_the_same_moment(times: list[datetime], offset: int) -> None:
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    sign, (hours, minutes) = "-" if offset < 0 else "+", divmod(abs(offset), 60)
    wanted = [
        (t.replace(tzinfo=UTC) - epoch) // timedelta(microseconds=1) * 1000
        - offset * 60_000_000_000
        for t in times
    ]
    rows = [
        {"symbol": "A", "price": 1, "ts_event": f"{t.isoformat()}{sign}{hours:02}:{minutes:02}"}
        for t in times
    ]
    for media in ("application/json", "text/csv"):
        parsed = parse_body("trades", media, WRITERS[media]("trades", rows))
        assert parsed.rows.column("ts_event").to_pylist() == wanted


ODD = st.one_of(
    NUMBERS, st.text(max_size=8), st.booleans(), st.integers(), st.lists(st.integers(), max_size=2),
    st.sampled_from(["2014-05-07T00:00:00Z", "2014-05-07T00Z", "1e5", "0x1", "nan", "", " 5 "]),
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.lists(st.dictionaries(st.sampled_from(list(INCOMING["trades"].names)), ODD), min_size=1))
def test_whether_a_row_is_taken_does_not_depend_on_its_neighbours(rows: Rows) -> None:
    together = parse_body("trades", "application/json", json.dumps(rows).encode())
    alone = [parse_body("trades", "application/json", json.dumps([row]).encode()) for row in rows]
    # repr, because not a number is not equal to itself
    read = [row for one in alone for row in one.rows.to_pylist()]
    assert repr(together.rows.to_pylist()) == repr(read)
    assert [(r.reason, r.detail, r.row) for r in together.unreadable] == [
        (r.reason, r.detail, r.row) for one in alone for r in one.unreadable
    ]
    assert together.rows.num_rows + len(together.unreadable) == len(rows)


CELLS = st.sampled_from(
    ["1", "-1.5", "1e5", "", "nan", "abc", "0x1F", " 7", "+3", "5.", ".5", "1_0", "٣", "1399420800",
     "2014-05-07T00:00:00Z", "2014-05-07T00Z", "2014-05-07", "2014-05-07T00:00:00+05"]
)  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=80))
def test_whether_a_line_is_taken_does_not_depend_on_its_neighbours(
    cells: list[tuple[str, str]],
) -> None:
    def parse(lines: list[tuple[str, str]]) -> Parsed:
        text = "symbol,price,ts_event\n" + "".join(f"A,{p},{t}\n" for p, t in lines)
        return parse_body("trades", "text/csv", text.encode())

    together, alone = parse(cells), [parse([line]) for line in cells]
    # repr, because not a number is not equal to itself
    assert repr(together.rows.to_pylist()) == repr([r for a in alone for r in a.rows.to_pylist()])
    assert len(together.unreadable) == sum(len(one.unreadable) for one in alone)


BODIES = st.one_of(
    st.binary(max_size=300),
    st.text(max_size=100).map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(
            st.sampled_from(["symbol", "price", "trades", "ts_event", "size", "x"]), inner),
        max_leaves=12,
    ).map(lambda tree: json.dumps(tree).encode()),
)  # fmt: skip


def check_total(table: str, media: str, body: bytes) -> None:
    """A parser answers or raises an error of the tree; places are unique and complete."""
    try:
        parsed = parse_body(table, media, body)
    except UserError as refused:
        parsed, message = None, str(refused)
    if parsed is None:
        assert 0 < len(message) < 2_000
        return
    parsed.rows.validate(full=True)
    places = parsed.indexes or list(range(parsed.rows.num_rows))
    gone = [reject.index for reject in parsed.unreadable]
    assert sorted([*places, *gone]) == list(range(len(places) + len(gone)))
    for reject in parsed.unreadable:
        json.loads(reject.row)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(["trades", "quotes"]), st.sampled_from(list(PARSERS)), BODIES)
@example("trades", "application/json", b'{"symbol":"\\ud800","price":1}')
@example("trades", "text/csv", b'symbol,price\n"A,1\n')
@example("trades", "text/csv", b"symbol,price\nA,1\rB,2")
def test_no_body_breaks_a_parser(table: str, media: str, body: bytes) -> None:
    check_total(table, media, body)


@settings(max_examples=60, deadline=None)
@given(TABLES, st.sampled_from(list(PARSERS)), st.integers(0, 2**32))
def test_no_damage_breaks_a_parser(case: tuple[str, Rows], media: str, seed: int) -> None:
    table, rows = case
    body, random = WRITERS[media](table, rows), Random(seed)
    # Damage is cheap and drawing rows is not: each body is damaged in many ways.
    for _ in range(20):
        harmed = bytearray(body)
        for _ in range(random.randint(1, 4)):
            harmed[random.randrange(len(harmed))] = random.randrange(256)
        if random.random() < 0.3:
            del harmed[random.randrange(len(harmed)) :]
        check_total(table, media, bytes(harmed))
