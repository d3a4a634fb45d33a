"""Frames of Coinbase and Deribit, mended and marred in every way: none is lost, none hurts others.

Good frames are those of a venue that speaks; bad ones are made of them by bytes and by values.
"""

from __future__ import annotations

import json
from importlib import import_module
from random import Random
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tickplant.feeds.venues.catalogue import make_venue
from tickplant.feeds.venues.contract import Frame, Received, Stream
from tickplant.feeds.venues.options import VenueOptions
from tickplant.model.events import INCOMING
from venues.dialect import Link
from venues.venue_market import steps
from venues.venue_truth import Truth

NAMES = ("coinbase", "coinbase-exchange", "deribit")


def spoken(name: str) -> tuple[tuple[Stream, ...], tuple[bytes, ...]]:
    """Streams, and what the fake venue says on them, in order."""
    module = import_module(f"venues.dialect_{name.replace('-', '_')}")
    truth = Truth(module.INSTRUMENTS)
    truth.set_clock(1_775_572_800_000_000_000, 1_000_000)
    dialect = module.make(truth, None, {})
    link = Link(1, "/", {}, {})
    dialect.opened(link)
    symbols = [one.symbol for one in module.INSTRUMENTS[:2]]
    streams = tuple(Stream(s, c) for s in symbols for c in ("trades", "quotes", "book"))
    said: list[Any] = []
    for event in steps(truth, symbols, Random(3), 25):
        said += dialect.told(link, [event])
    return streams, tuple(one.encode() for one in said)


SPOKEN = {name: spoken(name) for name in NAMES}
VALUES = st.sampled_from(
    [None, True, -1, 0, 2**70, 1e300, "", "nan", "1e999", "x", [], {}, [[]], "9" * 400, "\ud800"]
)


def heard(name: str, frames: list[bytes], batch: int) -> list[Received]:
    streams, _ = SPOKEN[name]
    session = make_venue(name, VenueOptions()).session(streams)
    parts = [frames[i : i + batch] for i in range(0, len(frames), batch)]
    return [session.receive([Frame(i + 1, one) for i, one in enumerate(part)]) for part in parts]


def sound(received: Received) -> None:
    """Check what must be so, whatever came."""
    for table, rows in received.rows.items():
        assert rows.schema == INCOMING[table]
        rows.validate(full=True)
    books = received.books
    if books is not None:
        assert books.offsets[-1] == len(books.price) == len(books.size) == len(books.side)
        assert len(books) == len(books.ts_event) == len(books.snapshot) == len(books.last)
        assert set(books.side.tolist()) <= {1, 2}


def marred(frame: bytes, draw: Any) -> bytes:
    """Return a frame with one value put in the place of another, a byte changed, or cut off."""
    how = draw(st.integers(0, 3))
    if how == 0:
        place = draw(st.integers(0, len(frame) - 1))
        return frame[:place] + draw(st.binary(max_size=3)) + frame[place + 1 :]
    if how == 1:
        return frame[: draw(st.integers(0, len(frame) - 1))]
    told = json.loads(frame)
    place = told
    while isinstance(place, dict | list) and place:
        key = draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
        if how == 2 or not isinstance(place[key], dict | list) or not place[key]:
            place[key] = draw(VALUES)
            break
        place = place[key]
    return json.dumps(told).encode()


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_marred_frames_are_read_or_quarantined_and_hurt_no_others(name: str, data: Any) -> None:
    frames = list(SPOKEN[name][1])
    bad = data.draw(st.lists(st.integers(0, len(frames) - 1), max_size=4, unique=True))
    for place in bad:
        frames[place] = marred(frames[place], data.draw)
    batch = data.draw(st.sampled_from([1, 5, len(frames)]))
    found = heard(name, frames, batch)
    quarantined = [one.frame for received in found for one in received.bad]
    assert set(quarantined) <= {frames[place] for place in bad}
    for received in found:
        sound(received)
        for one in received.bad:
            assert one.table in INCOMING
            assert one.reason == "frame_unreadable"
            assert one.detail
    left = [frame for frame in frames if frame not in quarantined]
    assert trades_of(found) == trades_of(heard(name, left, len(left)))


def trades_of(found: list[Received]) -> list[dict[str, Any]]:
    batches = [one.rows["trades"] for one in found if "trades" in one.rows]
    return pa.Table.from_batches(batches, INCOMING["trades"]).to_pylist()


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=30, deadline=None)
@given(frames=st.lists(st.binary(max_size=60), max_size=8))
def test_any_bytes_are_quarantined_each_as_it_came(name: str, frames: list[bytes]) -> None:
    (received,) = heard(name, frames, max(len(frames), 1)) or [Received()]
    assert [bad.frame for bad in received.bad] == frames
    assert received.rows == {}
    assert received.books is None


@pytest.mark.parametrize("name", NAMES)
def test_deep_nesting_is_quarantined(name: str) -> None:
    frame = b'{"type":"x","channel":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    (received,) = heard(name, [frame], 1)
    assert [bad.frame for bad in received.bad] == [frame]


@pytest.mark.parametrize("name", NAMES)
@given(batch=st.integers(1, 40))
@settings(max_examples=10, deadline=None)
def test_the_size_of_batches_makes_no_difference(name: str, batch: int) -> None:
    frames = list(SPOKEN[name][1])
    whole, parts = heard(name, frames, len(frames)), heard(name, frames, batch)
    assert trades_of(parts) == trades_of(whole)
    assert books_of(parts) == books_of(whole)
    assert not any(one.bad for one in (*whole, *parts))


def books_of(found: list[Received]) -> list[tuple[Any, ...]]:
    told = []
    for books in (one.books for one in found):
        for i in range(0 if books is None else len(books)):
            at = slice(books.offsets[i], books.offsets[i + 1])
            sides, prices, sizes = books.side[at], books.price[at], books.size[at]
            head = books.symbols[books.code[i]], int(books.ts_event[i]), int(books.last[i])
            told.append((*head, sides.tolist(), prices.tolist(), sizes.tolist()))
    return told
