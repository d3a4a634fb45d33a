"""One connection to Binance: subscriptions by number, and trades by their numbers.

    frames ─► by kind, each with the bad ones taken out ─► rows, updates of books
         └─► what is left: answers to SUBSCRIBE and UNSUBSCRIBE, the notice of a shutdown

The numbers of aggregate trades of a symbol follow one another without a hole: one that is missing
was not delivered. What is older than the last came late or twice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any, TypeVar

import msgspec
import numpy as np

from tickplant.feeds.venues.binance import parse, wire
from tickplant.feeds.venues.columns import UNREADABLE, sift
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
    Skipped,
    Stream,
)
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
        self._learn(streams)
        self._ids = count(1)
        self._open: dict[int, _Request] = {}
        self._last: dict[str, tuple[int, int]] = {}  # number and time of each symbol's last trade

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
        groups, bad = self._sorted(frames)
        trades = self._read(parse.read_trades, groups.get(TRADES, ()), bad)
        found = {
            TRADES: None if trades is None else trades.rows,
            QUOTES: self._read(parse.read_quotes, groups.get(QUOTES, ()), bad),
            STATS: self._read(parse.read_stats, groups.get(STATS, ()), bad),
        }
        books = self._read(parse.read_books, groups.get(BOOK, ()), bad)
        said = [one for frame in groups.get(parse.OTHER, ()) for one in self._hear(frame.data)]
        if trades is not None:
            said += self._follow(trades)
        return Received(
            {t: rows for t, rows in found.items() if rows is not None}, books, said, bad
        )

    def _learn(self, streams: Sequence[Stream]) -> None:
        self._names.update((self._native(symbol), symbol) for symbol, _ in streams)

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
        """Return the frames by kind, in order, and those that are no JSON of the venue."""
        groups: dict[str, list[Frame]] = {}
        bad: list[BadFrame] = []
        for frame, kind in zip(frames, parse.kinds_of(frames), strict=True):
            if kind is parse.OTHER:
                sorted_out, _, unread = sift([frame], _kind_at_leisure, _table_of)
                bad += unread
                if unread or sorted_out is None:
                    continue
                groups.setdefault(sorted_out, []).append(frame)
            else:
                groups.setdefault(kind, []).append(frame)
        return groups, bad

    def _read(
        self,
        read: Callable[[Sequence[Frame], Mapping[str, str]], T],
        frames: Sequence[Frame],
        bad: list[BadFrame],
    ) -> T:
        found, _, unread = sift(frames, lambda these: read(these, self._names), _table_of)
        bad += unread
        return found

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
                self._last.pop(symbol, None)
        return [Confirmed(request.streams, request.ends)]

    def _refused(self, request: _Request | None, fault: wire.Fault) -> list[Said]:
        if request is not None and request.ends:
            return []
        streams = () if request is None else request.streams
        reason = f"{fault.msg} (code {fault.code})"
        return [Refused(streams, reason, passing="too many" in fault.msg.lower())]

    # -- what does not come -------------------------------------------------------------------

    def _follow(self, trades: parse.TradesRead) -> list[Skipped]:
        """Return the holes in the numbers of trades, symbol by symbol."""
        holes: list[Skipped] = []
        for symbol, ids, ts in _by_symbol(trades):
            before = self._last.get(symbol, (int(ids[0]), int(ts[0])))
            numbers, times = np.append(before[0], ids), np.append(before[1], ts)
            # A number below an earlier one came late: it neither makes a hole nor fills one.
            new = np.append(True, numbers[1:] > np.maximum.accumulate(numbers)[:-1])
            numbers, times = numbers[new], times[new]
            self._last[symbol] = int(numbers[-1]), int(times[-1])
            places = np.flatnonzero(np.diff(numbers) > 1).tolist()
            holes += [_hole(symbol, numbers, times, at) for at in places]
        return holes


def stream_name(native: str, channel: Channel) -> str:
    """Return what the venue calls a channel of an instrument."""
    return f"{native.lower()}@{parse.STREAMS[channel]}"


def _by_symbol(trades: parse.TradesRead) -> list[tuple[str, Any, Any]]:
    places: dict[str, int] = {}
    codes = np.array([places.setdefault(symbol, len(places)) for symbol in trades.symbols])
    if len(places) == 1:
        return [(trades.symbols[0], trades.ids, trades.ts)]
    order = np.argsort(codes, kind="stable")
    starts = np.searchsorted(codes[order], np.arange(1, len(places)))
    return [
        (symbol, trades.ids[some], trades.ts[some])
        for symbol, some in zip(places, np.split(order, starts), strict=True)
    ]


def _hole(symbol: str, ids: Any, ts: Any, at: int) -> Skipped:
    """Return the hole behind place `at`.

    What is missing may have happened in the same millisecond as its neighbours, which therefore
    lie inside; that they are fetched again does no harm.
    """
    first, last = int(ids[at]) + 1, int(ids[at + 1]) - 1
    start, end = int(ts[at]), int(ts[at + 1])
    detail = f"aggregate trades {first} to {last} were not delivered"
    streams = (Stream(symbol, "trades"),)
    return Skipped(streams, min(start, end) - 1, max(start, end) + 1, detail, first, last)


def _kind_at_leisure(frames: Sequence[Frame]) -> str | None:
    """Return the kind of a frame that its first bytes do not tell, None for one of no use."""
    if not frames:
        return None
    frame = wire.decode_any(frames[0].data)
    if isinstance(frame.data, msgspec.UnsetType) or frame.stream.startswith("!"):
        return parse.OTHER
    return KINDS_BY_STREAM.get(frame.stream.partition("@")[2].partition("@")[0])


KINDS_BY_STREAM = {name.partition("@")[0]: kind for kind, name in parse.STREAMS.items()}


def _table_of(data: bytes) -> str:
    """Return the table that a bad frame was for, as far as it tells."""
    try:
        kind = parse.kinds_of([Frame(0, data)])[0]
    except UNREADABLE:
        return TRADES
    return TRADES if kind == parse.OTHER else kind
