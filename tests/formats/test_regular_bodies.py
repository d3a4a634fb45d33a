"""Bodies that are laid out regularly give what the general readers give, to the last word."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tickplant.formats import parse_json, parse_ndjson, regular
from tickplant.formats.compiled.loading import ROWS
from tickplant.formats.parse import parse_body
from tickplant.formats.values import FIELDS
from tickplant.model.errors import InvalidBody

JSON, NDJSON = "application/json", "application/x-ndjson"


@pytest.fixture(scope="module", params=["by places", "compiled"], autouse=True)
def _way(request: pytest.FixtureRequest) -> Iterator[None]:
    """Read by either of the ways that there are."""
    if request.param == "compiled":
        pytest.importorskip("numba", reason="the extra `compiled` is not installed")
        ROWS.load()
    else:
        ROWS.unload()
    yield
    ROWS.unload()


@contextmanager
def sizes_of_tests() -> Iterator[None]:
    with mock.patch.object(regular, "BYTES_MIN", 0), mock.patch.object(regular, "_ROWS_MIN", 2):
        yield


def taken(media: str, body: bytes) -> bool:
    """Say whether the body is read as a regular one."""
    inner = body[1:-1] if media == JSON else body
    fields = FIELDS["trades"]
    names = {name: name for name in fields}
    with sizes_of_tests():
        return regular.read_regular([inner], fields, names, lines=media == NDJSON) is not None


def both(media: str, body: bytes, table: str = "trades") -> tuple[Any, Any]:
    """Return what comes of a body by either way."""

    def outcome() -> Any:
        try:
            parsed = parse_body(table, media, body)
        except InvalidBody as fault:
            return str(fault)
        return parsed.rows, parsed.unreadable, parsed.indexes

    with sizes_of_tests():
        quick = outcome()
    off = mock.Mock(return_value=None)
    with (
        mock.patch.object(parse_json, "read_regular", off),
        mock.patch.object(parse_ndjson, "read_regular", off),
    ):
        return quick, outcome()


TEXTS = st.sampled_from(["A", "EURUSD", "é", "", "a b", "buy", "1.5", "100", "{", "},{", ",", ":"])
NUMBERS = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(-(10**20), 10**20),
    st.decimals(-1000, 1000, places=3).map(float),
    st.sampled_from([0, -0.0, 0.1, 1e22, 2**53 + 1, 123456789.12345678, 5e-324]),
)
TIMES = st.sampled_from(
    [
        "2023-11-15T00:00:00Z",
        "2023-11-15T00:00:00.000000001+01:00",
        "2023-11-15T00:00Z",
        "2023-11-15",
        "1700000000000000000",
        "",
    ]
) | st.integers(-(2**64), 2**64)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "symbol": TEXTS,
    "venue": TEXTS,
    "ts_event": TIMES,
    "time": TIMES,
    "price": NUMBERS | TEXTS,
    "size": NUMBERS,
    "side": st.sampled_from(["buy", "sell", "B", "S", "long", "", "Sell"]),
    "id": TEXTS | st.integers(-5, 10**19),
    "conditions": TEXTS,
    "key": TEXTS,
    "note": TEXTS | NUMBERS | st.none(),
}


@st.composite
def bodies(draw: st.DrawFn) -> tuple[str, bytes]:
    keys = draw(st.lists(st.sampled_from(sorted(VALUES)), min_size=1, max_size=6, unique=True))
    # Mostly one kind of value for each key, as programs write them.
    kinds = {key: type(draw(VALUES[key])) for key in keys}
    rows = []
    for _ in range(draw(st.integers(1, 5))):
        row = {key: draw(VALUES[key]) for key in keys}
        if draw(st.integers(0, 9)):
            row = {
                key: value if isinstance(value, kinds[key]) else draw(VALUES[key])
                for key, value in row.items()
            }
        rows.append(row)
    media = draw(st.sampled_from([JSON, NDJSON]))
    comma, colon = draw(st.sampled_from([(",", ":"), (", ", ": "), (" ,\t", " : ")]))
    texts = [json.dumps(r, ensure_ascii=False, separators=(comma, colon)) for r in rows]
    between = comma if media == JSON else draw(st.sampled_from(["\n", "\r\n", "\n\n", " \n "]))
    text = between.join(texts)
    if media == JSON:
        text = draw(st.sampled_from(["[%s]", " [ %s ]\n", '{"trades":[%s]}'])).replace("%s", text)
    return media, text.encode()


@given(bodies())
@settings(max_examples=400, deadline=None)
def test_every_body_is_read_as_the_general_readers_read_it(made: tuple[str, bytes]) -> None:
    quick, general = both(*made)
    assert quick == general


_PIECES = '" \\ , { } [ ] : 0 . - e5 null true "x":1, ","a":" + N é'
PIECES = [*_PIECES.encode().split(), b" ", b"\n", b"\x01", b"\xff"]


@given(st.integers(0, 2**32))
@settings(max_examples=400, deadline=None)
def test_a_body_with_any_piece_changed_is_read_as_the_general_readers_read_it(seed: int) -> None:
    media, whole = changed(seed)
    quick, general = both(media, whole)
    assert quick == general


def changed(seed: int) -> tuple[str, bytes]:
    dice = random.Random(seed)
    row = {"symbol": "A", "ts_event": "2023-11-15T00:00:00Z", "price": 1.5, "size": 10, "id": "x"}
    media = dice.choice([JSON, NDJSON])
    texts = [json.dumps(row | {"id": f"t{n}", "price": n / 8}) for n in range(4)]
    whole = ("[" + ", ".join(texts) + "]" if media == JSON else "\n".join(texts)).encode()
    for _ in range(dice.choice([1, 1, 2])):
        at = dice.randrange(len(whole))
        whole = whole[:at] + dice.choice([*PIECES, b""]) + whole[at + dice.choice([0, 1, 3]) :]
    return media, whole


def rows_of(*prices: str) -> bytes:
    rows = (f'{{"symbol":"A","price":{price},"id":"t"}}' for price in prices)
    return ("[" + ",".join(rows) + "]").encode()


@pytest.mark.parametrize("price", ["0", "-0", "12", "0.5", "-3.25", "1234567.000001", "1.0"])
def test_numbers_as_programs_write_them_are_read_at_once(price: str) -> None:
    assert taken(JSON, rows_of("1.5", price, price))


@pytest.mark.parametrize(
    "price",
    [
        *("01", "1.", ".5", "-", "-.5", "--1", "1-", "1.2.3", "1..2", "+1", "00", "-01", "1e5"),
        *("NaN", "true", "null", "1E-5", "Infinity", "0x10", "1_000", '"1.5"', "[1]", "{}", ""),
        *(" 1", "1 "),
    ],
)
def test_other_words_are_left_to_the_general_reader(price: str) -> None:
    assert not taken(JSON, rows_of("1.5", price, "2.5"))
    quick, general = both(JSON, rows_of("1.5", price, "2.5"))
    assert quick == general


@pytest.mark.parametrize(
    "body",
    [
        b'[{"symbol":"A","price":1},{"price":1,"symbol":"A"}]',
        b'[{"symbol":"A","price":1},{"symbol":"A","price":1,"size":2}]',
        b'[{"symbol":"A","price":1},{"symbol":"A"}]',
        b'[{"symbol":"A","price":1},{"symbol":"A\\u0041","price":1}]',
        b'[{"symbol":"A","price":1},{"symbol":"A\x02","price":1}]',
        b'[{"symbol":"A","symbol":"B","price":1},{"symbol":"A","symbol":"B","price":1}]',
        b'[{"symbol":"A","price":1,"note":2},{"symbol":"A","price":1,"note":01}]',
        b'[{"symbol":"A","price":1},{"symbol":"A","price":1}',
        b'{"symbol":"A","price":1},{"symbol":"A","price":1}]',
        b'[{"symbol":"A","price":1},{"symbol":"A","price":1},]',
        b'[{"symbol":"A","price":1}{"symbol":"A","price":1}]',
        b'[{"ts_event":"2023-11-15T00:00:00Z","time":1.5,"symbol":"A","price":1},'
        b'{"ts_event":"2023-11-15T00:00:00Z","time":1.5,"symbol":"A","price":1}]',
        b'[{"id":-0,"symbol":"A","price":1},{"id":-0,"symbol":"A","price":1}]',
        b'{"quotes":[{"symbol":"A","price":1},{"symbol":"A","price":1}]}',
        b'{"trades":[{"symbol":"A","price":1},{"symbol":"A","price":1}],"more":1}',
    ],
)
def test_what_only_looks_regular_is_read_by_the_general_reader(body: bytes) -> None:
    quick, general = both(JSON, body)
    assert quick == general


def test_an_object_over_several_lines_is_no_line() -> None:
    body = b'{"symbol":"A",\n"price":1}\n{"symbol":"A",\n"price":1}\n'
    quick, general = both(NDJSON, body)
    assert quick == general
    assert not taken(NDJSON, body)


def test_times_ids_and_texts_of_all_kinds_are_read_at_once() -> None:
    row = '{"symbol":"é","time":1700000000000000000,"price":"1.5","id":17,"x":"?","side":"Buy"}'
    body = "\n".join([row] * 3).encode()
    assert taken(NDJSON, body)
    parsed = parse_body("trades", NDJSON, body)
    assert parsed.rows.to_pylist()[2] == {
        "symbol": "é", "venue": None, "ts_event": 1_700_000_000_000_000_000, "price": 1.5,
        "size": None, "side": 1, "id": "17", "conditions": None, "exchange": None, "key": None,
    }  # fmt: skip
