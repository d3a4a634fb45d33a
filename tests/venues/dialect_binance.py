"""Binance spot and USD-M futures, as they speak today; option `market`: `spot` or `futures`.

Connections at `/stream` (futures also `/public/stream` and `/market/stream`, which carry different
streams), subscriptions in the address or by SUBSCRIBE, events in `{"stream": …, "data": …}`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from venues.dialect import Answer, Dialect, House, Link, Refused, Request, Wire
from venues.venue_truth import Event, Instrument, Truth, text

INSTRUMENTS = [
    Instrument(f"{base}-USDT", f"{base}USDT", base, "USDT", Decimal(tick), Decimal(lot))
    for base, tick, lot in (
        ("BTC", "0.01", "0.00001"),
        ("ETH", "0.01", "0.0001"),
        ("SOL", "0.001", "0.01"),
    )
]
STREAMS = {
    "trades": "aggTrade",
    "quotes": "bookTicker",
    "book": "depth@100ms",
    "stats": "markPrice@1s",
}
ROUTES = {"trades": "market", "quotes": "public", "book": "public", "stats": "market"}
HOUR_MS = 3_600_000


class Binance(Dialect):
    history = ("aggTrades",)

    def __init__(self, truth: Truth, house: House, options: Mapping[str, Any]) -> None:
        super().__init__(truth, house, options)
        self.futures = options.get("market") == "futures"

    # -- connections --------------------------------------------------------------------------

    def admit(self, link: Link) -> None:
        allowed = {"/stream"} | ({"/public/stream", "/market/stream"} if self.futures else set())
        if link.path not in allowed:
            raise Refused(404)

    def opened(self, link: Link) -> list[Wire]:
        for name in filter(None, link.query.get("streams", "").split("/")):
            self._take(link, name)
        return []

    def heard(self, link: Link, frame: Wire) -> list[Wire]:
        spoken = json.loads(frame)
        number, method = spoken.get("id"), spoken.get("method")
        if method not in ("SUBSCRIBE", "UNSUBSCRIBE"):
            return [_dumps({"error": {"code": 2, "msg": "Invalid request"}, "id": number})]
        for name in spoken["params"]:
            stream = self._stream(name)
            reason = None if stream is None else self.house.refusal(*stream)
            if reason is not None and method == "SUBSCRIBE":
                return [_dumps({"error": {"code": 2, "msg": reason}, "id": number})]
        for name in spoken["params"]:
            if method == "SUBSCRIBE":
                self._take(link, name)
            else:
                link.streams.discard(self._stream(name) or ("", ""))
        return [_dumps({"result": None, "id": number})]

    def _take(self, link: Link, name: str) -> None:
        """Streams that do not exist, or belong to another route, are taken and stay silent."""
        stream = self._stream(name)
        if stream is None:
            return
        route = link.path.strip("/").split("/")[0]
        if route in ("stream", ROUTES[stream[1]]):
            link.streams.add(stream)

    def _stream(self, name: str) -> tuple[str, str] | None:
        native, _, kind = name.partition("@")
        channel = next((c for c, k in STREAMS.items() if k == kind), None)
        instrument = self.truth.native(native)
        if channel is None or instrument is None or native != native.lower():
            return None
        return instrument.symbol, channel

    def expiring(self, link: Link) -> list[Wire]:
        data = {"e": "serverShutdown", "E": self.truth.now() // 1_000_000}
        return [_dumps({"stream": "!serverShutdown", "data": data})]

    # -- events -------------------------------------------------------------------------------

    def told(self, link: Link, events: Sequence[Event], *, corrupt: bool = False) -> list[Wire]:
        symbol, channel = events[0].stream
        native = self.truth.instruments[symbol].native
        name = f"{native.lower()}@{STREAMS[channel]}"
        write = getattr(self, f"_{events[0].kind}")
        return [_dumps({"stream": name, "data": write(native, one.value)}) for one in events]

    def _trade(self, native: str, trade: Any) -> dict[str, Any]:
        ms = trade.ts // 1_000_000
        shown = {"e": "aggTrade", "E": ms + 2, "s": native, **self._aggregate(trade)}
        return shown | ({"st": 1} if self.futures else {})

    def _aggregate(self, trade: Any) -> dict[str, Any]:
        first = 100_000 + 3 * trade.id
        shown = {
            "a": trade.id,
            "p": self._text(trade.price),
            "q": self._text(trade.size),
            "f": first,
            "l": first + 2,
            "T": trade.ts // 1_000_000,
            "m": trade.side == "sell",
        }
        return shown | ({"nq": shown["q"]} if self.futures else {"M": True})

    def _quote(self, native: str, quote: Any) -> dict[str, Any]:
        shown = {
            "u": quote.update,
            "s": native,
            "b": self._text(quote.bid),
            "B": self._text(quote.bid_size),
            "a": self._text(quote.ask),
            "A": self._text(quote.ask_size),
        }
        if not self.futures:
            return shown
        ms = quote.ts // 1_000_000
        return {"e": "bookTicker", **shown, "T": ms, "E": ms + 3, "ps": native, "st": 1}

    def _book(self, native: str, change: Any) -> dict[str, Any]:
        ms = change.ts // 1_000_000
        shown = {"e": "depthUpdate", "E": ms, "s": native, "U": change.first, "u": change.last}
        if self.futures:
            shown |= {"T": ms, "pu": change.previous, "ps": native, "st": 1}
        for key, side in (("b", "bid"), ("a", "ask")):
            shown[key] = [[self._text(p), self._text(q)] for s, p, q in change.levels if s == side]
        return shown

    def _stat(self, native: str, stat: Any) -> dict[str, Any]:
        """The stream tells all at once: the latest of each name."""
        symbol = self.truth.native(native).symbol  # type: ignore[union-attr]
        latest = {one.name: self._text(one.value) for one in self.truth.stats[symbol]}
        shown = {"e": "markPriceUpdate", "E": stat.ts // 1_000_000, "s": native, "T": 0}
        names = {"p": "mark_price", "i": "index_price", "P": "settle_price", "r": "funding_rate"}
        return shown | {key: latest.get(name, "") for key, name in names.items()}

    def _text(self, value: Decimal) -> str:
        return text(value) if self.futures else f"{value:.8f}"

    # -- HTTP ---------------------------------------------------------------------------------

    def http(self, request: Request) -> Answer:
        base = "/fapi/v1/" if self.futures else "/api/v3/"
        name = request.path.removeprefix(base)
        act = {"depth": self._depth, "aggTrades": self._agg_trades, "exchangeInfo": self._listed}
        if name not in act:
            return Answer({"code": -1121, "msg": f"no path {request.path}"}, 404)
        instrument = self.truth.native(request.query.get("symbol", ""))
        if name != "exchangeInfo" and instrument is None:
            return Answer({"code": -1121, "msg": "Invalid symbol."}, 400)
        return act[name](request.query, instrument)  # type: ignore[operator]

    def _depth(self, query: Mapping[str, str], instrument: Instrument) -> Answer:
        book, limit = self.truth.books[instrument.symbol], int(query.get("limit", 500))
        shown: dict[str, Any] = {"lastUpdateId": book.update}
        if self.futures:
            shown |= {"E": book.ts // 1_000_000, "T": book.ts // 1_000_000}
        for key, side in (("bids", "bid"), ("asks", "ask")):
            shown[key] = [[self._text(p), self._text(q)] for p, q in book.best(side, limit)]
        return Answer(shown)

    def _agg_trades(self, query: Mapping[str, str], instrument: Instrument) -> Answer:
        start, end = int(query.get("startTime", 0)), int(query.get("endTime", 1 << 62))
        if "startTime" in query and "endTime" in query and end - start >= HOUR_MS:
            return Answer(
                {"code": -1127, "msg": "More than 1 hours between startTime and endTime."}, 400
            )
        first, limit = int(query.get("fromId", 0)), int(query.get("limit", 500))
        if limit > 1000:
            return Answer(
                {"code": -1130, "msg": "Data sent for parameter 'limit' is not valid."}, 400
            )
        fits = [
            self._aggregate(trade)
            for trade in self.truth.trades[instrument.symbol]
            if trade.id >= first and start <= trade.ts // 1_000_000 <= end
        ]
        return Answer(fits[:limit] if {"startTime", "fromId"} & set(query) else fits[-limit:])

    def _listed(self, query: Mapping[str, str], instrument: Instrument | None) -> Answer:
        shown = []
        for one in self.truth.instruments.values():
            filters = [
                {"filterType": "PRICE_FILTER", "tickSize": text(one.tick)},
                {"filterType": "LOT_SIZE", "stepSize": text(one.lot)},
            ]
            fields = {"symbol": one.native, "status": "TRADING", "filters": filters}
            fields |= {"baseAsset": one.base, "quoteAsset": one.quote}
            if self.futures:
                fields |= {"contractType": "PERPETUAL", "deliveryDate": 4133404800000}
            shown.append(fields)
        return Answer({"timezone": "UTC", "symbols": shown})

    def too_many(self, request: Request, retry_after_s: int) -> Answer:
        body = {"code": -1003, "msg": "Too many requests; please use WebSocket Streams."}
        return Answer(body, 429, {"Retry-After": str(retry_after_s)})


def make(truth: Truth, house: House, options: Mapping[str, Any]) -> Dialect:
    return Binance(truth, house, options)


def _dumps(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))
