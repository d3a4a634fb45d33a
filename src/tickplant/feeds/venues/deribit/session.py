"""One connection to Deribit: JSON-RPC requests, heartbeats, trades that never came.

Books find holes themselves, by `prev_change_id`. Of trades, `trade_seq` counts those of an
instrument. One channel, `ticker`, carries two streams, quotes and statistics: it is subscribed to
for the first of them and ended with the last. Statistics are told again only where they changed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import pyarrow as pa

from tickplant.feeds.venues.columns import sift
from tickplant.feeds.venues.contract import (
    Channel,
    Confirmed,
    Dial,
    Frame,
    Heartbeat,
    Outgoing,
    Received,
    Refused,
    Reply,
    Said,
    Stream,
)
from tickplant.feeds.venues.deribit import parse, wire
from tickplant.feeds.venues.numbers import TradeNumbers
from tickplant.feeds.venues.options import Account
from tickplant.model.events import QUOTES, STATS
from tickplant.model.times import NS_PER_MS

NATIVE_CHANNELS: dict[Channel, str] = {
    "trades": "trades",
    "quotes": "ticker",
    "book": "book",
    "stats": "ticker",
}
HEARTBEAT_S = 30
BATCHED_NS = 200_000_000
"""How much older than an answer what comes after it may be: channels are sent every 100 ms."""

PASSING = (10028, 10040, 10041, 10047, 11051, 13028)
"""Codes of errors that pass: too many requests, retry, settlement, overload, maintenance."""

TEST, LOGIN, OWN = 1, 2, 3
FIRST_ID = 10


@dataclass(frozen=True, slots=True)
class _Request:
    streams: dict[str, tuple[Stream, ...]]  # by the venue's channel
    ends: bool


class DeribitSession:
    """A `Session` of Deribit.

    With an account it asks for every change, without one for those of 100 ms together.
    """

    def __init__(
        self,
        url: str,
        native: Callable[[str], str],
        account: Account,
        streams: Sequence[Stream] = (),
    ) -> None:
        self._url = url
        self._native = native
        self._account = account
        self._interval = "raw" if account.key and account.secret else "100ms"
        self._wanted: dict[Stream, None] = dict.fromkeys(streams)
        self._requests: dict[int, _Request] = {}
        self._next_id = FIRST_ID
        self.numbers = TradeNumbers()
        self._told: dict[tuple[str, str], float] = {}

    def dial(self) -> Dial:
        """Return where to connect."""
        return Dial(self._url)

    def opening(self) -> Sequence[Outgoing]:
        """Return the request for heartbeats and, with an account, the one that logs in."""
        opening = [_request(OWN, "public/set_heartbeat", {"interval": HEARTBEAT_S})]
        if self._interval == "raw":
            account = {"client_id": self._account.key, "client_secret": self._account.secret}
            login = {"grant_type": "client_credentials", **account}
            opening.insert(0, _request(LOGIN, "public/auth", login))
        return opening

    def subscribe(self, streams: Sequence[Stream]) -> Sequence[Outgoing]:
        """Return the request for the channels of these streams."""
        self._wanted.update(dict.fromkeys(streams))
        return self._ask("public/subscribe", self._by_channel(streams), ends=False)

    def unsubscribe(self, streams: Sequence[Stream]) -> Sequence[Outgoing]:
        """Return the request that ends the channels which no other stream needs."""
        for stream in streams:
            self._wanted.pop(stream, None)
            if stream.channel == "trades":
                self.numbers.forget(stream.symbol)
            elif stream.channel == "stats":
                self._told = {key: v for key, v in self._told.items() if key[0] != stream.symbol}
        return self._ask("public/unsubscribe", self._by_channel(streams), ends=True)

    def _ask(
        self, method: str, asked: dict[str, tuple[Stream, ...]], *, ends: bool
    ) -> list[Outgoing]:
        number = self._next_id
        self._next_id += 1
        self._requests[number] = _Request(asked, ends)
        needed = set(self._by_channel(list(self._wanted))) if ends else set()
        channels = [channel for channel in asked if channel not in needed]
        return [_request(number, method, {"channels": channels})]

    def _by_channel(self, streams: Sequence[Stream]) -> dict[str, tuple[Stream, ...]]:
        found: dict[str, tuple[Stream, ...]] = {}
        for stream in streams:
            name = NATIVE_CHANNELS[stream.channel]
            channel = f"{name}.{self._native(stream.symbol)}.{self._interval}"
            found[channel] = (*found.get(channel, ()), stream)
        return found

    def receive(self, frames: Sequence[Frame]) -> Received:
        """Return what frames came to."""
        parsed, _, bad = sift(frames, parse.read, parse.table_of)
        trades = parsed.trades
        said: list[Said] = [
            *self.numbers.follow(
                [trade.instrument_name.upper() for trade in trades],
                [trade.trade_seq for trade in trades],
                [trade.timestamp * NS_PER_MS for trade in trades],
            )
        ]
        for message in parsed.messages:
            self._hear(message, said)
        return Received(self._rows(parsed), parsed.books, said, bad)

    def _rows(self, parsed: parse.Parsed) -> dict[str, pa.RecordBatch]:
        rows = dict(parsed.rows)
        quotes = rows.get(QUOTES)
        if quotes is not None:
            wanted = [
                Stream(symbol, "quotes") in self._wanted
                for symbol in quotes.column("symbol").to_pylist()
            ]
            rows[QUOTES] = quotes if all(wanted) else quotes.filter(pa.array(wanted, pa.bool_()))
        if (stats := self._changed(parsed.tickers)) is not None:
            rows[STATS] = stats
        return rows

    def _changed(self, tickers: Sequence[wire.Data]) -> pa.RecordBatch | None:
        found = []
        for ticker in tickers:
            symbol = ticker.instrument_name.upper()
            if Stream(symbol, "stats") not in self._wanted:
                continue
            for name, value in parse.statistics(ticker).items():
                if self._told.get((symbol, name)) != value:
                    self._told[symbol, name] = value
                    found.append((symbol, ticker.timestamp, name, value))
        return parse.stat_rows(found)

    def _hear(self, message: wire.Message, said: list[Said]) -> None:
        if message.method == "heartbeat":
            said.append(Heartbeat())
            if message.params is not None and message.params.type == "test_request":
                said.append(Reply(_request(TEST, "public/test", {})))
        elif message.id is not None and (request := self._requests.pop(message.id, None)):
            self._answered(request, message, said)
        elif message.error is not None:
            said.append(_refused((), message.error))
        elif message.usOut is not None:
            said.append(Heartbeat(message.usOut * 1000 - BATCHED_NS))

    def _answered(self, request: _Request, message: wire.Message, said: list[Said]) -> None:
        streams = _streams(request.streams.values())
        if message.error is not None:
            if not request.ends:
                self._forget(streams)
            said.append(_refused(streams, message.error))
        elif request.ends:
            said.append(Confirmed(streams, ends=True))
        else:
            self._confirm(request, message, said)

    def _confirm(self, request: _Request, message: wire.Message, said: list[Said]) -> None:
        try:
            taken = set(wire.decode_names(message.result))
        except msgspec.MsgspecError:
            taken = set()
        good = _streams(s for channel, s in request.streams.items() if channel in taken)
        left = _streams(s for channel, s in request.streams.items() if channel not in taken)
        if good:
            said.append(Confirmed(good))
        if left:
            self._forget(left)
            said.append(Refused(left, "the venue has not taken these channels"))

    def _forget(self, streams: Sequence[Stream]) -> None:
        for stream in streams:
            self._wanted.pop(stream, None)


def _request(number: int, method: str, params: dict[str, Any]) -> Outgoing:
    request = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
    return Outgoing(msgspec.json.encode(request).decode())


def _refused(streams: Sequence[Stream], fault: wire.Fault) -> Refused:
    reason = f"{fault.message or 'an error'} ({fault.code})"
    return Refused(tuple(streams), reason, fault.code in PASSING)


def _streams(groups: Any) -> tuple[Stream, ...]:
    return tuple(stream for group in groups for stream in group)
