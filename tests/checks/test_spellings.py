"""Names by whole columns say what names one by one say, whatever came before."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickplant.checks import spellings as room
from tickplant.checks.batch import check_batch
from tickplant.checks.bounds import Bounds
from tickplant.checks.spellings import Spellings
from tickplant.formats.parsed import incoming_batch

NOW = 1_700_000_000_000_000_000

ALPHABET = "aAbB1-: \0,é"
SYMBOLS = st.none() | st.text(ALPHABET, max_size=20) | st.sampled_from(["A" * 64, "A" * 65, "V:x"])
VENUES = st.none() | st.text("aAb. ", max_size=3)
ROWS = st.lists(st.tuples(SYMBOLS, VENUES), min_size=1, max_size=12)


def expected(symbol: str | None, venue: str) -> tuple[str, str] | str:
    """Read one name by the letter of the documentation."""
    text = (symbol or "").strip().upper()
    if not text:
        return "symbol_missing"
    head, colon, tail = text.partition(":")
    if colon and head and tail:
        venue, text = head, tail
    if len(text) > 64 or any(c.isspace() or c in ":,*?/\\" or c < " " or c == "\x7f" for c in text):
        return "symbol_invalid"
    venue = venue.strip().upper()
    allowed = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-"
    if not 1 <= len(venue) <= 32 or any(c not in allowed for c in venue):
        return "venue_invalid"
    return text, venue


def outcome(
    known: Spellings, rows: list[tuple[str | None, str | None]], venue: str
) -> list[object]:
    batch = incoming_batch(
        "trades",
        symbol=[symbol for symbol, _ in rows],
        venue=[own for _, own in rows],
        price=[1.0] * len(rows),
    )
    checked = check_batch(
        "trades", batch, venue=venue, bounds=Bounds(), now_ns=NOW, spellings=known
    )
    reasons = {place: checked.findings.explain(place)[0] for place in checked.findings.places()}
    return [
        reasons[place] if code < 0 else known.names[code]
        for place, code in enumerate(checked.codes.tolist())
    ]


@given(st.lists(st.tuples(ROWS, st.sampled_from([1, 5]), st.sampled_from(["p", "Q"])), max_size=6))
def test_columns_of_names_are_read_as_single_names_are(
    batches: list[tuple[list[tuple[str | None, str | None]], int, str]],
) -> None:
    known = Spellings()
    for rows, times, venue in batches:
        repeated = rows * times  # few rows and many rows go different ways
        wanted = [expected(symbol, venue if own is None else own) for symbol, own in repeated]
        assert outcome(known, repeated, venue) == wanted


def test_thousands_of_spellings_of_all_lengths_keep_apart() -> None:
    random = np.random.default_rng(5)
    texts = sorted({f"{n:x}" * int(random.integers(1, 14)) for n in range(9_000)})
    texts = [text for text in texts if len(text) <= 64]
    known = Spellings()
    for _ in range(2):
        random.shuffle(texts)
        codes = {}
        for first in range(0, len(texts), 1_000):
            part = texts[first : first + 1_000]
            rows = incoming_batch("trades", symbol=part, price=[1.0] * len(part))
            checked = check_batch(
                "trades", rows, venue="V", bounds=Bounds(), now_ns=NOW, spellings=known
            )
            codes.update(zip(part, checked.codes.tolist(), strict=True))
        assert {text: known.names[code] for text, code in codes.items()} == {
            text: (text.upper(), "V") for text in texts
        }
        assert len(known.names) == len(texts)


def test_too_many_spellings_are_read_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "KEPT_MAX", 40)
    known = Spellings()
    for first in range(0, 200, 20):
        rows = [(f"S{n}", None) for n in range(first, first + 20)]
        assert outcome(known, rows, "V") == [(f"S{n}", "V") for n in range(first, first + 20)]
        assert len(known.names) <= 60


def test_what_the_owner_notes_stays_with_the_name() -> None:
    known = Spellings()
    symbols = pa.array([f"S{n}" for n in range(10_000)])
    nothing = pa.nulls(len(symbols), pa.string())
    codes = known.learn([(s, "V") for s in symbols.to_pylist()], [("X", "V")] * len(symbols))
    known.numbers[codes] = np.arange(len(symbols))
    known.learn([(f"T{n}", "V") for n in range(50_000)], [("Y", "V")] * 50_000)
    found = known.look_up(symbols, nothing, "V")
    assert known.numbers[found].tolist() == list(range(len(symbols)))
    assert (known.look_up(symbols, nothing, "W") == -1).all()
