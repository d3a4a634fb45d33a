"""The compiled walk over rows: what it reads, what it leaves, and no byte too far."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tickplant.formats.compiled.loading import ROWS
from tickplant.formats.compiled.rows import Value, read_rows
from tickplant.formats.values import Kind

pytest.importorskip("numba", reason="the extra `compiled` is not installed")

SYMBOL, PRICE = (
    Value("symbol", Kind.TEXT, True, b'","p":'),
    Value("price", Kind.NUMBER, False, b"},"),
)


@pytest.fixture(autouse=True)
def _walk() -> Iterator[None]:
    ROWS.load()
    yield
    ROWS.unload()


def test_the_walk_reads_what_a_producer_writes() -> None:
    rows = [("é", "0.1"), ("", "-0"), ("a" * 300, "-12345678901.25"), ("B", "1.0000000000000000")]
    text = ",".join(f'{{"s":"{name}","p":{price}}}' for name, price in rows).encode() + b","
    values = [SYMBOL, Value("price", Kind.NUMBER, False, b'},{"s":"')]
    found = read_rows(text + b'{"s":"', 6, values)
    assert found is not None
    assert found.columns["symbol"][0].to_pylist() == [name or None for name, _ in rows]
    assert [repr(price) for price in found.columns["price"][0].to_pylist()] == [
        repr(float(price)) for _, price in rows
    ]
    assert [text[begin - 6 : begin] for begin in found.begins.tolist()] == [b'{"s":"'] * len(rows)


@pytest.mark.parametrize(
    "price", ["1e5", "1E-3", "01", "1.", ".5", "-", "--1", "+1", "", "1_0", "1234567890.1234567890"]
)
def test_the_walk_leaves_numbers_that_it_does_not_know(price: str) -> None:
    text = f'A","p":{price}}},'.encode()
    assert read_rows(text, 0, [SYMBOL, PRICE]) is None


def test_no_text_makes_the_walk_go_beyond_its_end() -> None:
    whole = b'A","p":1.5},' * 3
    for end in range(1, len(whole)):
        found = read_rows(whole[:end], 0, [SYMBOL, PRICE])
        assert (found is not None) == (end % 12 == 0), end
    zeros = Value("price", Kind.NUMBER, False, b"\0" * 64)
    assert read_rows(b'A","p":1.5', 0, [SYMBOL, zeros]) is None


def test_without_the_walk_nothing_is_read_by_it() -> None:
    ROWS.unload()
    assert read_rows(b'A","p":1.5},', 0, [SYMBOL, PRICE]) is None


CHECKED = """
import numpy as np
from tickplant.formats.compiled import rows_kernel
from tickplant.formats.compiled.loading import ROWS
from test_regular_bodies import both, changed
ROWS.load()
arguments = list(rows_kernel.nothing())
for seed in range(300):
    quick, general = both(*changed(seed))
    assert quick == general
arguments[3:5] = 1, np.array([[rows_kernel.NUMBER, 9, 0, 0]])  # there is no ninth column
arguments[7] = np.zeros(1, np.int64)
try:
    rows_kernel.walk_rows(*arguments)
except IndexError:
    print("checked", sum(rows_kernel.walk_rows.stats.cache_hits.values()))
"""


def test_no_byte_beyond_a_body_is_read_or_written(tmp_path: Path) -> None:
    # Machine code that is not optimised is made sooner; that which is kept has no checks.
    found = subprocess.run(
        [sys.executable, "-c", CHECKED], capture_output=True, text=True, check=False, timeout=100,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent),
             "NUMBA_BOUNDSCHECK": "1", "NUMBA_OPT": "0", "NUMBA_CACHE_DIR": str(tmp_path)},
    )  # fmt: skip
    assert found.returncode == 0, found.stderr
    assert found.stdout.split() == ["checked", "0"]
