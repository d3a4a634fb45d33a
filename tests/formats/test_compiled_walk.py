"""The compiled walk: numbers and times to the last bit, no byte too far, and how it loads."""

from __future__ import annotations

import importlib.util
import logging
import math
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tickplant.formats.compiled import loading, names, reader
from tickplant.formats.compiled.reader import FEW, FrameReader
from tickplant.formats.compiled.shapes import (
    Choice,
    Exact,
    Flag,
    Iso,
    Ladder,
    Name,
    Number,
    Seconds,
    Shape,
    Table,
    Whole,
)

numba = pytest.importorskip("numba", reason="the extra `compiled` is not installed")

TABLE = Table(
    "all",
    ("whole", "iso", "seconds", "flag", "choice", "count"),
    ("number",),
    ("side",),
    ("price",),
)
SHAPE = Shape(
    TABLE,
    b"kind",
    {
        "kind": Exact("all"),
        "name": Name(),
        "whole": Whole("whole"),
        "number": Number("number"),
        "iso": Iso("iso"),
        "seconds": Seconds("seconds"),
        "flag": Flag("flag"),
        "choice": Choice("choice", {"buy": 1, "sell": 2}),
        "ladder": Ladder("count", (b"[", Number("price", above_0=True), b"]"), {"side": 7}),
    },
)
PLAIN = {
    "kind": '"all"', "name": '"A"', "whole": "7", "number": '"1.5"',
    "iso": '"2021-04-17T16:43:37.129299Z"', "seconds": '"1618678142.557535"', "flag": "true",
    "choice": '"sell"', "ladder": "[[1.5],[0.25]]", "note": '"x"', "size": "-1.5", "gone": "null",
}  # fmt: skip


@dataclass(frozen=True)
class Sent:
    data: bytes


@pytest.fixture(scope="module", autouse=True)
def _walk() -> Iterator[None]:
    loading.FRAMES.load()
    yield
    loading.FRAMES.unload()


def frame(**values: str) -> Sent:
    members = ",".join(f'"{key}":{value}' for key, value in {**PLAIN, **values}.items())
    return Sent(f"{{{members}}}".encode())


def new_reader() -> FrameReader:
    """A reader that knows the plain layout."""
    made = FrameReader([SHAPE])
    made.names.add({"A": "a"})
    assert not len(walk(made, [frame()] * FEW).left)
    return made


def walk(made: FrameReader, frames: Sequence[Sent]) -> Any:
    found = made.read([*frames, *[frame()] * FEW])
    assert found is not None
    return found


def column(name: str, values: list[str]) -> tuple[list[Any], set[int]]:
    """What a column holds for these values, and the places of those that were left."""
    found = walk(new_reader(), [frame(**{name: value}) for value in values])
    left = {place for place in found.left.tolist() if place < len(values)}
    rows = found.rows["all"]
    read = rows.number(name) if name == "number" else rows.whole(name)
    told = dict(zip(rows.places.tolist(), read.tolist(), strict=True))
    return [told.get(place) for place in range(len(values))], left


DECIMALS = st.from_regex(r"(0|[1-9][0-9]{0,17})(\.[0-9]{1,18})?", fullmatch=True)


@settings(max_examples=60, deadline=None)
@given(st.lists(DECIMALS, min_size=1, max_size=40))
@example(["9007199254740992", "9007199254740993", "0.9007199254740993", "90071992547409920.0"])
@example(["0", "0.0", "0.000000000000000001", "123456789.00000000", "5e-324", "1.7976931348623157"])
def test_decimals_are_the_nearest_doubles_or_left(texts: list[str]) -> None:
    read, left = column("number", [f'"{text}"' for text in texts])
    for place, text in enumerate(texts):
        shortest = text.rstrip("0") if "." in text else text
        if place in left:
            is_long = len(text.replace(".", "")) > 18
            assert is_long or "e" in text or int(shortest.replace(".", "")) > 1 << 53
        else:
            assert math.copysign(1, read[place]) == 1
            assert read[place] == float(text), text


@pytest.mark.parametrize(
    "text",
    ["", ".5", "5.", "+1", "-1", "01", "00", "1e3", "1E3", "NaN", "inf", " 1", "1 ", "1..2",
     "1.2.3", "0x1", "1_0", "१", "9" * 19, "0." + "0" * 18 + "1"],
)  # fmt: skip
def test_other_numbers_are_left(text: str) -> None:
    assert column("number", [f'"{text}"'])[1] == {0}


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 10**20), min_size=1, max_size=40))
@example([10**18 - 1, 10**18, 0, 99_999_999, 100_000_000, 10**16 - 1, 10**16, 12_345_678])
def test_whole_numbers_are_read_to_eighteen_digits(numbers: list[int]) -> None:
    read, left = column("whole", [str(number) for number in numbers])
    assert left == {place for place, number in enumerate(numbers) if number >= 10**18}
    assert [one for one in read if one is not None] == [one for one in numbers if one < 10**18]


