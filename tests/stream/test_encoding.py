"""Rows that are encoded by columns are the events that come of them one by one."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tickplant.formats.compiled.loading import EVENTS
from tickplant.gateway.stream import encode
from tickplant.gateway.stream.protocol import EVENTS_BYTES_MAX, JSON, PACKED, Codec
from tickplant.model.events import SCHEMAS, SIDES
from tickplant.model.instruments import Registry
from tickplant.plant.bar_table import QUOTE_SCHEMA, UPDATE_SCHEMA
from tickplant.plant.encoded import Events
from tickplant.plant.published import CandleKey, Published

CODECS = pytest.mark.parametrize("codec", [JSON, PACKED], ids=["json", "msgpack"])
TEXTS = [
    "",
    "a",
    "x" * 31,
    "x" * 32,
    "Zürich",
    "元",
    'a"b',
    "a\\b",
    "a,b",
    "\n",
    "\x7f",
    "😀",
    "o'x",
]
FLOATS = [0.0, -0.0, 1.0, 100.0, 0.1, 1e16, 1e-7, 5e-324, 1.7976931348623157e308, -2.5, 123456.789]
TIMES = [
    0,
    -1,
    1,
    10**9,
    1_700_000_000_123_456_789,
    1_700_000_000_120_000_000,
    1_700_000_000 * 10**9,
]
KEY = CandleKey("1m", "trade")
PLACES = (
    pa.field("day", pa.int64(), nullable=False),
    pa.field("index", pa.int64(), nullable=False),
)
KEYS = [
    (KEY, UPDATE_SCHEMA),
    (CandleKey("1d", "bid", "America/New_York", "17:00"), QUOTE_SCHEMA),
    (CandleKey("1h", "trade", calendar="XNYS", session="regular"), UPDATE_SCHEMA),
    (CandleKey("100t", "trade"), pa.schema([*UPDATE_SCHEMA, *PLACES])),
]


@pytest.fixture(scope="module", params=["joined", "compiled"], autouse=True)
def _way(request: pytest.FixtureRequest) -> Iterator[None]:
    """Write columns by either of the ways that there are."""
    if request.param == "compiled":
        pytest.importorskip("numba", reason="the extra `compiled` is not installed")
        EVENTS.load()
    else:
        EVENTS.unload()
    yield
    EVENTS.unload()


def registry() -> Registry:
    made = Registry()
    for name in ("AAPL", "BTC-USD", "EUR/USD", 'ODD"NAME', "Ü"):
        made.add(name, "SIM")
    return made


def column(field: pa.Field, count: int, random_: random.Random) -> pa.Array:
    """Return a column of few or many values, with or without nulls."""
    kind = field.type
    if field.name == "instrument":
        values: list[Any] = [random_.randint(1, 5) for _ in range(count)]
    elif field.name == "side":
        values = [random_.randrange(len(SIDES)) for _ in range(count)]
    elif field.name in {"ts_event", "ts_recv", "start", "end", "day"}:
        some = random_.choice([TIMES[:1], TIMES, [10**18 + n for n in range(count)]])
        values = [random_.choice(some) for _ in range(count)]
        if random_.random() < 0.5:
            values.sort()
    elif pa.types.is_string(kind):
        some = random_.choice([TEXTS[:2], TEXTS, [f"id {n}" for n in range(count)]])
        values = [random_.choice(some) for _ in range(count)]
    elif pa.types.is_floating(kind):
        values = [random_.choice(FLOATS) for _ in range(count)]
    elif field.name == "flags":
        values = [random_.choice([0, 1, 2, 5]) for _ in range(count)]
    elif field.name == "ref_seq":
        values = [random_.choice([0, 0, 7]) for _ in range(count)]
    else:
        values = [random_.randint(0, 2**15 - 1) for _ in range(count)]
    if field.nullable and (share := random_.choice([0.0, 0.0, 0.3, 1.0])):
        values = [None if random_.random() < share else value for value in values]
    return pa.array(values, kind)


def rows_of(schema: pa.Schema, count: int, random_: random.Random) -> pa.RecordBatch:
    rows = pa.RecordBatch.from_arrays(
        [column(field, count + 5, random_) for field in schema], schema=schema
    )
    return rows.slice(random_.randint(0, 5), count)


def check(channel: str, rows: pa.RecordBatch, codec: Codec, key: CandleKey | None) -> None:
    compare(registry(), channel, rows, codec, key)


def compare(
    names: Registry, channel: str, rows: pa.RecordBatch, codec: Codec, key: CandleKey | None
) -> None:
    wanted = encode._one_by_one(channel, rows, codec, names, key)
    found = encode._by_columns(channel, rows, codec, names, key)
    if codec is JSON:
        assert found.to_pylist() == wanted.to_pylist()
    assert decoded(codec, Events.of_array(found)) == decoded(codec, Events.of_array(wanted))


def decoded(codec: Codec, events: Iterable[bytes]) -> list[Any]:
    """Return events that have their separators behind them."""
    return [codec.decode(event.removesuffix(codec.separator)) for event in events]


@CODECS
@pytest.mark.parametrize("channel", ["trades", "quotes", "stats"])
@settings(max_examples=40, deadline=None)
@given(count=st.integers(1, 60), seed=st.integers(0, 10**6))
def test_rows_of_any_values(channel: str, codec: Codec, count: int, seed: int) -> None:
    check(channel, rows_of(SCHEMAS[channel], count, random.Random(seed)), codec, None)


@CODECS
@pytest.mark.parametrize(("key", "schema"), KEYS)
@settings(max_examples=40, deadline=None)
@given(count=st.integers(1, 60), seed=st.integers(0, 10**6))
def test_candles_of_any_values(
    key: CandleKey, schema: pa.Schema, codec: Codec, count: int, seed: int
) -> None:
    if "instrument" not in schema.names:
        schema = schema.insert(0, UPDATE_SCHEMA.field("instrument"))
    check("candles", rows_of(schema, count, random.Random(seed)), codec, key)


@CODECS
def test_readers_on_many_threads_name_instruments_that_come_meanwhile(codec: Codec) -> None:
    names = registry()
    rows = rows_of(SCHEMAS["stats"], 70, random.Random(1))
    place = rows.schema.get_field_index("instrument")

    def read(_: int) -> list[tuple[str, str]]:
        numbers = list(range(1, len(names) + 1))
        mixed = pa.array((numbers * 70)[:70], pa.int32())
        asked = rows.set_column(place, rows.schema.field(place), mixed)
        found = decoded(codec, encode.encode_rows("stats", asked, codec, names).to_pylist())
        wanted = [names.number(number).symbol for number in mixed.to_pylist()]
        return list(zip((event["symbol"] for event in found), wanted, strict=True))

    with ThreadPoolExecutor(8) as pool:
        reading = [pool.submit(read, turn) for turn in range(200)]
        for turn in range(60):
            names.add(f"NEW{turn}", "SIM")
        pairs = [pair for one in reading for pair in one.result(20)]
    assert all(found == wanted for found, wanted in pairs)


@CODECS
def test_instruments_that_come_or_change_are_named_as_they_are_now(codec: Codec) -> None:
    names = registry()
    rows = rows_of(SCHEMAS["stats"], 70, random.Random(1))
    encode.encode_rows("stats", rows, codec, names)
    number = names.add("NEW", "SIM").number
    renamed = msgspec.structs.replace(names.number(1), symbol="META")
    for change in (None, renamed):
        if change is not None:
            names.put(change)
        place = rows.schema.get_field_index("instrument")
        mixed = pa.array([1, number] * 35, pa.int32())
        compare(
            names, "stats", rows.set_column(place, rows.schema.field(place), mixed), codec, None
        )


@CODECS
@settings(max_examples=40, deadline=None)
@given(
    asked=st.lists(st.lists(st.integers(0, 119), max_size=30, unique=True), max_size=6),
    seed=st.integers(0, 10**6),
    cuts=st.lists(st.integers(1, 119), max_size=4, unique=True),
)
def test_who_asks_gets_the_rows_that_were_asked_for(
    codec: Codec, asked: list[list[int]], seed: int, cuts: list[int]
) -> None:
    """Whatever was asked for before, of the whole or of its parts, together or apart."""
    names, rows = registry(), rows_of(SCHEMAS["trades"], 120, random.Random(seed))
    one_by_one = encode._one_by_one("trades", rows, codec, names, None)
    wanted = decoded(codec, one_by_one.to_pylist())
    edges = [0, *sorted(cuts), rows.num_rows]
    spans = list(pairwise(edges))
    parts = [Published("trades", rows.slice(low, high - low), low, high) for low, high in spans]
    merged = Published.merged(parts)
    for number, some in enumerate(asked):
        chosen = np.array(sorted(some), dtype=np.intp)
        found = encode.encode_entries([(merged, chosen)], codec, names)
        assert decoded(codec, found) == [wanted[row] for row in sorted(some)]
        merged.split(parts)
        low, high = spans[number % len(spans)]
        inside = chosen[(chosen >= low) & (chosen < high)]
        found = encode.encode_entries([(parts[number % len(spans)], inside - low)], codec, names)
        assert decoded(codec, found) == [wanted[row] for row in inside.tolist()]
        merged = Published.merged(parts)
    whole = encode.encode_entries([(merged, None)], codec, names)
    assert decoded(codec, whole) == wanted


@CODECS
@settings(max_examples=40, deadline=None)
@given(sizes=st.lists(st.integers(1, 200_000), min_size=1, max_size=12))
def test_frames_have_all_events_and_none_is_too_large(codec: Codec, sizes: list[int]) -> None:
    wanted = ["x" * size for size in sizes]
    frames = codec.data(7, "trades", codec.bundle(list(map(codec.encode, wanted))), 99)
    bodies = [codec.decode(frame.payload) for frame in frames]
    assert [event for body in bodies for event in body["events"]] == wanted
    assert [body.get("seq") for body in bodies] == [None] * (len(bodies) - 1) + [99]
    assert all(len(frame.payload) < EVENTS_BYTES_MAX + 100 for frame in frames)
