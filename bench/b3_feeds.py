"""B3, feed parsing: frames that exchanges sent, books included, to columns, on one core.

What was recorded from a connection (shared/data/frames) is repeated and handed over in batches, as
it comes from a busy socket; a session of ours does all it does live: it sorts, reads, follows
numbers and sets bad frames aside. It does so by the compiled walk of the extra `compiled`, and
without. Beside it stand loops over msgspec and over `json` that end in
arrays, too, and nautilus_trader and cryptofeed where they are installed. CPU time counts, of this
thread. Every side's rows and sums are compared.
"""

from __future__ import annotations

import gzip
import importlib.util
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from bench.b3_libraries import Loop, Total, libraries
from bench.b3_peers import (
    Made,
    Totals,
    Words,
    binance,
    coinbase,
    kraken,
    typed_binance,
    typed_coinbase,
    typed_kraken,
    untyped,
)
from bench.harness import Comparison, Done, Side, compare
from tickplant.feeds.venues.catalogue import make_venue
from tickplant.feeds.venues.contract import Frame, Received, Stream
from tickplant.feeds.venues.kraken.legacy import LegacyParser
from tickplant.feeds.venues.options import VenueOptions
from tickplant.formats.compiled import loading

FOLDER = Path(__file__).resolve().parents[2] / "shared" / "data" / "frames"
BATCHES = 4_096, 256
"""Frames handed over at once: as many as the supervisor takes from a socket that is not waited for,
and as come from one that is busy."""

PEER_BATCH = 256
"""What suits the loops best: their lists stay small."""

TARGET = ">= 600,000 messages/s a core, >= 1.5x the best loop"

Receive = Callable[[Sequence[Frame]], Received]
Peer = Callable[[Sequence[bytes]], Made]


@dataclass(frozen=True)
class Recording:
    """One recorded connection: how it is read by us, by the loops, and (`natives`, its symbols) by
    libraries."""

    title: str
    file: str
    session: Callable[[], Receive]
    words: Words
    typed: Peer
    natives: tuple[str, ...] = ()
    quotes: tuple[str, ...] = ("bid_price", "bid_size", "ask_price", "ask_size")


def _session(
    venue: str, symbols: str, channels: str = "trades quotes book"
) -> Callable[[], Receive]:
    def make() -> Receive:
        found = make_venue(venue, VenueOptions())
        streams = [Stream(s, c) for s in symbols.split() for c in channels.split()]  # type: ignore[arg-type]
        session = found.session(streams)
        session.subscribe(streams)
        return session.receive

    return make


RECORDINGS = (
    Recording(
        "Binance futures",
        "BINANCE_FUTURES.ws.1.0",
        _session("binance-futures", "SUSHI-USDT AKRO-USDT KEEP-USDT CTK-USDT"),
        binance,
        typed_binance,
        natives=("SUSHIUSDT", "AKROUSDT", "KEEPUSDT", "CTKUSDT"),
    ),
    Recording(
        "Binance spot",
        "BINANCE.ws.1.0",
        _session("binance", "NKN-USDT BLZ-ETH LRC-BTC RUNE-EUR"),
        binance,
        typed_binance,
        natives=("NKNUSDT", "BLZETH", "LRCBTC", "RUNEEUR"),
    ),
    Recording(
        "Coinbase Exchange",
        "COINBASE.ws.28.0",
        _session(
            "coinbase-exchange",
            "SKL-USD SKL-BTC BAND-GBP NMR-EUR BAND-BTC YFI-BTC DASH-BTC NU-GBP CRV-EUR SKL-GBP",
        ),
        coinbase,
        typed_coinbase,
        quotes=("bid_price", "ask_price"),
    ),
    Recording(
        "Kraken version 1", "KRAKEN.ws.50.0", lambda: LegacyParser().receive, kraken, typed_kraken
    ),
)


def run(*, messages: int = 100_000, rounds: int = 5) -> Iterator[Comparison]:
    """Compare every recording that is there; says which are not."""
    for package in ("numba", "cryptofeed", "nautilus_trader"):
        if importlib.util.find_spec(package) is None:
            print(f"b3: {package} is not installed, so not compared", file=sys.stderr)
    for recording in RECORDINGS:
        path = FOLDER / f"{recording.file}.gz"
        if not path.is_file():
            print(f"b3: no recording {path.name} here, so nothing measured of it", file=sys.stderr)
            continue
        yield _compare(recording, _frames(path), messages, rounds)


