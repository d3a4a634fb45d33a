"""One connection to Binance: subscriptions by number, and trades by their numbers.

    frames ─► those that the compiled walk reads ─────────────────────────┐
         └─► by kind, each with the bad ones taken out ───────────────────┴─► rows, books
               └─► what is left: answers to SUBSCRIBE and UNSUBSCRIBE, the notice of a shutdown

The numbers of aggregate trades of a symbol follow one another without a hole: one that is missing
was not delivered.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import TypeVar

import msgspec

from tickplant.feeds.venues.binance import parse, shapes, wire
from tickplant.feeds.venues.columns import sift
from tickplant.feeds.venues.contract import (
    BadFrame,
    Channel,
    Confirmed,
    Dial,
    Frame,
    Leaving,
    Outgoing,
    Received,
    Refused,
    Said,
    Stream,
)
from tickplant.feeds.venues.merged import Split, merge_rows, merge_updates
from tickplant.feeds.venues.numbers import TradeNumbers
from tickplant.formats.compiled.reader import FrameReader
from tickplant.model.events import BOOK, QUOTES, STATS, TRADES

T = TypeVar("T")

BATCH = 100
"""Streams in one request: a longer one may be refused for its length."""


@dataclass(frozen=True, slots=True)
class _Request:
    streams: tuple[Stream, ...]
    ends: bool


class BinanceSession:
    """A `Session` of Binance. `native` spells symbols as the venue does."""

    def __init__(self, url: str, native: Callable[[str], str], streams: Sequence[Stream]) -> None:
        self._url = url
        self._native = native
        self._names = parse.Names()
        self._reader = FrameReader(shapes.SHAPES)
        self._learn(streams)
        self._ids = count(1)
        self._open: dict[int, _Request] = {}
        self.numbers = TradeNumbers()

    def dial(self) -> Dial:
        """Return where to connect."""
        return Dial(self._url)

    def opening(self) -> Sequence[Outgoing]:
        """Return nothing: public data needs no greeting."""
        return ()

    def subscribe(self, streams: Sequence[Stream]) -> Sequence[Outgoing]:
        """Return requests of at most `BATCH` streams each."""
        self._learn(streams)
        return self._ask("SUBSCRIBE", streams)

    def unsubscribe(self, streams: Sequence[Stream]) -> Sequence[Outgoing]:
        """Return requests of at most `BATCH` streams each."""
        return self._ask("UNSUBSCRIBE", streams)

    def receive(self, frames: Sequence[Frame]) -> Received:
        """Return what frames came to."""
        split = Split(self._reader, frames)
        groups, bad = self._sorted(split.rest)
        trades, good = self._read(parse.read_trades, groups[TRADES], bad)
        trades = split.joined(TRADES, shapes.make_trades, trades, good, parse.merge_trades)
        quotes, good = self._read(parse.read_quotes, groups[QUOTES], bad)
        quotes = split.joined(
            QUOTES, lambda rows: shapes.make_quotes(rows, frames), quotes, good, merge_rows
        )
        stats, _ = self._read(parse.read_stats, groups[STATS], bad)
        books, good = self._read(parse.read_books, groups[BOOK], bad)
        books = split.joined(BOOK, shapes.make_books, books, good, merge_updates)
        said = [one for frame in groups[parse.OTHER] for one in self._hear(frame.data)]
        if trades is not None:
            said += self.numbers.follow(trades.symbols, trades.ids, trades.ts.tolist())
        found = {TRADES: trades and trades.rows, QUOTES: quotes, STATS: stats}
        return Received(
            {t: rows for t, rows in found.items() if rows is not None}, books, said, bad
        )

    def _learn(self, streams: Sequence[Stream]) -> None:
        names = {self._native(symbol): symbol for symbol, _ in streams}
        self._names.update(names)
        self._reader.names.add(names)

    def _ask(self, method: str, streams: Sequence[Stream]) -> list[Outgoing]:
        asked = []
        for at in range(0, len(streams), BATCH):
            some, number = tuple(streams[at : at + BATCH]), next(self._ids)
            self._open[number] = _Request(some, method == "UNSUBSCRIBE")
            params = [stream_name(self._native(symbol), channel) for symbol, channel in some]
            request = {"method": method, "params": params, "id": number}
            asked.append(Outgoing(msgspec.json.encode(request).decode()))
        return asked

    # -- what comes ---------------------------------------------------------------------------

    def _sorted(self, frames: Sequence[Frame]) -> tuple[dict[str, list[Frame]], list[BadFrame]]:
        """Return the frames by table, in order, and those that are no JSON of the venue."""
        groups = parse.sort_frames(frames)
        others, bad = groups[parse.OTHER], []
        if not others:
            return groups, []
        groups[parse.OTHER] = []
        order = {id(frame): place for place, frame in enumerate(frames)}
        for frame in others:
            table, _, unread = sift([frame], _table_at_leisure, _table_of)
            bad += unread
            if table is not None:
                groups[table].append(frame)
                groups[table].sort(key=lambda one: order[id(one)])
        return groups, bad

    def _read(
        self,
        read: Callable[[Sequence[Frame], Mapping[str, str]], T],
        frames: Sequence[Frame],
        bad: list[BadFrame],
    ) -> tuple[T, Sequence[Frame]]:
        """Return what good frames say, and these."""
        found, good, unread = sift(frames, lambda these: read(these, self._names), _table_of)
        bad += unread
        return found, good

    def _hear(self, data: bytes) -> list[Said]:
        """Return what an answer or a notice says."""
        frame = wire.decode_any(data)
        if frame.stream == "!serverShutdown":
            return [Leaving("the venue shuts this server down")]
        request = self._open.pop(frame.id, None) if isinstance(frame.id, int) else None
        fault = frame.error or (wire.Fault(frame.msg, frame.code) if frame.code else None)
        if fault is not None:
            return self._refused(request, fault)
        if request is None:
            return []
        for symbol, channel in request.streams if request.ends else ():
            if channel == TRADES:
                self.numbers.forget(symbol)
        return [Confirmed(request.streams, request.ends)]

    def _refused(self, request: _Request | None, fault: wire.Fault) -> list[Said]:
        if request is not None and request.ends:
            return []
        streams = () if request is None else request.streams
        reason = f"{fault.msg} (code {fault.code})"
        return [Refused(streams, reason, passing="too many" in fault.msg.lower())]


def stream_name(native: str, channel: Channel) -> str:
    """Return what the venue calls a channel of an instrument."""
    return f"{native.lower()}@{parse.STREAMS[channel]}"


def _table_at_leisure(frames: Sequence[Frame]) -> str | None:
    return parse.table_of(frames[0].data) if frames else None


def _table_of(data: bytes) -> str:
    """Return the table that a bad frame was for, as far as it tells."""
    groups = parse.sort_frames([Frame(0, data)])
    table = next(table for table, frames in groups.items() if frames)
    return TRADES if table == parse.OTHER else table
