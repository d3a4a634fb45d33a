"""Coinbase Advanced Trade at `/`, and its public REST API, as they speak today.

Every message of a link has the next `sequence_num`, also one that a fault then drops.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from venues.dialect import Answer, Dialect, Link, Refused, Request, Wire
from venues.venue_truth import Event, Instrument, Trade, text

INSTRUMENTS = [
    Instrument(f"{base}-USD", f"{base}-USD", base, "USD", Decimal(tick), Decimal("0.00000001"))
    for base, tick in (("BTC", "0.01"), ("ETH", "0.01"), ("DOGE", "0.00001"))
]
CHANNELS = {"market_trades": "trades", "ticker": "quotes", "level2": "book"}
PAGE = 1_000
SNAPSHOT_TRADES = 100


class Coinbase(Dialect):
    history = ("/ticker",)

    # -- connections --------------------------------------------------------------------------

    def admit(self, link: Link) -> None:
        if link.path not in ("", "/"):
            raise Refused(404)

    def opened(self, link: Link) -> list[Wire]:
        link.state.update(number=0, beats=0, heartbeats=False)
        return []

    def heard(self, link: Link, frame: Wire) -> list[Wire]:
        spoken = json.loads(frame)
        kind, channel = spoken.get("type"), spoken.get("channel")
        if kind not in ("subscribe", "unsubscribe"):
            return [_error("subscribe or unsubscribe required")]
        if channel == "heartbeats":
            link.state["heartbeats"] = kind == "subscribe"
            return [self._subscriptions(link)]
        streams = [
            (one.symbol, CHANNELS[channel])
            for native in spoken.get("product_ids", ())
            if channel in CHANNELS and (one := self.truth.native(native)) is not None
        ]
        if kind == "unsubscribe":
            link.streams -= set(streams)
            return [self._subscriptions(link)]
        reasons = [self.house.refusal(*stream) for stream in streams]
        if not streams or any(reasons):
            return [_error(next(filter(None, reasons), "channel or product is not known"))]
        link.streams |= set(streams)
        snapshots = [self._snapshot(link, *stream) for stream in streams]
        return [*filter(None, snapshots), self._subscriptions(link)]

    def _snapshot(self, link: Link, symbol: str, channel: str) -> Wire | None:
        native = self.truth.instruments[symbol].native
        if channel == "trades":
            past = self.truth.trades[symbol][-SNAPSHOT_TRADES:][::-1]
            event = {"type": "snapshot", "trades": [self._trade(native, one) for one in past]}
            return self._message(link, "market_trades", [event])
        if channel == "quotes":
            quotes = self.truth.quotes[symbol][-1:]
            told = [self._quote(native, quote) for quote in quotes]
            event = {"type": "snapshot", "tickers": told}
            return self._message(link, "ticker", [event]) if told else None
        book = self.truth.books[symbol]
        levels = [(side, p, q) for side in ("bid", "ask") for p, q in book.best(side)]
        return self._message(link, "l2_data", [self._book("snapshot", native, levels)])

    def _subscriptions(self, link: Link) -> Wire:
        listed: dict[str, list[str]] = {"heartbeats": ["heartbeats"]}
        if not link.state["heartbeats"]:
            listed = {}
        for name, channel in CHANNELS.items():
            products = [self.truth.instruments[s].native for s, c in link.streams if c == channel]
            if products:
                listed[name] = sorted(products)
        return self._message(link, "subscriptions", [{"subscriptions": listed}])

    def heartbeat(self, link: Link) -> list[Wire]:
        if not link.state["heartbeats"]:
            return []
        link.state["beats"] += 1
        now = _time(self.truth.now()).replace("T", " ").replace("Z", " +0000 UTC m=+1.5")
        event = {"current_time": now, "heartbeat_counter": link.state["beats"]}
        return [self._message(link, "heartbeats", [event])]

    def limited(self, link: Link) -> list[Wire]:
        return [_error("rate limit exceeded")]

    def _message(self, link: Link, channel: str, events: list[Any], ts: int | None = None) -> str:
        number = link.state["number"]
        link.state["number"] += 1
        return _dumps(
            {
                "channel": channel,
                "client_id": "",
                "timestamp": _time(self.truth.now() if ts is None else ts),
                "sequence_num": number,
                "events": events,
            }
        )

    # -- events -------------------------------------------------------------------------------

    def told(self, link: Link, events: Sequence[Event], *, corrupt: bool = False) -> list[Wire]:
        symbol, channel = events[0].stream
        native = self.truth.instruments[symbol].native
        ts = events[-1].value.ts
        if channel == "trades":
            trades = [self._trade(native, event.value) for event in reversed(events)]
            event = {"type": "update", "trades": trades}
            return [self._message(link, "market_trades", [event], ts)]
        if channel == "quotes":
            quotes = [self._quote(native, event.value) for event in events]
            return [self._message(link, "ticker", [{"type": "update", "tickers": quotes}], ts)]
        levels = [level for event in events for level in event.value.levels]
        return [self._message(link, "l2_data", [self._book("update", native, levels, ts)], ts)]

    def _trade(self, native: str, trade: Trade) -> dict[str, str]:
        return {
            "trade_id": str(trade.id),
            "product_id": native,
            "price": text(trade.price),
            "size": text(trade.size),
            "side": "SELL" if trade.side == "buy" else "BUY",  # the maker's
            "time": _time(trade.ts),
        }

    def _quote(self, native: str, quote: Any) -> dict[str, str]:
        return {
            "type": "ticker",
            "product_id": native,
            "price": text(quote.bid),
            "best_bid": text(quote.bid),
            "best_bid_quantity": text(quote.bid_size),
            "best_ask": text(quote.ask),
            "best_ask_quantity": text(quote.ask_size),
        }

    def _book(
        self, kind: str, native: str, levels: Sequence[Any], ts: int | None = None
    ) -> dict[str, Any]:
        time = _time(self.truth.now() if ts is None else ts)
        updates = [
            {
                "side": "bid" if side == "bid" else "offer",
                "event_time": time,
                "price_level": text(price),
                "new_quantity": text(size),
            }
            for side, price, size in levels
        ]
        return {"type": kind, "product_id": native, "updates": updates}

    # -- REST ---------------------------------------------------------------------------------

    def http(self, request: Request) -> Answer:
        path = request.path.removeprefix("/api/v3/brokerage/market/")
        if path == "products":
            shown = [self._product(one) for one in self.truth.instruments.values()]
            return Answer({"products": shown, "num_products": len(shown)})
        if path == "product_book":
            return self._product_book(request.query)
        of = self.truth.native(path.removeprefix("products/").removesuffix("/ticker"))
        if not path.endswith("/ticker") or of is None:
            return Answer({"error": "NOT_FOUND", "message": "valid product_id is required"}, 404)
        start, end = int(request.query.get("start", 0)), int(request.query.get("end", 1 << 40))
        limit = min(int(request.query["limit"]), PAGE)
        past = [t for t in self.truth.trades[of.symbol] if start * 10**9 <= t.ts <= end * 10**9]
        shown = [self._trade(of.native, one) | {"bid": "", "ask": ""} for one in past[::-1][:limit]]
        return Answer({"trades": shown, "best_bid": "1", "best_ask": "2"})

    def _product_book(self, query: Mapping[str, str]) -> Answer:
        of = self.truth.native(query["product_id"])
        if of is None:
            return Answer({"error": "NOT_FOUND"}, 404)
        book = self.truth.books[of.symbol]
        shown: dict[str, Any] = {"product_id": of.native, "time": _time(self.truth.now())}
        for key, side in (("bids", "bid"), ("asks", "ask")):
            best = book.best(side, int(query.get("limit", 500)))
            shown[key] = [{"price": text(p), "size": text(q)} for p, q in best]
        return Answer({"pricebook": shown})

    def _product(self, one: Instrument) -> dict[str, Any]:
        return {
            "product_id": one.native,
            "base_increment": text(one.lot),
            "quote_increment": text(one.tick),
            "price_increment": text(one.tick),
            "base_currency_id": one.base,
            "quote_currency_id": one.quote,
            "product_type": "SPOT",
            "status": "online",
            "is_disabled": False,
            "trading_disabled": False,
        }


def _error(message: str) -> str:
    return _dumps({"type": "error", "message": message})


def _dumps(said: Any) -> str:
    return json.dumps(said, separators=(",", ":"))


def _time(ts: int) -> str:
    seconds, rest = divmod(ts, 10**9)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"


def make(truth: Any, house: Any, options: Any) -> Coinbase:
    return Coinbase(truth, house, options)
