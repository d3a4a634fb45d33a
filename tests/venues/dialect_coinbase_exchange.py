"""Coinbase Exchange at `/`, and its public REST API, as they speak today."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from venues.dialect import Answer, Dialect, Link, Refused, Request, Wire
from venues.venue_truth import Event, Instrument, Trade, text

INSTRUMENTS = [
    Instrument(f"{base}-USD", f"{base}-USD", base, "USD", Decimal(tick), Decimal("0.00000001"))
    for base, tick in (("BTC", "0.01"), ("ETH", "0.01"), ("DOGE", "0.00001"))
]
CHANNELS = {"matches": "trades", "ticker": "quotes", "level2_batch": "book"}
LISTED = {"trades": "matches", "quotes": "ticker", "book": "level2_50"}
PAGE = 1_000


class CoinbaseExchange(Dialect):
    history = ("/trades",)

    # -- connections --------------------------------------------------------------------------

    def admit(self, link: Link) -> None:
        if link.path not in ("", "/"):
            raise Refused(404)

    def opened(self, link: Link) -> list[Wire]:
        link.state["beating"] = set()
        return []

    def heard(self, link: Link, frame: Wire) -> list[Wire]:
        spoken = json.loads(frame)
        kind, names = spoken.get("type"), spoken.get("channels", [])
        if kind not in ("subscribe", "unsubscribe"):
            return [_error("Type has to be either subscribe or unsubscribe")]
        if {"level2", "level3", "full"} & set(names):
            return [_error("Failed to subscribe", "level2, level3, and full need authentication")]
        found = [self.truth.native(native) for native in spoken["product_ids"]]
        symbols = [one.symbol for one in found if one is not None]
        streams = [(s, CHANNELS[name]) for name in names if name in CHANNELS for s in symbols]
        if kind == "unsubscribe":
            link.streams -= set(streams)
            return [self._subscriptions(link)]
        reasons = [self.house.refusal(*stream) for stream in streams]
        if len(symbols) < len(found) or any(reasons):
            reason = next(filter(None, reasons), "a product is not known")
            return [_error("Failed to subscribe", reason)]
        link.streams |= set(streams)
        if "heartbeat" in names:
            link.state["beating"] |= set(symbols)
        first = [self._first(*stream) for stream in streams]
        return [self._subscriptions(link), *filter(None, first)]

    def _first(self, symbol: str, channel: str) -> Wire | None:
        native = self.truth.instruments[symbol].native
        if channel == "trades":
            past = self.truth.trades[symbol][-1:]
            return _dumps(self._match("last_match", native, past[0])) if past else None
        if channel == "quotes":
            quotes = self.truth.quotes[symbol][-1:]
            return _dumps(self._ticker(native, quotes[0])) if quotes else None
        book = self.truth.books[symbol]
        shown: dict[str, Any] = {"type": "snapshot", "product_id": native}
        for key, side in (("asks", "ask"), ("bids", "bid")):
            shown[key] = [[text(p), text(q)] for p, q in book.best(side)]
        return _dumps(shown | {"time": _time(self.truth.now())})

    def _subscriptions(self, link: Link) -> Wire:
        channels = [
            {"name": name, "product_ids": products, "account_ids": None}
            for channel, name in LISTED.items()
            if (products := sorted(self._products(link, channel)))
        ]
        beating = [self.truth.instruments[symbol].native for symbol in link.state["beating"]]
        if beating:
            channels.append({"name": "heartbeat", "product_ids": beating, "account_ids": None})
        return _dumps({"type": "subscriptions", "channels": channels})

    def _products(self, link: Link, channel: str) -> list[str]:
        return [self.truth.instruments[s].native for s, c in link.streams if c == channel]

    def heartbeat(self, link: Link) -> list[Wire]:
        return [
            _dumps(
                {
                    "type": "heartbeat",
                    "last_trade_id": past[-1].id if (past := self.truth.trades[symbol]) else 0,
                    "product_id": self.truth.instruments[symbol].native,
                    "sequence": 1_000,
                    "time": _time(self.truth.now()),
                }
            )
            for symbol in sorted(link.state["beating"])
        ]

    def limited(self, link: Link) -> list[Wire]:
        return [_error("rate limit exceeded")]

    # -- events -------------------------------------------------------------------------------

    def told(self, link: Link, events: Sequence[Event], *, corrupt: bool = False) -> list[Wire]:
        symbol, channel = events[0].stream
        native = self.truth.instruments[symbol].native
        if channel == "trades":
            return [_dumps(self._match("match", native, event.value)) for event in events]
        if channel == "quotes":
            return [_dumps(self._ticker(native, event.value)) for event in events]
        levels = [level for event in events for level in event.value.levels]
        changes = [["buy" if s == "bid" else "sell", text(p), text(q)] for s, p, q in levels]
        time = _time(events[-1].value.ts)
        said = {"type": "l2update", "product_id": native, "changes": changes, "time": time}
        return [_dumps(said)]

    def _match(self, kind: str, native: str, trade: Trade) -> dict[str, Any]:
        return {
            "type": kind,
            "trade_id": trade.id,
            "maker_order_id": "00000000-0000-0000-0000-000000000001",
            "taker_order_id": "00000000-0000-0000-0000-000000000002",
            **self._past(trade),
            "product_id": native,
            "sequence": 1_000 + trade.id,
        }

    def _past(self, trade: Trade) -> dict[str, Any]:
        return {
            "trade_id": trade.id,
            "side": "sell" if trade.side == "buy" else "buy",  # the maker's
            "size": text(trade.size),
            "price": text(trade.price),
            "time": _time(trade.ts),
        }

    def _ticker(self, native: str, quote: Any) -> dict[str, Any]:
        return {
            "type": "ticker",
            "sequence": 1_000,
            "product_id": native,
            "price": text(quote.bid),
            "best_bid": text(quote.bid),
            "best_bid_size": text(quote.bid_size),
            "best_ask": text(quote.ask),
            "best_ask_size": text(quote.ask_size),
            "side": "buy",
            "time": _time(quote.ts),
            "trade_id": 1,
            "last_size": "1",
        }

    # -- REST ---------------------------------------------------------------------------------

    def http(self, request: Request) -> Answer:
        if request.path == "/products":
            return Answer([self._product(one) for one in self.truth.instruments.values()])
        _, _, rest = request.path.partition("/products/")
        native, _, what = rest.partition("/")
        of = self.truth.native(native)
        if of is None or what not in ("trades", "book"):
            return Answer({"message": "NotFound"}, 404)
        if what == "book":
            return self._book(of)
        after = int(request.query.get("after", 1 << 62))
        limit = min(int(request.query.get("limit", PAGE)), PAGE)
        past = [trade for trade in self.truth.trades[of.symbol] if trade.id < after]
        return Answer([self._past(trade) for trade in past[::-1][:limit]])

    def _book(self, of: Instrument) -> Answer:
        book = self.truth.books[of.symbol]
        shown: dict[str, Any] = {"sequence": 1_000, "time": _time(self.truth.now())}
        for key, side in (("bids", "bid"), ("asks", "ask")):
            shown[key] = [[text(p), text(q), 1] for p, q in book.best(side)]
        return Answer(shown)

    def _product(self, one: Instrument) -> dict[str, Any]:
        return {
            "id": one.native,
            "base_currency": one.base,
            "quote_currency": one.quote,
            "quote_increment": text(one.tick),
            "base_increment": text(one.lot),
            "status": "online",
            "trading_disabled": False,
        }


def _error(message: str, reason: str = "") -> str:
    return _dumps({"type": "error", "message": message, "reason": reason})


def _dumps(said: Any) -> str:
    return json.dumps(said, separators=(",", ":"))


def _time(ts: int) -> str:
    seconds, rest = divmod(ts, 10**9)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest // 1000:06d}Z"


def make(truth: Any, house: Any, options: Any) -> CoinbaseExchange:
    return CoinbaseExchange(truth, house, options)
