"""What the compiled walk makes of frames is what the venues' own readers make of them, always."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields
from importlib import import_module
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tickplant.feeds.venues.catalogue import make_venue
from tickplant.feeds.venues.contract import Frame, Received, Stream
from tickplant.feeds.venues.kraken.legacy import LegacyParser
from tickplant.feeds.venues.options import VenueOptions
from tickplant.formats.compiled import loading
from venues.dialect import Link
from venues.recordings import frames as recorded
from venues.venue_market import steps
from venues.venue_truth import Truth

pytest.importorskip("numba", reason="the extra `compiled` is not installed")

NS = 1_700_000_000_000_000_000
RECORDED = {
    "BINANCE_FUTURES.ws.1.0": ("binance-futures", "SUSHI-USDT AKRO-USDT KEEP-USDT CTK-USDT", 0.95),
    "BINANCE.ws.1.0": ("binance", "NKN-USDT BLZ-ETH LRC-BTC RUNE-EUR", 0.95),
    "COINBASE.ws.28.0": (
        "coinbase-exchange",
        "SKL-USD SKL-BTC BAND-GBP NMR-EUR BAND-BTC YFI-BTC DASH-BTC NU-GBP CRV-EUR SKL-GBP",
        0.97,
    ),
    "KRAKEN.ws.50.0": ("kraken-1", "", 0.9),
}
"""Of each recording the venue, the symbols, and the least share of frames that is walked over."""

TOKENS = [
    b"null", b"NaN", b"-1", b"1e4", b'"', b"[", b"]", b"{}", b",", b"\\", b"\xff", b"0", b" ",
    b"\0", b"9999999999999999999", b".", b"Z", b"0.1234567890123456789", b"@", b"\\u0041", b"true",
]  # fmt: skip

Receive = Callable[[Sequence[Frame]], Received]


@pytest.fixture(scope="module", autouse=True)
def _walk() -> Iterator[None]:
    loading.FRAMES.load()
    loading.FRAMES.unload()
    yield
    loading.FRAMES.unload()


def new_session(venue: str, symbols: Sequence[str]) -> Any:
    if venue == "kraken-1":
        return LegacyParser()
    streams = [Stream(s, c) for s in symbols for c in ("trades", "quotes", "book")]  # type: ignore[arg-type]
    session = make_venue(venue, VenueOptions()).session(streams)
    session.subscribe(streams)
    return session


def both_ways(session: Callable[[], Any], batches: Sequence[Sequence[Frame]]) -> tuple[int, int]:
    """Read batches with the walk and without, compare; return how many frames, how many walked."""
    own, walked = session(), session()
    total = done = 0
    for batch in batches:
        loading.FRAMES.unload()
        wanted = own.receive(batch)
        loading.FRAMES.load()
        split = walked._reader.read(batch)
        found = walked.receive(batch)
        compare(found, wanted)
        total += len(batch)
        done += 0 if split is None else len(batch) - len(split.left)
    loading.FRAMES.unload()
    return total, done


def compare(found: Received, wanted: Received) -> None:
    assert list(found.said) == list(wanted.said)
    assert list(found.bad) == list(wanted.bad)
    assert found.rows.keys() == wanted.rows.keys()
    for table, rows in wanted.rows.items():
        found.rows[table].validate(full=True)
        assert found.rows[table].equals(rows), table
    assert (found.books is None) == (wanted.books is None)
    if wanted.books is None or found.books is None:
        return
    for one in fields(wanted.books):
        mine, theirs = getattr(found.books, one.name), getattr(wanted.books, one.name)
        if isinstance(theirs, np.ndarray):
            assert mine.dtype == theirs.dtype, one.name
            np.testing.assert_array_equal(mine, theirs, err_msg=one.name)
            np.testing.assert_array_equal(np.signbit(mine), np.signbit(theirs), err_msg=one.name)
        else:
            assert mine == theirs, one.name


@pytest.mark.parametrize("name", RECORDED)
def test_recorded_frames_come_to_the_same_columns(name: str) -> None:
    venue, symbols, share = RECORDED[name]
    frames = [Frame(ts, text.encode()) for ts, text in recorded(name)]
    random, batches, at = Random(1), [], 0
    while at < len(frames):
        size = random.choice([1, 17, 60, 300, 4096])
        batches.append(frames[at : at + size])
        at += size
    batches.append(frames)
    total, done = both_ways(lambda: new_session(venue, symbols.split()), batches)
    assert done > 0.4 * total
    loading.FRAMES.load()
    session = new_session(venue, symbols.split())
    session.receive(frames)
    left = session._reader.read(frames).left
    assert len(left) < (1 - share) * len(frames)


# -- frames of our own, and marred ones --------------------------------------------------------


def spoken(dialect: str) -> tuple[list[str], list[bytes]]:
    """The symbols of a fake venue, and what it says of them."""
    module = import_module(f"venues.dialect_{dialect}")
    truth = Truth(module.INSTRUMENTS)
    truth.set_clock(1_775_572_800_000_000_000, 1_000_000)
    venue = module.make(truth, None, {})
    link = Link(1, "/", {}, {})
    venue.opened(link)
    symbols = [one.symbol for one in module.INSTRUMENTS[:2]]
    said: list[Any] = []
    for event in steps(truth, symbols, Random(3), 40):
        said += venue.told(link, [event])
    return symbols, [one.encode() if isinstance(one, str) else one for one in said]


FUTURES = [
    b'{"stream":"btcusdt@depth@100ms","data":{"e":"depthUpdate","E":1626992741037,'
    b'"T":1626992741024,"s":"BTCUSDT","U":600859599090,"u":600859600917,"pu":600859598061,'
    b'"b":[["7.5040","813"],["7.6090","0"]],"a":[["7.6150","1563"]]}}',
    b'{"stream":"btcusdt@bookTicker","data":{"e":"bookTicker","u":600859600576,"s":"BTCUSDT",'
    b'"b":"7.6110","B":"2","a":"0.0000","A":"0","T":1626992741012,"E":1626992741017}}',
    b'{"stream":"btcusdt@aggTrade","data":{"e":"aggTrade","E":1626992742291,"a":14888302,'
    b'"s":"BTCUSDT","p":"0.01731","q":"312","f":2,"l":3,"T":1626992742134,"m":true}}',
    b'{"stream":"btcusdt@depth@100ms","data":{"e":"depthUpdate","E":1626992741038,'
    b'"s":"BTCUSDT","U":1,"u":2,"b":[],"a":[["90071992547409930.00","123456789.00000000"]]}}',
]
KRAKEN = [
    b'[992,{"as":[["354.80000","1.40000000","1618678133.020508"]],"bs":[["354.10000","2.10000000",'
    b'"1618678133.020507"]]},"book-1000","XMR/USD"]',
    b'[992,{"a":[["354.90000","0.00000000","1618678134.020508"],["355.10000","3.00000000",'
    b'"1618678134.9"]],"c":"2583817756"},"book-1000","XMR/USD"]',
    b'[992,{"a":[["354.90000","1.00000000","1618678134.020508"]]},{"b":[["354.20000","3.00000000",'
    b'"1618678134.020509"]],"c":"12"},"book-1000","XMR/USD"]',
    b'[992,{"b":[["354.20000","3.00000000","1618678134.020509","r"]],"c":"12"},"book-1000",'
    b'"XBT/USD"]',
    b'[992,{"c":"12"},"book-1000","XMR/USD"]',
    b'{"event":"heartbeat"}',
]
COINBASE = [
    b'{"type":"snapshot","product_id":"BTC-USD","asks":[["10101.80","0.45"],["10102.00","1"]],'
    b'"bids":[["10101.10","0.45054140"]]}',
    b'{"type":"snapshot","product_id":"BTC-USD","bids":[["10101.10","0.45054140"]],'
    b'"asks":[["10102.55","0.57753524"]],"time":"2021-04-17T16:43:37.129299Z"}',
    b'{"type":"l2update","product_id":"BTC-USD","changes":[["buy","10101.80","0.16"],'
    b'["sell","10103.80","0"]],"time":"2024-02-29T23:59:59.1Z"}',
    b'{"type":"l2update","product_id":"eth-usd","changes":[],"time":"2021-02-29T16:43:37Z"}',
]
VENUES = {
    "binance": spoken("binance"),
    "binance-futures": (["BTC-USDT"], FUTURES),
    "coinbase-exchange": (["BTC-USD"], [*spoken("coinbase_exchange")[1][:60], *COINBASE]),
    "kraken-1": ([], KRAKEN),
}


def mutated(random: Random, seeds: Sequence[bytes]) -> bytes:
    data = bytearray(random.choice(seeds))
    for _ in range(random.choice([0, 0, 0, 1, 1, 2])):
        at = random.randrange(len(data) + 1)
        token = random.choice([*TOKENS, bytes([random.randrange(256)])])
        end = at if random.random() < 0.5 else at + random.choice([1, len(token), 12])
        data[at:end] = b"" if random.random() < 0.3 else token
    return bytes(data)


@pytest.mark.parametrize("venue", VENUES)
@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 2**32), size=st.sampled_from([16, 40, 120]))
def test_marred_frames_come_to_the_same_columns(venue: str, seed: int, size: int) -> None:
    symbols, seeds = VENUES[venue]
    random = Random(seed)
    clean = [Frame(NS + n, seeds[n % len(seeds)]) for n in range(max(len(seeds), 16))]
    marred = [Frame(NS + n, mutated(random, seeds)) for n in range(size)]
    _, done = both_ways(lambda: new_session(venue, symbols), [clean, marred, marred, clean])
    assert done > 0


def test_a_venue_that_adds_and_moves_values_is_read_as_before() -> None:
    moved = [
        seed.replace(b'"e":', b'"new":[],"x": -1.5 ,"y":null,"e":').replace(b'"new":[],', b"")
        for seed in FUTURES[:3]
    ]
    frames = [Frame(NS + n, moved[n % 3]) for n in range(60)]
    total, done = both_ways(lambda: new_session("binance-futures", ["BTC-USDT"]), [frames, frames])
    assert (total, done) == (120, 120)


@pytest.mark.parametrize(
    "change",
    [
        (b'"E":', b'"s":"X","E":'),  # a name that stands twice
        (b'"E":', b'"z":[1],"E":'),  # a list of which nothing is known
        (b'"E":', b'"z":"a@b","E":'),  # a sign by which streams are told
        (b'"E":', b'"z":"\\u00e9","E":'),
        (b'"b":', b'"c":'),
        (b'{"stream"', b' {"stream"'),
        (b'"data":', b'"data":7,"data":'),
    ],
)
def test_what_could_be_read_in_two_ways_is_left(change: tuple[bytes, bytes]) -> None:
    odd = FUTURES[0].replace(*change)
    frames = [Frame(NS + n, odd) for n in range(20)]
    _, done = both_ways(lambda: new_session("binance-futures", ["BTC-USDT"]), [frames])
    assert done == 0


def test_frames_that_repeat_as_one_object_keep_their_places() -> None:
    odd = Frame(NS, FUTURES[0].replace(b'"7.5040"', b'"75.040e-1"'))
    plain = Frame(NS, FUTURES[0])
    batch = [plain, odd, odd, plain, odd] * 5
    total, done = both_ways(lambda: new_session("binance-futures", ["BTC-USDT"]), [batch, batch])
    assert (total, done) == (50, 20)
