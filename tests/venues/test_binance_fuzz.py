"""Whatever comes over a connection to Binance: no crash, no hang, and the bad frames kept whole."""

from __future__ import annotations

import json
from itertools import chain

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tickplant.feeds.venues.binance import client as spot
from tickplant.feeds.venues.contract import Frame, Stream
from tickplant.feeds.venues.options import VenueOptions

STREAMS = [Stream("BTC-USDT", channel) for channel in ("trades", "quotes", "book", "stats")]
SEEDS = [
    b'{"stream":"btcusdt@aggTrade","data":{"e":"aggTrade","E":1633998542071,"s":"BTCUSDT","a":7,'
    b'"p":"0.35130000","q":"6195.00000000","f":1,"l":2,"T":1633998542070,"m":true,"M":true}}',
    b'{"stream":"btcusdt@bookTicker","data":{"u":499869768,"s":"BTCUSDT","b":"0.35210000",'
    b'"B":"672.00000000","a":"0.35260000","A":"3199.00000000"}}',
    b'{"stream":"btcusdt@depth@100ms","data":{"e":"depthUpdate","E":1633998512068,"s":"BTCUSDT",'
    b'"U":499869750,"u":499869752,"b":[["0.3513","6195.0"],["0.3475","0.0"]],"a":[]}}',
    b'{"stream":"btcusdt@markPrice@1s","data":{"e":"markPriceUpdate","E":1562305380000,'
    b'"s":"BTCUSDT","p":"11794.1","i":"11784.6","P":"11784.2","r":"0.0003","T":1562306400000}}',
    b'{"result":null,"id":1}',
    b'{"error":{"code":2,"msg":"Invalid request"},"id":1}',
    b'{"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1770123456789}}',
]
TOKENS = [b"null", b"NaN", b"-1", b"1e400", b'"', b"[", b"]", b"{}", b",", b"\\", b"\xff", b"99e9"]
EDITS = st.tuples(
    st.sampled_from(["cut", "put", "swap"]),
    st.floats(0, 0.999),
    st.sampled_from(TOKENS) | st.binary(max_size=3),
)
MUTANTS = st.tuples(st.sampled_from(SEEDS), st.lists(EDITS, max_size=3)).map(
    lambda made: mutated(*made)
)
FRAMES = st.lists(MUTANTS | st.sampled_from(SEEDS) | st.binary(max_size=30), max_size=12)


def mutated(seed: bytes, edits: list[tuple[str, float, bytes]]) -> bytes:
    data = bytearray(seed)
    for what, where, token in edits:
        at = int(where * len(data))
        end = at if what == "put" else at + 1 + len(token)
        data[at:end] = b"" if what == "cut" else token
    return bytes(data)


@settings(max_examples=80, deadline=None)
@given(FRAMES)
def test_any_frames_are_read_or_set_aside_whole(datas: list[bytes]) -> None:
    session = spot.make(VenueOptions()).session(STREAMS)
    session.subscribe(STREAMS)
    frames = [Frame(1_700_000_000_000_000_000 + n, data) for n, data in enumerate(datas)]
    received = session.receive(frames)
    for bad in received.bad:
        assert bad.frame in datas
        assert bad.table in ("trades", "quotes", "book", "stats")
        assert bad.reason == "frame_unreadable"
        assert bad.detail
    assert len(received.bad) <= len(datas)
    for batch in received.rows.values():
        batch.validate(full=True)
        assert set(batch.column("symbol").to_pylist()) <= {"BTC-USDT"}
    books = received.books
    if books is not None:
        assert np.isfinite(books.price).all()
        assert (books.size >= 0).all()
        assert books.offsets[-1] == len(books.price) == len(books.size) == len(books.side)
        assert (np.diff(books.offsets) >= 0).all()


@settings(max_examples=40, deadline=None)
@given(FRAMES)
def test_frames_come_to_the_same_one_by_one_and_together(datas: list[bytes]) -> None:
    frames = [Frame(1_700_000_000_000_000_000 + n, data) for n, data in enumerate(datas)]
    one_by_one, together = (spot.make(VenueOptions()).session(STREAMS) for _ in range(2))
    alone = [one_by_one.receive([frame]) for frame in frames]
    whole = together.receive(frames)
    for table in ("trades", "quotes", "stats"):
        wanted = [row for one in alone if table in one.rows for row in one.rows[table].to_pylist()]
        found = whole.rows[table].to_pylist() if table in whole.rows else []
        assert repr(found) == repr(wanted)  # NaN is NaN here
    levels = [one.books.price.tolist() for one in alone if one.books is not None]
    found = [] if whole.books is None else whole.books.price.tolist()
    assert found == list(chain.from_iterable(levels))
    assert sorted(bad.frame for bad in whole.bad) == sorted(
        b.frame for one in alone for b in one.bad
    )


def test_a_flood_of_bad_frames_is_set_aside_in_a_bounded_time() -> None:
    session = spot.make(VenueOptions()).session(STREAMS)
    bad = json.dumps({"stream": "btcusdt@aggTrade", "data": {"p": "x" * 1_000}}).encode()
    bad = bad.replace(b": ", b":")
    received = session.receive([Frame(n, bad) for n in range(2_000)])
    assert len(received.bad) == 2_000
