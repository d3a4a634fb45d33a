"""One connection to Coinbase Advanced Trade: subscriptions, sequence numbers, heartbeats.

Every message has the next `sequence_num` of its connection. A hole in them is a message lost of any
stream, so all streams are told as skipped, and no book is updated before its next snapshot. What
has an old number came late or twice: it is no news to books, and its trades are known by their ids.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from tickplant.books.updates import Updates
from tickplant.feeds.venues.coinbase import parse, wire
from tickplant.feeds.venues.columns import read_times, sift
from tickplant.feeds.venues.contract import (
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
from tickplant.feeds.venues.pending import Pending

NATIVE_CHANNELS: dict[Channel, str] = {
    "trades": "market_trades",
    "quotes": "ticker",
    "book": "level2",
}
OUR_CHANNELS = {native: ours for ours, native in NATIVE_CHANNELS.items()}

BATCHED_NS = 500_000_000
"""How much older than its message a trade may be: they are collected for 250 ms, and then sent."""


class CoinbaseSession:
    """A `Session` of Coinbase Advanced Trade."""

    def __init__(
        self, url: str, native: Callable[[str], str], streams: Sequence[Stream] = ()
    ) -> None:
        self._url = url
        self._native = native
        self._pending = Pending(streams)
        self._number: int | None = None  # of the last message
        self._time: str | None = None  # of the last message
        self._broken: set[str] = set()  # products whose books wait for a snapshot

    def dial(self) -> Dial:
        """Return where to connect."""
        return Dial(self._url)

    def opening(self) -> Sequence[Outgoing]:
        """Ask for heartbeats: without them, channels of quiet products are closed."""
        return [Outgoing('{"type":"subscribe","channel":"heartbeats"}')]

    def subscribe(self, streams: Sequence[Stream]) -> Sequence[Outgoing]:
        """Return one request for each channel."""
        return self._ask("subscribe", streams)

    def unsubscribe(self, streams: Sequence[Stream]) -> Sequence[Outgoing]:
        """Return one request for each channel."""
        return self._ask("unsubscribe", streams)

    def _ask(self, kind: str, streams: Sequence[Stream]) -> list[Outgoing]:
        asked = []
        for channel, native in NATIVE_CHANNELS.items():
            these = [stream for stream in streams if stream.channel == channel]
            if these:
                self._pending.ask(these, ends=kind == "unsubscribe")
                products = [self._native(stream.symbol) for stream in these]
                request = {"type": kind, "product_ids": products, "channel": native}
                asked.append(Outgoing(msgspec.json.encode(request).decode()))
        return asked

    def receive(self, frames: Sequence[Frame]) -> Received:
        """Return what frames came to."""
        parsed, _, bad = sift(frames, parse.read, parse.table_of)
        said: list[Said] = []
        books = parsed.books
        if self._broken or not self._in_order(parsed.messages):
            books = self._sort_out(parsed.messages, said)
        for message in parsed.messages:
            self._hear(message, said)
        return Received(parsed.rows, books, said, bad)

    def _hear(self, message: wire.AnyMessage, said: list[Said]) -> None:
        if type(message) is wire.HeartbeatMessage:
            ts = int(read_times([message.timestamp])[0])
            said.append(Heartbeat(ts - BATCHED_NS))
        elif type(message) is wire.SubscriptionsMessage:
            said += self._pending.listed(self._listed(message))
        elif type(message) is wire.OtherMessage and message.type == "error":
            reason = ": ".join(text for text in (message.message, message.reason) if text)
            said.append(self._pending.failed(reason or "an error without a message"))

    def _listed(self, message: wire.SubscriptionsMessage) -> set[Stream]:
        return {
            Stream(product.upper(), OUR_CHANNELS[native])
            for event in message.events
            for native, products in event.subscriptions.items()
            if native in OUR_CHANNELS
            for product in products
        }

    def _in_order(self, messages: Sequence[wire.AnyMessage]) -> bool:
        """Take the messages as heard where each has the next number; say whether that is so."""
        numbers = [number for one in messages if (number := one.sequence_num) is not None]
        if not numbers:
            return True
        first = numbers[0] if self._number is None else self._number + 1
        if numbers != list(range(first, first + len(numbers))):
            return False
        self._number = numbers[-1]
        self._time = next(one.timestamp for one in reversed(messages) if one.timestamp)
        return True

    def _sort_out(self, messages: Sequence[wire.AnyMessage], said: list[Said]) -> Updates | None:
        """Return what is news to books, message by message; say what was skipped."""
        news: list[wire.AnyMessage] = []
        for message in messages:
            number, before = message.sequence_num, self._number
            if number is None or (before is not None and number <= before):
                continue
            if before is not None and number > before + 1:
                self._skip(before, number, message.timestamp, said)
            self._number, self._time = number, message.timestamp
            news.append(self._mended(message) if type(message) is wire.BookMessage else message)
        return parse.read_books(news)

    def _skip(self, before: int, number: int, time: str | None, said: list[Said]) -> None:
        streams = tuple(self._pending.wanted)
        self._broken |= {stream.symbol for stream in streams if stream.channel == "book"}
        if not streams or self._time is None or time is None:
            return
        start, end = read_times([self._time, time]).tolist()
        detail = f"sequence_num {number} came after {before}"
        start = min(start - BATCHED_NS, end - 1)
        said.append(Skipped(streams, start, end, detail, before + 1, number - 1))

    def _mended(self, message: wire.BookMessage) -> wire.BookMessage:
        """Return a message without the updates of books that wait for a snapshot."""
        events = []
        for event in message.events:
            symbol = event.product_id.upper()
            if event.type == "snapshot":
                self._broken.discard(symbol)
            if symbol not in self._broken:
                events.append(event)
        return wire.BookMessage(message.timestamp, message.sequence_num, events)
