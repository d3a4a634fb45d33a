"""The compiled writer: the text of every number and time, and no byte too far."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tickplant.formats.compiled.loading import EVENTS
from tickplant.formats.compiled.writer import write_events
from tickplant.formats.joined import join_events
from tickplant.formats.pens import JsonPen, MsgpackPen
from tickplant.formats.pieces import (
    SLACK,
    Coded,
    Floats,
    Odd,
    Pen,
    Picked,
    Piece,
    Texts,
    Times,
    Wholes,
    Written,
)
from tickplant.model.times import format_time

pytest.importorskip("numba", reason="the extra `compiled` is not installed")

JSON, PACKED = JsonPen(), MsgpackPen()
PENS = pytest.mark.parametrize("pen", [JSON, PACKED], ids=["json", "msgpack"])
INT64 = st.integers(-(2**63), 2**63 - 1)
DECIMALS = st.tuples(st.integers(-(10**16), 10**16), st.integers(0, 16)).map(
    lambda pair: pair[0] / 10 ** pair[1]
)


@pytest.fixture(autouse=True, scope="module")
def _writer() -> Iterator[None]:
    EVENTS.load()
    yield
    EVENTS.unload()


def written(pen: Pen, pieces: list[Piece], rows: int) -> list[bytes]:
    found = write_events(pen, pieces, rows)
    assert found is not None
    return found.to_pylist()


@settings(max_examples=400, deadline=None)
@given(st.lists(st.one_of(DECIMALS, st.floats(), st.none()), min_size=1, max_size=12))
@example([0.0001, 0.00009, 1e15, 1e16, 0.1, 0.3, 5e-324, -0.0, 100.0, 0.30000000000000004])
@example([-2.5, None, 1e15 + 0.5, 999999999999999.9, 123456.789, 64_123.5, 0.00012345])
def test_a_float_is_written_as_msgspec_writes_it(values: list[float | None]) -> None:
    column = pa.array(values, pa.float64())
    assert written(JSON, [Floats(column), b";"], len(values)) == [
        msgspec.json.encode(value) + b";" for value in values
    ]
    assert written(PACKED, [Floats(column)], len(values)) == [
        b"\xc0" if value is None else b"\xcb" + struct.pack(">d", value) for value in values
    ]


@pytest.mark.parametrize("decimals", range(12))
def test_prices_of_so_many_decimals(decimals: int) -> None:
    random = np.random.default_rng(decimals)
    values = np.round(random.lognormal(3, 4, 4_000), decimals)
    assert written(JSON, [Floats(pa.array(values))], len(values)) == [
        msgspec.json.encode(value) for value in values.tolist()
    ]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.one_of(INT64, st.integers(-1100, 1100), st.none()), min_size=1, max_size=12))
def test_a_whole_number_is_written_as_msgspec_writes_it(values: list[int | None]) -> None:
    column = pa.array(values, pa.int64())
    if -(2**63) in values:
        with pytest.raises(Odd):
            written(JSON, [Wholes(column)], len(values))
    else:
        assert written(JSON, [Wholes(column), b","], len(values)) == [
            msgspec.json.encode(value) + b"," for value in values
        ]
    assert written(PACKED, [Wholes(column)], len(values)) == [
        b"\xc0" if value is None else b"\xd3" + struct.pack(">q", value) for value in values
    ]


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.one_of(INT64, st.integers(0, 2 * 10**9), st.integers(-2, 2).map(lambda n: n * 10**9)),
        min_size=1,
        max_size=12,
    )
)
def test_a_time_is_written_as_one_alone(ns: list[int]) -> None:
    times = Times(np.array(ns, np.int64))
    assert written(JSON, [times, b" "], len(ns)) == [f'"{format_time(n)}" '.encode() for n in ns]
    assert written(PACKED, [b"?", times], len(ns)) == [
        b"?" + msgspec.msgpack.encode(format_time(n)) for n in ns
    ]


def test_every_day_of_eight_hundred_years() -> None:
    days = np.arange(-106_750, 106_750)
    ns = days * 86_400 * 10**9
    found = written(JSON, [Times(ns)], len(ns))
    assert found == [f'"{day}T00:00:00Z"'.encode() for day in days.astype("datetime64[D]").tolist()]


@PENS
@pytest.mark.parametrize("text", ["", "a", "x" * 31, "x" * 32, 'a"b', "a\\b", "\n", "\x7f", "é😀"])
def test_a_text_is_written_or_left_to_others(pen: Pen, text: str) -> None:
    column = pa.array(["first", text, "last"])
    try:
        joined = join_events(pen, [b"<", Texts(column), b">"]).to_pylist()
    except Odd:
        with pytest.raises(Odd):
            written(pen, [b"<", Texts(column), b">"], 3)
    else:
        assert written(pen, [b"<", Texts(column), b">"], 3) == joined


VALUES = st.lists(st.binary(max_size=20), min_size=1, max_size=5)


@PENS
@settings(max_examples=150, deadline=None)
@given(values=VALUES, many=VALUES, seed=st.integers(0, 999), rows=st.integers(1, 9))
def test_pieces_of_all_kinds_stand_where_they_belong(
    pen: Pen, values: list[bytes], many: list[bytes], seed: int, rows: int
) -> None:
    assert_alike(pen, values, many, seed, rows)


def assert_alike(pen: Pen, values: list[bytes], many: list[bytes], seed: int, rows: int) -> None:
    random = np.random.default_rng(seed)
    texts = pa.array(["?", *[f"é{n}" * (n % 4) for n in range(rows)], "?"]).slice(1, rows)
    nulls = random.random(rows) < 0.3
    pieces: list[Piece] = [
        b"head",
        Coded(values, random.integers(0, len(values), rows)),
        Picked(pa.array([*many, bytes(SLACK)], pa.binary()), random.integers(0, len(many), rows)),
        Times(10**18 + random.integers(0, 10**14, rows)),
        Floats(pa.array(random.integers(0, 999, rows) / 8, mask=nulls)),
        Texts(texts),
        b"middle",
        Wholes(pa.array(random.integers(-(2**62), 2**62, rows), mask=~nulls)),
        Floats(pa.array(random.random(rows))),
        Written(pa.array([value * 2 for value in random.choice(values, rows)], pa.binary())),
    ]
    assert written(pen, pieces, rows) == join_events(pen, pieces).to_pylist()


def test_without_the_writer_nothing_is_written_by_it() -> None:
    EVENTS.unload()
    assert write_events(JSON, [b"{}"], 3) is None
    EVENTS.load()


CHECKED = """
import numpy as np
from tickplant.formats.compiled import writer_kernel
from tickplant.formats.compiled.loading import EVENTS
from test_compiled_writer import JSON, PACKED, assert_alike
EVENTS.load()
for seed in range(40):
    for pen in JSON, PACKED:
        assert_alike(pen, [b"a" * (seed % 21), b""], [b"b" * (seed % 17), b"c"], seed, seed % 7 + 1)
arguments = list(writer_kernel.nothing())
arguments[1] = np.array([[writer_kernel.WHOLE, 9, 0, -1]])  # there is no ninth column
arguments[3] = np.zeros((0, 1), np.int64)
try:
    writer_kernel.write_rows(*arguments)
except IndexError:
    print("checked")
"""


def test_no_byte_beyond_what_there_is_room_for() -> None:
    """The same source, not compiled, so that every place is checked by NumPy."""
    here = Path(__file__).resolve().parent
    found = subprocess.run(
        [sys.executable, "-c", CHECKED], capture_output=True, text=True, check=False, timeout=60,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(here), *sys.path]),
             "NUMBA_DISABLE_JIT": "1"},
    )  # fmt: skip
    assert found.returncode == 0, found.stderr
    assert found.stdout == "checked\n"