@pytest.mark.parametrize("text", ["-1", "1.0", "01", '"7"', "1e2", "null", "true"])
def test_other_whole_numbers_are_left(text: str) -> None:
    assert column("whole", [text])[1] == {0}


MOMENTS = st.datetimes(datetime(1970, 1, 1), datetime(2261, 12, 31, 23, 59, 59))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(MOMENTS, st.integers(0, 9), st.integers(0, 10**9 - 1)), min_size=1))
def test_times_are_read_to_the_nanosecond(moments: list[tuple[datetime, int, int]]) -> None:
    texts, wanted = [], []
    for moment, decimals, fraction in moments:
        whole = moment.replace(microsecond=0)
        shown = f"{fraction:09}"[:decimals]
        texts.append(f'"{whole:%Y-%m-%dT%H:%M:%S}{"." if shown else ""}{shown}Z"')
        seconds = (whole.replace(tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)) // _SECOND
        wanted.append(seconds * 10**9 + int(shown.ljust(9, "0") or "0"))
    assert column("iso", texts) == (wanted, set())


_SECOND = datetime(2000, 1, 1, 0, 0, 1) - datetime(2000, 1, 1)


@pytest.mark.parametrize(
    "text",
    ["2021-02-29T00:00:00Z", "2100-02-29T00:00:00Z", "2021-13-01T00:00:00Z", "2021-00-01T00:00:00Z",
     "2021-04-31T00:00:00Z", "2021-04-00T00:00:00Z", "2021-04-01T24:00:00Z", "2021-04-01T00:60:00Z",
     "2021-04-01T00:00:60Z", "1969-12-31T23:59:59Z", "2262-01-01T00:00:00Z", "2021-04-01 00:00:00Z",
     "2021-04-01T00:00:00+00:00", "2021-04-01T00:00:00.Z", "2021-04-01T00:00:00.1234567890Z",
     "2021-04-01T00:00:00", "2021-04-01", "", "2021-04-01T00:00:0"],
)  # fmt: skip
def test_other_times_are_left(text: str) -> None:
    assert column("iso", [f'"{text}"'])[1] == {0}


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(10**9, 10**10 - 1), st.from_regex(r"[0-9]{1,9}", fullmatch=True))
    )
)
def test_seconds_with_decimals_are_nanoseconds(parts: list[tuple[int, str]]) -> None:
    texts = [f"{seconds}.{decimals}" for seconds, decimals in parts]
    read, left = column("seconds", [f'"{text}"' for text in texts])
    for place, text in enumerate(texts):
        ns = int(Decimal(text) * 10**9)
        assert place in left or read[place] == ns
        assert (place in left) == (parts[place][0] > 9_223_372_035)


def test_flags_choices_names_and_ladders() -> None:
    made = new_reader()
    made.names.add({name: name.lower() for name in ("B", "long.name/with-signs", "é", 'x"y')})
    frames = [
        frame(name='"B"', flag="false", choice='"buy"', ladder="[]"),
        frame(name='"long.name/with-signs"', ladder="[[2.5],[0.125],[4]]"),
        frame(name='"C"'), frame(flag="null"), frame(choice='"bu"'), frame(ladder="[[0.0]]"),
        frame(ladder="[[1],]"), frame(ladder="[[1] ,[2]]"), frame(kind='"other"'),
        frame(name='"é"'), frame(gone='"@"'),
    ]  # fmt: skip
    found = walk(made, frames)
    assert found.left.tolist() == list(range(2, 11))
    rows = found.rows["all"]
    assert rows.symbols().to_pylist() == ["b", "long.name/with-signs", *["a"] * FEW]
    assert rows.whole("flag").tolist() == [0, *[1] * (FEW + 1)]
    assert rows.whole("choice").tolist() == [1, *[2] * (FEW + 1)]
    assert rows.whole("count").tolist() == [0, 3, *[2] * FEW]
    assert rows.level_number("price").tolist() == [2.5, 0.125, 4.0, *[1.5, 0.25] * FEW]
    assert set(rows.level_whole("side").tolist()) == {7}


def test_names_are_found_among_many() -> None:
    many = {f"NAME{n}-USD": f"name {n}" for n in range(3_000)}
    made = new_reader()
    made.names.add(many)
    found = walk(made, [frame(name=f'"{name}"') for name in many])
    assert not len(found.left)
    assert found.rows["all"].symbols().to_pylist() == [*many.values(), *["a"] * FEW]


def test_what_loading_compiles_is_what_is_called() -> None:
    walk(new_reader(), [frame()])
    compiled: Any = loading.FRAMES.get()
    assert len(compiled.signatures) == 1


def test_names_have_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "NAMES_MAX", 2)
    made = names.Names()
    made.add({"A": "a", "B": "b", "C": "c"})
    made.add({"D": "d"})
    assert made.symbols == ["a", "b"]


def test_layouts_and_tries_have_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "LAYOUTS_MAX", 3)
    made = new_reader()
    for n in range(10):
        other = frame(**{f"more{n}": "1"})
        assert len(walk(made, [other]).left) == (n >= 2)
    monkeypatch.setattr(reader, "LAYOUTS_MAX", 100)
    for n in range(reader.TRIES_MAX):
        walk(made, [frame(ladder=f"[[{n}x]]")])
    assert len(walk(made, [frame(last="1")]).left) == 1


