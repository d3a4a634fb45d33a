"""Keys: the same for the same, different for the different, whatever else is in the batch."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tickplant.checks.keys import key_of_text

TEXTS = st.lists(st.none() | st.binary(max_size=40), max_size=30)


def keys(texts: pa.Array, instrument: int = 1, tag: str = "t") -> NDArray[np.uint64]:
    return key_of_text(tag, np.full(len(texts), instrument, np.int32), texts)


def distinct(found: NDArray[np.uint64]) -> int:
    return len(np.unique(found, axis=0))


@settings(max_examples=200, deadline=None)
@given(TEXTS, st.integers(0, 5))
def test_a_key_depends_on_its_own_row_alone(texts: list[bytes | None], offset: int) -> None:
    array = pa.array(texts, pa.binary())[offset:]
    together = keys(array)
    alone = [keys(pa.array([text], pa.binary()))[0].tolist() for text in texts[offset:]]
    assert together.tolist() == alone
    assert (together.any(axis=1) == np.array([t is not None for t in texts[offset:]], bool)).all()


@settings(max_examples=100, deadline=None)
@given(st.sets(st.binary(max_size=40), max_size=40))
def test_different_texts_have_different_keys(texts: set[bytes]) -> None:
    assert distinct(keys(pa.array(list(texts), pa.binary()))) == len(texts)


def test_strings_and_their_bytes_have_one_key() -> None:
    texts = ["é", "", "abcdefgh", "abcdefghi", None]
    raw = [None if text is None else text.encode() for text in texts]
    assert (keys(pa.array(texts)) == keys(pa.array(raw))).all()


def test_tag_instrument_and_text_all_count() -> None:
    text = pa.array(["1"])
    found = [keys(text, i, tag)[0].tolist() for i in (0, 1, 2) for tag in ("trades.0", "trades.1")]
    assert len({tuple(key) for key in found}) == 6


def test_keys_stay_what_they_are() -> None:
    # They are stored: a change of these figures makes known trades look new after an upgrade.
    found = key_of_text("trades.1", np.array([1, 7], np.int32), pa.array(["100", "x" * 20]))
    assert found.tolist() == GOLDEN


GOLDEN = [[3622340681322557860, 10160586269927886698], [4960234373250233425, 1960129206141475053]]


@pytest.mark.parametrize("make", [
    lambda i: f"{i}", lambda i: f"{i:016d}", lambda i: f"{i % 997:08d}{i // 997:08d}",
    lambda i: f"T{i:07d}-{(i * 7) % 1000:03d}", lambda i: "\0" * (i % 128) + f"{i // 128}",
])  # fmt: skip
def test_series_of_ids_do_not_collide_in_either_lane(make: object) -> None:
    texts = sorted({make(i) for i in range(100_000)})  # type: ignore[operator]
    found = keys(pa.array(texts))
    assert len(np.unique(found[:, 0])) == len(np.unique(found[:, 1])) == len(texts)


def test_padding_is_no_part_of_a_text() -> None:
    texts = [b"a" + b"\0" * count for count in range(40)]
    assert distinct(keys(pa.array(texts))) == len(texts)


def test_swapped_and_compensating_bytes_do_not_collide() -> None:
    # All texts that put 4 letters at 3 far places of 3 words.
    texts = []
    for code in range(4**6):
        text = bytearray(b"aaaaaaaaaaaaaaaaaaaaaaaa")
        for place, at in enumerate((0, 7, 8, 15, 16, 23)):
            text[at] = 97 + (code >> (2 * place)) % 4
        texts.append(bytes(text))
    found = keys(pa.array(texts))
    assert len(np.unique(found[:, 0])) == len(np.unique(found[:, 1])) == len(texts)


def test_one_bit_of_a_text_changes_half_of_the_bits_of_both_lanes() -> None:
    rng = np.random.default_rng(1)
    base = rng.integers(0, 256, (200, 19), dtype=np.uint8)
    plain = keys(pa.array([row.tobytes() for row in base]))
    for bit in range(0, 19 * 8, 5):
        turned = base.copy()
        turned[:, bit // 8] ^= 1 << (bit % 8)
        changed = plain ^ keys(pa.array([row.tobytes() for row in turned]))
        shares = np.unpackbits(changed.view(np.uint8).reshape(200, 2, 8), axis=2).mean(axis=(0, 2))
        # 12,800 bits a lane: half, with a standard deviation of 0.0044
        assert (abs(shares - 0.5) < 0.03).all(), (bit, shares)


def test_no_rows_have_no_keys() -> None:
    assert keys(pa.array([], pa.string())).shape == (0, 2)
    assert keys(pa.nulls(3, pa.string())).tolist() == [[0, 0]] * 3
