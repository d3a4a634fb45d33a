"""Zerodha Kite's ticker and its list of instruments, as they speak today.

Every change of an instrument is told as one packet with the whole of it, of the mode that the link
asked for. Options: `accounts`, the token of each API key; `lasts`, how many connections a key is
good for before its token has expired.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from venues import kite_packets as kp
from venues.dialect import Answer, Dialect, House, Link, Refused, Request, Wire
from venues.venue_truth import Event, Instrument, Truth, text


def instrument(symbol: str, token: int, kind: str = "EQ", lot: int = 1) -> Instrument:
    return Instrument(
        symbol, str(token), symbol.partition(":")[2], "INR", Decimal("0.05"), Decimal(lot), kind
    )


INSTRUMENTS = [
    instrument("NSE:INFY", 408_065),
    instrument("NSE:TCS", 2_953_217),
    instrument("NFO:INFY26NOVFUT", 256 * 3906 + 2, "FUT"),
    instrument("NSE:NIFTY_50", 256_265, "INDEX"),
]
CHANNELS = {
    "ltp": ("trades",),
    "quote": ("trades",),
    "full": ("trades", "quotes", "book", "stats"),
}
HEADER = (
    "instrument_token,exchange_token,tradingsymbol,name,last_price,expiry,strike,tick_size,"
    "lot_size,instrument_type,segment,exchange"
)


class Kite(Dialect):
    def __init__(self, truth: Truth, house: House, options: Mapping[str, Any]) -> None:
        super().__init__(truth, house, options)
        self.connects: Counter[str] = Counter()

    # -- connections --------------------------------------------------------------------------

    def admit(self, link: Link) -> None:
        key = link.query.get("api_key", "")
        self.connects[key] += 1
        expired = self.connects[key] > self.options.get("lasts", {}).get(key, 1 << 30)
        known = self.options.get("accounts", {"key1": "token1"})
        if link.query.get("access_token") != known.get(key, object()) or expired:
            raise Refused(403, '{"error_type":"TokenException"}')

    def opened(self, link: Link) -> list[Wire]:
        link.state["modes"] = {}
        return [json.dumps({"type": "instruments_meta", "data": {"count": 1, "etag": "W/x"}})]

    def heard(self, link: Link, frame: Wire) -> list[Wire]:
        spoken = json.loads(frame)
        action, value = spoken["a"], spoken["v"]
        if action == "unsubscribe":
            for one in self._known(value):
                link.state["modes"].pop(one.symbol, None)
                link.streams.difference_update({(one.symbol, c) for c in CHANNELS["full"]})
            return []
        mode, tokens = value if action == "mode" else ("quote", value)
        told = []
        for one in self._known(tokens):
            reason = self.house.refusal(one.symbol, "trades")
            if reason is not None:
                return [json.dumps({"type": "error", "data": reason})]
            link.state["modes"][one.symbol] = mode
            link.streams.difference_update({(one.symbol, c) for c in CHANNELS["full"]})
            link.streams.update((one.symbol, c) for c in CHANNELS[mode])
            told.append(self._packet(one, mode))
        return [kp.frame(told)] if told else []

    def _known(self, tokens: Sequence[int]) -> list[Instrument]:
        """Tokens that there are not are taken in silence, as Kite does."""
        found = (self.truth.native(str(token)) for token in tokens)
        return [one for one in found if one is not None]

    def heartbeat(self, link: Link) -> list[Wire]:
        return [b"\0"]

    # -- events -------------------------------------------------------------------------------

    def told(self, link: Link, events: Sequence[Event], *, corrupt: bool = False) -> list[Wire]:
        one = self.truth.instruments[events[0].symbol]
        packet = self._packet(one, link.state["modes"][one.symbol])
        frame = kp.frame([packet])
        return [frame[:-3] if corrupt else frame]

    def _packet(self, one: Instrument, mode: str) -> bytes:
        token, trades = int(one.native), self.truth.trades[one.symbol]
        unit = kp.divisor(token)
        last = int(trades[-1].price * unit) if trades else 0
        now_s = self.truth.now() // 10**9
        if mode == "ltp":
            return kp.ltp(token, last)
        if one.kind == "INDEX":
            return kp.index(token, now_s if mode == "full" else None, last=last, close=last)
        fields = {
            "last": last,
            "last_quantity": int(trades[-1].size) if trades else 0,
            "volume": int(sum(trade.size for trade in trades)),
            "open": int(trades[0].price * unit) if trades else 0,
        }
        if mode == "quote":
            return kp.quote(token, **fields)
        stats = {stat.name: int(stat.value) for stat in self.truth.stats[one.symbol]}
        fields["oi"] = stats.get("open_interest", 0)
        fields |= {"time": now_s, "last_trade_time": trades[-1].ts // 10**9 if trades else 0}
        depth: list[kp.Level] = []
        for side in ("bid", "ask"):
            best = self.truth.books[one.symbol].best(side, 5)
            levels = [(int(q), int(p * unit), n) for n, (p, q) in enumerate(best, 1)]
            depth += [*levels, *[(0, 0, 0)] * (5 - len(levels))]
        return kp.full(token, depth, **fields)

    # -- HTTP ---------------------------------------------------------------------------------

    def http(self, request: Request) -> Answer:
        if request.path != "/instruments":
            return super().http(request)
        lines = [HEADER]
        for one in self.truth.instruments.values():
            exchange, _, name = one.symbol.partition(":")
            kind, segment = ("EQ", "INDICES") if one.kind == "INDEX" else (one.kind, exchange)
            expiry = "2026-11-26" if kind == "FUT" else ""
            symbol = name.replace("_", " ")
            lines.append(
                f"{one.native},1,{symbol},{symbol[:4]},0,{expiry},0.0,{text(one.tick)},"
                f"{text(one.lot)},{kind},{segment},{exchange}"
            )
        return Answer("\n".join(lines) + "\n", 200, {"Content-Type": "text/csv"})


def make(truth: Truth, house: House, options: Mapping[str, Any]) -> Dialect:
    return Kite(truth, house, options)