def _compare(recording: Recording, once: list[Frame], messages: int, rounds: int) -> Comparison:
    times = max(messages // len(once), 1)
    frames = once * times
    datas = [[frame.data for frame in batch] for batch in _batches(frames, PEER_BATCH)]
    wanted = Totals()
    for batch in datas:
        wanted.add_all(untyped(json.loads, recording.words)(batch))

    def ours(size: int, *, compiled: bool) -> Callable[[], Done]:
        def measured() -> Done:
            (loading.FRAMES.load if compiled else loading.FRAMES.unload)()
            receive, totals, seconds = recording.session(), Totals(), 0.0
            for batch in _batches(frames, size):
                begun = time.thread_time()
                received = receive(batch)
                seconds += time.thread_time() - begun
                _total(received, recording.quotes, totals)
            loading.FRAMES.unload()
            totals.check(wanted)
            return Done(len(frames), seconds)

        return measured

    def peer(loop: Peer) -> Callable[[], Done]:
        def measured() -> Done:
            totals, seconds = Totals(), 0.0
            for batch in datas:
                begun = time.thread_time()
                columns = loop(batch)
                seconds += time.thread_time() - begun
                totals.add_all(columns)
            totals.check(wanted)
            return Done(len(frames), seconds)

        return measured

    note = f"{len(frames):,} frames"
    ways = {"tickplant, compiled": True} if loading.is_installed() else {}
    sides = [
        Side(f"{name}, batches of {size:,}", ours(size, compiled=compiled), note)
        for name, compiled in {**ways, "tickplant": False}.items()
        for size in BATCHES
    ]
    sides.append(Side("msgspec, typed", peer(recording.typed)))
    if recording.natives:
        found = libraries(recording.natives, futures="futures" in recording.title)
        sides += [Side(name, _library(*one, datas, wanted)) for name, one in found.items()]
    sides.append(Side("msgspec, untyped", peer(untyped(msgspec.json.decode, recording.words))))
    sides.append(Side("json", peer(untyped(json.loads, recording.words))))
    title = f"B3 {recording.title}"
    return compare(title, sides, rounds=rounds, unit="messages/s", target=TARGET)


def _library(
    loop: Loop, total: Total, datas: list[list[bytes]], wanted: Totals
) -> Callable[[], Done]:
    def measured() -> Done:
        totals, seconds = Totals(), 0.0
        for batch in datas:
            begun = time.thread_time()
            objects = loop(batch)
            seconds += time.thread_time() - begun
            total(objects, totals)
        wanted.check(totals)
        return Done(sum(map(len, datas)), seconds)

    return measured


def _batches(frames: list[Frame], size: int) -> list[list[Frame]]:
    return [frames[at : at + size] for at in range(0, len(frames), size)]


def _total(received: Received, quotes: tuple[str, ...], totals: Totals) -> None:
    if received.bad:
        raise AssertionError(f"{received.bad[0].reason}: {received.bad[0].detail}")
    for table, names in (("trades", ("price", "size")), ("quotes", quotes)):
        rows = received.rows.get(table)
        if rows is not None and rows.num_rows:
            numbers = [np.nan_to_num(_numbers(rows, name)) for name in names]
            totals.add(table, rows.num_rows, np.concatenate(numbers))
    books = received.books
    if books is not None:
        totals.add("levels", len(books.price), np.concatenate([books.price, books.size]))


def _numbers(rows: Any, name: str) -> np.ndarray:
    return rows.column(name).to_numpy(zero_copy_only=False).astype(np.float64)


def _frames(path: Path) -> list[Frame]:
    """The frames of a recording: lines of `<unix seconds>: <frame>`."""
    found = []
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            stamp, colon, text = line.rstrip("\n").partition(": ")
            if colon and stamp[0].isdigit():
                found.append(Frame(int(Decimal(stamp) * 10**9), text.encode()))
    return found
