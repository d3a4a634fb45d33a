"""Kraken's WebSocket API, version 2, at `/v2`, and its REST API, as they speak today.

Each link has its own view of a book, cut to the depth that it subscribed to: a level that comes
into the view is told, one that falls out of it is not.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from venues.dialect import Answer, Dialect, Link, Refused, Request, Wire
from venues.venue_truth import Event, Instrument, Trade, text

INSTRUMENTS = [
    Instrument(f"{base}-USD", f"{base}/USD", base, "USD", Decimal(tick), Decimal(lot))
    for base, tick, lot in (
        ("BTC", "0.1", "0.00000001"),
        ("ETH", "0.01", "0.00000001"),
        ("DOGE", "0.0000001", "0.00000001"),
    )
]
CHANNELS = {"trade": "trades", "ticker": "quotes", "book": "book"}
OLD = {"BTC": "XBT", "DOGE": "XDG"}
DEPTHS = (10, 25, 100, 500, 1000)
PAGE = 1_000
View = dict[str, dict[Decimal, Decimal]]


class Kraken(Dialect):
    history = ("Trades",)

    # -- connections --------------------------------------------------------------------------

    def admit(self, link: Link) -> None:
        if link.path != "/v2":
            raise Refused(404)

    def opened(self, link: Link) -> list[Wire]:
        link.state["views"] = {}
        status = {"system": "online", "api_version": "v2", "connection_id": link.number}
        return [_message("status", "update", [{**status, "version": "2.0.10"}])]

    def heard(self, link: Link, frame: Wire) -> list[Wire]:
        spoken = json.loads(frame)
        method, params = spoken.get("method"), spoken.get("params", {})
        base = {"method": method, "req_id": spoken.get("req_id"), **self._stamps()}
        if method == "ping":
            return [_dumps({**base, "method": "pong"})]
        channel = params.get("channel")
        if channel == "instrument":
            result = {"channel": "instrument", "snapshot": True}
            return [_dumps({**base, "result": result, "success": True}), self._instruments()]
        if method not in ("subscribe", "unsubscribe") or channel not in CHANNELS:
            return [_dumps({**base, "error": "Malformed request", "success": False})]
        return [
            one
            for native in params["symbol"]
            for one in self._ask(link, base, channel, native, params)
        ]

    def _ask(
        self, link: Link, base: dict[str, Any], channel: str, native: str, params: Any
    ) -> list[Wire]:
        instrument = self.truth.native(native)
        reason = None if instrument else f"Currency pair not supported {native}"
        if channel == "book" and params.get("depth", 10) not in DEPTHS:
            reason = "Subscription book depth not supported"
        if instrument and reason is None and base["method"] == "subscribe":
            reason = self.house.refusal(instrument.symbol, CHANNELS[channel])
        if instrument is None or reason is not None:
            return [_dumps({**base, "error": reason, "success": False, "symbol": native})]
        stream = instrument.symbol, CHANNELS[channel]
        result = {"channel": channel, "symbol": native, "snapshot": bool(params.get("snapshot"))}
        taken = _dumps({**base, "result": result, "success": True})
        if base["method"] == "unsubscribe":
            link.streams.discard(stream)
            link.state["views"].pop(instrument.symbol, None)
            return [taken]
        link.streams.add(stream)
        wanted = params.get("snapshot", channel != "trade")
        return [taken, *(self._snapshot(link, channel, instrument, params) if wanted else ())]

    def _snapshot(self, link: Link, channel: str, of: Instrument, params: Any) -> list[Wire]:
        if channel == "trade":
            past = self.truth.trades[of.symbol][-50:]
            return [_message("trade", "snapshot", [self._trade(of, one) for one in past])]
        if channel == "ticker":
            quotes = self.truth.quotes[of.symbol][-1:]
            return [_message("ticker", "snapshot", [self._quote(of, one)]) for one in quotes]
        depth = params.get("depth", 10)
        view = self._view(of, depth)
        link.state["views"][of.symbol] = depth, view
        levels = {side: list(sizes.items()) for side, sizes in view.items()}
        return [_message("book", "snapshot", [self._levels(of, levels, self.truth.now())])]

    def heartbeat(self, link: Link) -> list[Wire]:
        return [_dumps({"channel": "heartbeat"})] if link.streams else []

    def limited(self, link: Link) -> list[Wire]:
        return [_dumps({"Error": "Exceeded msg rate"})]

    def _stamps(self) -> dict[str, str]:
        now = _time(self.truth.now())
        return {"time_in": now, "time_out": now}

    def _instruments(self) -> Wire:
        pairs = [
            {
                "symbol": one.native,
                "base": one.base,
                "quote": one.quote,
                "status": "online",
                "price_precision": _decimals(one.tick),
                "qty_precision": _decimals(one.lot),
                "price_increment": float(one.tick),
                "qty_increment": float(one.lot),
            }
            for one in self.truth.instruments.values()
        ]
        return _message("instrument", "snapshot", {"assets": [], "pairs": pairs})

    # -- events -------------------------------------------------------------------------------

    def told(self, link: Link, events: Sequence[Event], *, corrupt: bool = False) -> list[Wire]:
        symbol, channel = events[0].stream
        of = self.truth.instruments[symbol]
        if channel == "book":
            return self._changes(link, of, events[-1].value.ts, corrupt)
        if channel == "trades":
            trades = [self._trade(of, event.value) for event in events]
            return [_message("trade", "update", trades)]
        return [_message("ticker", "update", [self._quote(of, event.value)]) for event in events]

    def _trade(self, of: Instrument, trade: Trade) -> dict[str, Any]:
        return {
            "symbol": of.native,
            "side": trade.side,
            "price": _Number(_at(trade.price, of.tick)),
            "qty": _Number(_at(trade.size, of.lot)),
            "ord_type": "limit",
            "trade_id": trade.id,
            "timestamp": _time(trade.ts),
        }

    def _quote(self, of: Instrument, quote: Any) -> dict[str, Any]:
        sides = {"bid": quote.bid, "ask": quote.ask}
        sizes = {"bid_qty": quote.bid_size, "ask_qty": quote.ask_size}
        return {
            "symbol": of.native,
            **{name: _Number(_at(price, of.tick)) for name, price in sides.items()},
            **{name: _Number(_at(size, of.lot)) for name, size in sizes.items()},
            "last": 0,
            "volume": 0,
            "timestamp": _time(quote.ts),
        }

    def _view(self, of: Instrument, depth: int) -> View:
        book = self.truth.books[of.symbol]
        return {side: dict(book.best(side, depth)) for side in ("bid", "ask")}

    def _changes(self, link: Link, of: Instrument, ts: int, corrupt: bool) -> list[Wire]:
        """What the view of this link has become: what left the book, what changed or came in."""
        depth, before = link.state["views"][of.symbol]
        after = self._view(of, depth)
        book = self.truth.books[of.symbol]
        levels = {}
        for side in ("bid", "ask"):
            gone = [(price, Decimal(0)) for price in before[side] if price not in book.side(side)]
            new = [one for one in after[side].items() if before[side].get(one[0]) != one[1]]
            levels[side] = gone + new
        link.state["views"][of.symbol] = depth, after
        if not levels["bid"] and not levels["ask"]:
            return []
        told = self._levels(of, levels, ts)
        if corrupt:
            told["checksum"] ^= 1
        return [_message("book", "update", [told])]

    def _levels(
        self, of: Instrument, levels: dict[str, list[tuple[Decimal, Decimal]]], ts: int
    ) -> dict[str, Any]:
        return {
            "symbol": of.native,
            **{
                f"{side}s": [
                    {"price": _Number(_at(p, of.tick)), "qty": _Number(_at(q, of.lot))}
                    for p, q in levels[side]
                ]
                for side in ("bid", "ask")
            },
            "checksum": self._checksum(of),
            "timestamp": _time(ts),
        }

    def _checksum(self, of: Instrument) -> int:
        book = self.truth.books[of.symbol]
        best = [*book.best("ask", 10), *book.best("bid", 10)]
        texts = [(_at(price, of.tick), _at(size, of.lot)) for price, size in best]
        digits = [one.replace(".", "").lstrip("0") for level in texts for one in level]
        return zlib.crc32("".join(digits).encode())

    # -- REST ---------------------------------------------------------------------------------

    def http(self, request: Request) -> Answer:
        if request.path == "/0/public/AssetPairs":
            pairs = {_rest(one): self._pair(one) for one in self.truth.instruments.values()}
            return Answer({"error": [], "result": pairs})
        if request.path == "/0/public/Assets":
            return Answer({"error": [], "result": self._assets()})
        if request.path == "/0/public/Trades":
            return Answer(self._past(request))
        return super().http(request)

    def too_many(self, request: Request, retry_after_s: int) -> Answer:
        return Answer({"error": ["EGeneral:Too many requests"]}, 429)

    def _assets(self) -> dict[str, Any]:
        coins = [OLD.get(one.base, one.base) for one in self.truth.instruments.values()]
        named = {f"X{coin}": coin for coin in coins} | {"ZUSD": "USD"}
        shared = {"aclass": "currency", "decimals": 10, "display_decimals": 5}
        return {name: {**shared, "altname": alt} for name, alt in named.items()}

    def _pair(self, one: Instrument) -> dict[str, Any]:
        base = OLD.get(one.base, one.base)
        return {
            "altname": base + one.quote,
            "wsname": f"{base}/{one.quote}",
            "aclass_base": "currency",
            "base": f"X{base}",
            "aclass_quote": "currency",
            "quote": f"Z{one.quote}",
            "fees": [[0, 0.4]],
            "fees_maker": [[0, 0.25]],
            "ordermin": "0.0001",
            "costmin": "0.5",
            "leverage_buy": [],
            "leverage_sell": [],
            "pair_decimals": _decimals(one.tick),
            "lot_decimals": _decimals(one.lot),
            "tick_size": text(one.tick),
            "status": "online",
        }

    def _past(self, request: Request) -> dict[str, Any]:
        wanted = request.query["pair"]
        of = next((o for o in self.truth.instruments.values() if wanted == _rest(o)), None)
        if of is None:
            return {"error": ["EQuery:Unknown asset pair"]}
        count, since = int(request.query.get("count", PAGE)), int(request.query.get("since", 0))
        past = [one for one in self.truth.trades[of.symbol] if one.ts > since][: min(count, PAGE)]
        rows = [
            [
                _at(one.price, of.tick),
                _at(one.size, of.lot),
                _Number(f"{Decimal(one.ts) / 10**9:.9f}"),
                one.side[0],
                "l",
                "",
                one.id,
            ]
            for one in past
        ]
        last = str(past[-1].ts if past else since)
        return {"error": [], "result": {_rest(of): rows, "last": last}}


class _Number(str):
    """A number to be written with just these digits."""


def _dumps(said: Any) -> str:
    """JSON as the venue writes it: without blanks, numbers with all their digits."""
    if isinstance(said, _Number):
        return str(said)
    if isinstance(said, dict):
        return "{" + ",".join(f"{json.dumps(k)}:{_dumps(v)}" for k, v in said.items()) + "}"
    if isinstance(said, list):
        return "[" + ",".join(map(_dumps, said)) + "]"
    return json.dumps(said)


def _message(channel: str, kind: str, data: Any) -> str:
    return _dumps({"channel": channel, "type": kind, "data": data})


def _at(value: Decimal, unit: Decimal) -> str:
    return text(value.quantize(unit))


def _decimals(unit: Decimal) -> int:
    return max(-int(unit.as_tuple().exponent), 0)


def _rest(one: Instrument) -> str:
    return OLD.get(one.base, one.base) + one.quote


def _time(ts: int) -> str:
    seconds, rest = divmod(ts, 10**9)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest // 1000:06d}Z"


def make(truth: Any, house: Any, options: Any) -> Kraken:
    return Kraken(truth, house, options)
