"""Deribit at `/ws/api/v2`, and its public REST API, as they speak today.

One channel, `ticker`, tells quotes and statistics together. Times are whole milliseconds.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from venues.dialect import Answer, Dialect, Link, Refused, Request, Wire
from venues.venue_truth import Event, Instrument, Trade

OPTION = {"strike": 8000.0, "option_type": "put", "expiration_timestamp": 1_821_772_800_000}
INSTRUMENTS = [
    Instrument("BTC-PERPETUAL", "BTC-PERPETUAL", "BTC", "USD", Decimal("0.5"), Decimal("10"),
               "future", {"expiration_timestamp": 32_503_708_800_000}),
    Instrument("BTC-24SEP27-8000-P", "BTC-24SEP27-8000-P", "BTC", "BTC", Decimal("0.0001"),
               Decimal("0.1"), "option", OPTION),
    Instrument("XRP_USDC-24SEP27-0D625-C", "XRP_USDC-24SEP27-0d625-C", "XRP", "USDC",
               Decimal("0.0001"), Decimal("100"), "option",
               OPTION | {"strike": 0.625, "option_type": "call"}),
]  # fmt: skip
CHANNELS = {"trades": ("trades",), "ticker": ("quotes", "stats"), "book": ("book",)}
GREEKS = ("delta", "gamma", "theta", "vega", "rho")
PAGE = 1_000


class Deribit(Dialect):
    history = ("get_last_trades",)

    # -- connections --------------------------------------------------------------------------

    def admit(self, link: Link) -> None:
        if link.path != "/ws/api/v2":
            raise Refused(404)

    def opened(self, link: Link) -> list[Wire]:
        link.state.update(interval="100ms", heartbeats=False)
        return []

    def heard(self, link: Link, frame: Wire) -> list[Wire]:
        spoken = json.loads(frame)
        method, params = spoken["method"], spoken.get("params", {})
        answer = {"jsonrpc": "2.0", "id": spoken["id"]}
        now = self.truth.now() // 1_000
        times = {"usIn": now, "usOut": now, "usDiff": 0, "testnet": False}
        if method == "public/set_heartbeat":
            link.state["heartbeats"] = True
            return [_dumps({**answer, "result": "ok", **times})]
        if method == "public/test":
            return [_dumps({**answer, "result": {"version": "1.2.26"}, **times})]
        if method == "public/auth":
            good = params["client_secret"] == "secret"
            link.state["interval"] = "raw" if good else "100ms"
            fault = {"error": {"code": 13004, "message": "invalid_credentials"}}
            told = {"result": {"access_token": "t", "scope": "connection"}} if good else fault
            return [_dumps({**answer, **told, **times})]
        return self._ask(link, method, params["channels"], {**answer, **times})

    def _ask(
        self, link: Link, method: str, channels: Sequence[str], answer: dict[str, Any]
    ) -> list[Wire]:
        found = [(name, streams) for name in channels if (streams := self._streams(link, name))]
        if method == "public/unsubscribe":
            link.streams -= {stream for _, streams in found for stream in streams}
            return [_dumps({**answer, "result": [name for name, _ in found]})]
        taken = [
            (name, streams)
            for name, streams in found
            if not any(self.house.refusal(*stream) for stream in streams)
        ]
        link.streams |= {stream for _, streams in taken for stream in streams}
        first = [self._first(link, *stream) for _, streams in taken for stream in streams[:1]]
        confirmed = _dumps({**answer, "result": [name for name, _ in taken]})
        return [confirmed, *(frame for frame in first if frame is not None)]

    def _streams(self, link: Link, name: str) -> list[tuple[str, str]]:
        kind, _, rest = name.partition(".")
        native, _, interval = rest.rpartition(".")
        of = self.truth.native(native)
        if of is None or of.native != native or interval not in ("100ms", link.state["interval"]):
            return []
        return [(of.symbol, channel) for channel in CHANNELS.get(kind, ())]

    def _first(self, link: Link, symbol: str, channel: str) -> Wire | None:
        of = self.truth.instruments[symbol]
        if channel == "book":
            book = self.truth.books[symbol]
            levels = [(s, p, q) for s in ("bid", "ask") for p, q in book.best(s)]
            shown = self._levels(of, levels, "new") | {"type": "snapshot"}
            now = self.truth.now()
            shown |= {"timestamp": now // 1_000_000, "change_id": book.update}
            return self._notice(link, "book", of, shown)
        return self._ticker(link, of, self.truth.now()) if channel == "quotes" else None

    def heartbeat(self, link: Link) -> list[Wire]:
        if not link.state["heartbeats"]:
            return []
        params = {"type": "test_request"}
        return [_dumps({"jsonrpc": "2.0", "method": "heartbeat", "params": params})]

    def limited(self, link: Link) -> list[Wire]:
        fault = {"code": 10028, "message": "too_many_requests"}
        return [_dumps({"jsonrpc": "2.0", "error": fault})]

    # -- events -------------------------------------------------------------------------------

    def told(self, link: Link, events: Sequence[Event], *, corrupt: bool = False) -> list[Wire]:
        symbol, channel = events[0].stream
        of = self.truth.instruments[symbol]
        if channel == "trades":
            trades = [self._trade(of, event.value) for event in events]
            return [self._notice(link, "trades", of, trades)]
        if channel in ("quotes", "stats"):
            return [self._ticker(link, of, events[-1].value.ts)]
        return [self._change(link, of, event.value) for event in events]

    def _notice(self, link: Link, kind: str, of: Instrument, data: Any) -> Wire:
        channel = f"{kind}.{of.native}.{link.state['interval']}"
        params = {"channel": channel, "data": data}
        return _dumps({"jsonrpc": "2.0", "method": "subscription", "params": params})

    def _change(self, link: Link, of: Instrument, change: Any) -> Wire:
        shown = self._levels(of, change.levels, "change") | {"type": "change"}
        shown |= {"timestamp": change.ts // 1_000_000, "change_id": change.last}
        return self._notice(link, "book", of, shown | {"prev_change_id": change.previous})

    def _levels(self, of: Instrument, levels: Sequence[Any], action: str) -> dict[str, Any]:
        shown: dict[str, Any] = {"instrument_name": of.native, "bids": [], "asks": []}
        for side, price, size in levels:
            what = action if size else "delete"
            shown[f"{side}s"].append([what, float(price), float(size)])
        return shown

    def _ticker(self, link: Link, of: Instrument, ts: int) -> Wire:
        latest = {one.name: float(one.value) for one in self.truth.stats[of.symbol]}
        shown: dict[str, Any] = {"instrument_name": of.native, "timestamp": ts // 1_000_000}
        shown |= {"state": "open", "stats": {"volume": None, "low": None, "high": None}}
        for quote in self.truth.quotes[of.symbol][-1:]:
            shown |= {"best_bid_price": float(quote.bid), "best_bid_amount": float(quote.bid_size)}
            shown |= {"best_ask_price": float(quote.ask), "best_ask_amount": float(quote.ask_size)}
        greeks = {name: latest.pop(name) for name in GREEKS if name in latest}
        if greeks:
            shown["greeks"] = greeks
        return self._notice(link, "ticker", of, shown | latest)

    def _trade(self, of: Instrument, trade: Trade) -> dict[str, Any]:
        return {
            "trade_seq": trade.id,
            "trade_id": str(trade.id),
            "timestamp": trade.ts // 1_000_000,
            "tick_direction": 0,
            "price": float(trade.price),
            "mark_price": float(trade.price),
            "instrument_name": of.native,
            "index_price": 1.0,
            "direction": trade.side,
            "amount": float(trade.size),
        }

    # -- REST ---------------------------------------------------------------------------------

    def http(self, request: Request) -> Answer:
        name = request.path.removeprefix("/api/v2/public/")
        if name == "get_instruments":
            listed = [self._instrument(one) for one in self.truth.instruments.values()]
            return Answer({"jsonrpc": "2.0", "result": listed})
        of = self.truth.native(request.query.get("instrument_name", ""))
        act = {
            "get_last_trades_by_instrument_and_time": self._past,
            "get_order_book": self._book,
        }.get(name)
        if of is None or act is None:
            return Answer({"error": {"code": -32602, "message": "Invalid params"}}, 400)
        return Answer({"jsonrpc": "2.0", "result": act(of, request.query)})

    def _past(self, of: Instrument, query: Mapping[str, str]) -> dict[str, Any]:
        start, end = int(query["start_timestamp"]), int(query["end_timestamp"])
        found = [t for t in self.truth.trades[of.symbol] if start <= t.ts // 1_000_000 <= end]
        if query.get("sorting") != "asc":
            found.reverse()
        count = min(int(query.get("count", 10)), PAGE)
        trades = [self._trade(of, trade) for trade in found[:count]]
        return {"trades": trades, "has_more": len(found) > count}

    def _book(self, of: Instrument, query: Mapping[str, str]) -> dict[str, Any]:
        book = self.truth.books[of.symbol]
        shown: dict[str, Any] = {"instrument_name": of.native, "change_id": book.update}
        for key, side in (("bids", "bid"), ("asks", "ask")):
            best = book.best(side, int(query.get("depth", 5)))
            shown[key] = [[float(p), float(q)] for p, q in best]
        return shown | {"timestamp": self.truth.now() // 1_000_000}

    def _instrument(self, one: Instrument) -> dict[str, Any]:
        return {
            "instrument_name": one.native,
            "kind": one.kind,
            "base_currency": one.base,
            "quote_currency": one.quote,
            "tick_size": float(one.tick),
            "min_trade_amount": float(one.lot),
            "is_active": True,
            **one.extra,
        }


def _dumps(said: Any) -> str:
    return json.dumps(said, separators=(",", ":"))


def make(truth: Any, house: Any, options: Any) -> Deribit:
    return Deribit(truth, house, options)
