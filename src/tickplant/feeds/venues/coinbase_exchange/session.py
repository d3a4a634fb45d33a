"""One connection to Coinbase Exchange: subscriptions, and trades that never came.

The trades of a product have numbers without holes, and a heartbeat each second tells the last one.
So a trade whose number is not the next shows a hole, and so does a heartbeat whose number has not
come by the next one; the second one's time is to let trades overtake. Updates of books have no
numbers: with a hole in the trades, or a frame that cannot be read, the book is held to be wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import msgspec

from tickplant.feeds.venues.coinbase_exchange import parse, shapes, wire
from tickplant.feeds.venues.columns import read_times, sift
from tickplant.feeds.venues.contract import (
    BadFrame,
    Channel,
    Dial,
    Frame,
    Heartbeat,
    Outgoing,
    Received,
    Said,
    Skipped,
    Stream,
)
from tickplant.feeds.venues.merged import Split, merge_updates
from tickplant.feeds.venues.numbers import TradeNumbers
from tickplant.feeds.venues.pending import Pending
from tickplant.formats.compiled.reader import FrameReader
from tickplant.model.events import BOOK, TRADES

NATIVE_CHANNELS: dict[Channel, str] = {
    "trades": "matches",
    "quotes": "ticker",
    "book": "level2_batch",
}
OUR_CHANNELS: dict[str, Channel] = {
    "matches": "trades",
    "ticker": "quotes",
    "level2_batch": "book",
    "level2_50": "book",  # as the venue calls `level2_batch` when it confirms it
    "level2": "book",
}
BATCHED_NS = 100_000_000
"""How much older than a heartbeat what comes after it may be: books are sent every 50 ms."""


class ExchangeSession:
    """A `Session` of Coinbase Exchange."""

    def __init__(
        self, url: str, native: Callable[[str], str], streams: Sequence[Stream] = ()
    ) -> None:
        self._url = url
        self._native = native
        self._pending = Pending(streams)
        self._reader = FrameReader(shapes.SHAPES)
        self._name(streams)
        self.numbers = TradeNumbers()
        self._told: dict[str, int] = {}  # the last trade by the last heartbeat of a product

    def dial(self) -> Dial:
        """Return where to connect."""
        return Dial(self._url)

    def opening(self) -> Sequence[Outgoing]:
        """Return nothing: the first frame subscribes."""
        return []

    def subscribe(self, streams: Sequence[Stream]) -> Sequence[Outgoing]:
        """Return one request for the products of each channel, and for their heartbeats."""
        return self._ask("subscribe", streams)

    def unsubscribe(self, streams: Sequence[Stream]) -> Sequence[Outgoing]:
        """Return one request for the products of each channel; heartbeats go on."""
        return self._ask("unsubscribe", streams)

    def _ask(self, kind: str, streams: Sequence[Stream]) -> list[Outgoing]:
        self._name(streams)
        asked = []
        for channel, native in NATIVE_CHANNELS.items():
            these = [stream for stream in streams if stream.channel == channel]
            if these:
                self._pending.ask(these, ends=kind == "unsubscribe")
                names = [native] if kind == "unsubscribe" else [native, "heartbeat"]
                products = [self._native(stream.symbol) for stream in these]
                request = {"type": kind, "product_ids": products, "channels": names}
                asked.append(Outgoing(msgspec.json.encode(request).decode()))
            if channel == "trades" and kind == "unsubscribe":
                for stream in these:
                    self.numbers.forget(stream.symbol)
                    self._told.pop(stream.symbol, None)
        return asked

    def _name(self, streams: Sequence[Stream]) -> None:
        natives = [self._native(symbol) for symbol, _ in streams]
        self._reader.names.add({native: native.upper() for native in natives})

    def receive(self, frames: Sequence[Frame]) -> Received:
        """Return what frames came to."""
        split = Split(self._reader, frames)
        parsed, _, bad = sift(split.rest, parse.read, parse.table_of)
        said: list[Said] = []
        if bad:
            self._doubt(bad, frames[-1].ts_recv, said)
        trades = parsed.rows.get(TRADES)
        times = iter(() if trades is None else trades.column("ts_event").to_pylist())
        beat: wire.Heartbeat | None = None
        for message in parsed.messages:
            if isinstance(message, wire.Match):
                self._match(message, next(times), said)
            elif isinstance(message, wire.Heartbeat):
                beat = message
                self._beat(message, said)
            elif isinstance(message, wire.Subscriptions):
                said += self._pending.listed(_listed(message))
            elif isinstance(message, wire.Error):
                said.append(self._pending.failed(_reason(message)))
        if beat is not None:
            said.append(Heartbeat(int(read_times([beat.time])[0]) - BATCHED_NS))
        books = split.joined(
            BOOK,
            lambda rows: shapes.make_books(rows, frames),
            parsed.books,
            parsed.about_books,
            merge_updates,
        )
        return Received(parsed.rows, books, said, bad)

    def _match(self, match: wire.Match, ts: int, said: list[Said]) -> None:
        symbol = match.product_id.upper()
        said += self._held(self.numbers.follow([symbol], [match.trade_id], [ts]))

    def _beat(self, beat: wire.Heartbeat, said: list[Said]) -> None:
        symbol = beat.product_id.upper()
        if Stream(symbol, "trades") not in self._pending.wanted:
            return
        is_new = self.numbers.last(symbol) is None
        told = beat.last_trade_id if is_new else self._told.get(symbol)
        if told is not None:
            ts = int(read_times([beat.time])[0])
            said += self._held(self.numbers.reach(symbol, (told, ts)))
        self._told[symbol] = beat.last_trade_id

    def _held(self, holes: Sequence[Skipped]) -> list[Skipped]:
        """Return holes in trades as holes of the books as well, which have no numbers."""
        wanted = self._pending.wanted
        found = []
        for one in holes:
            symbol = one.streams[0].symbol
            streams = tuple(s for s in wanted if s.symbol == symbol and s.channel != "quotes")
            if streams:
                found.append(replace(one, streams=streams))
        return found

    def _doubt(self, bad: Sequence[BadFrame], received: int, said: list[Said]) -> None:
        """Hold the books for wrong of which a frame could not be read; all, where it says none."""
        named = [parse.product_of(one.frame) for one in bad if one.table != "quotes"]
        symbols = {name.upper() for name in named if name}
        streams = tuple(
            stream
            for stream in self._pending.wanted
            if stream.channel == "book" and (stream.symbol in symbols or None in named)
        )
        if streams:
            detail = "a frame could not be read"
            said.append(Skipped(streams, received - BATCHED_NS, received, detail))


def _reason(error: wire.Error) -> str:
    return ": ".join(text for text in (error.message, error.reason) if text) or "no reason given"


def _listed(message: wire.Subscriptions) -> set[Stream]:
    return {
        Stream(product.upper(), OUR_CHANNELS[channel.name])
        for channel in message.channels
        if channel.name in OUR_CHANNELS
        for product in channel.product_ids
    }