def test_without_the_walk_nothing_is_read() -> None:
    made = FrameReader([SHAPE], walk=lambda: None)
    assert made.read([frame()] * 100) is None
    assert new_reader().read([frame()] * (FEW - 1)) is None


def test_a_zero_byte_in_a_frame_leaves_all_to_the_own_reader() -> None:
    made = new_reader()
    assert made.read([frame()] * FEW + [Sent(frame().data + b"\0" + frame().data)]) is None
    assert not len(walk(made, [frame()]).left)


def test_room_that_a_large_batch_took_is_given_back() -> None:
    made = new_reader()
    large = "[" + ",".join(["[1.5]"] * 900_000) + "]"
    found = walk(made, [frame(ladder=large)])
    assert not len(found.left)
    assert len(found.rows["all"].level_number("price")) == 900_000 + 2 * FEW
    assert made._room.level_numbers.size < 1_000


SOUP = [b'"', b"[", b"]", b"{", b"}", b",", b"1", b".", b"\xff", b"9" * 20, b"Z", b"@"]


def marred(random: Random) -> Sent:
    data = bytearray(frame(name=random.choice(['"A"', '"B"', '"' + "A" * 90 + '"'])).data)
    for _ in range(random.randrange(3)):
        at = random.randrange(len(data))
        data[at : at + random.randrange(9)] = random.choice(SOUP)
    return Sent(bytes(data[: random.choice([len(data), random.randrange(len(data) + 1)])]))


def walk_soup(rounds: int) -> int:
    """Walk over marred frames of every kind; return how many were read."""
    random, made, done = Random(5), new_reader(), 0
    for _ in range(rounds):
        frames = [marred(random) for _ in range(random.choice([FEW, 50, 300]))]
        if random.random() < 0.1:
            frames.append(Sent(b"\0"))
        found = made.read(frames)
        if found is not None:
            rows = found.rows.get("all")
            done += 0 if rows is None else len(rows)
            assert len(found.left) + (0 if rows is None else len(rows)) == len(frames)
            if rows is not None:
                assert rows.whole("count").sum() == len(rows.level_number("price"))
                assert np.isfinite(rows.numbers).all()
    return done


CHECKED = """
from tickplant.formats.compiled import loading
from formats.test_compiled_walk import new_reader, walk, walk_soup
loading.FRAMES.load()
print(walk_soup(20))
short = new_reader()
short._room.kinds = short._room.kinds[:3]
try:
    walk(short, [])
except IndexError:
    print("checked")
"""


def test_no_byte_beyond_a_frame_is_read() -> None:
    """The same source, not compiled, so that every place is checked by NumPy.

    `NUMBA_BOUNDSCHECK=1 NUMBA_CACHE_DIR=<an empty folder> pytest -W default` with this file checks
    them in compiled code.
    """
    tests = str(Path(__file__).resolve().parents[1])
    found = subprocess.run(
        [sys.executable, "-c", CHECKED], capture_output=True, text=True, check=False, timeout=28,
        env={**os.environ, "PYTHONPATH": tests, "NUMBA_DISABLE_JIT": "1"},
    )  # fmt: skip
    assert found.returncode == 0, found.stderr
    done, told = found.stdout.splitlines()
    assert int(done) == walk_soup(20) > 50
    assert told == "checked"


# -- loading -----------------------------------------------------------------------------------


def test_without_the_extra_nothing_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    loading.FRAMES.unload()
    monkeypatch.setattr(loading, "is_installed", lambda: False)
    loading.FRAMES.prepare()
    assert loading.FRAMES.get() is None
    monkeypatch.undo()
    loading.FRAMES.prepare()
    assert loading.FRAMES.get() is not None


def test_a_walk_that_cannot_be_loaded_is_done_without(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_: str) -> Any:
        raise OSError("no such library")

    loading.FRAMES.unload()
    monkeypatch.setattr(loading.importlib, "import_module", broken)
    with caplog.at_level(logging.WARNING):
        loading.FRAMES.prepare()
    assert loading.FRAMES.get() is None
    assert "without the compiled walk" in caplog.text
    monkeypatch.undo()
    loading.FRAMES.load()


def test_where_no_folder_can_be_written_it_is_made_in_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plain, kept = numba.njit, []

    def refusing(*args: Any, **options: Any) -> Any:
        kept.append(options.get("cache", False))
        if options.get("cache"):
            raise RuntimeError("cannot cache function: no locator available")
        return plain(*args, **options)

    monkeypatch.setattr(numba, "njit", refusing)
    kernel = sys.modules["tickplant.formats.compiled.kernel"]
    spec = importlib.util.spec_from_file_location("kernel_again", str(kernel.__file__))
    assert spec is not None
    assert spec.loader is not None
    again = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(again)
    assert kept[-2:] == [True, False]
    assert callable(again.walk)
