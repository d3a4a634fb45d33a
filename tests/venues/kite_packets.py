"""Kite's packets by `struct`, and what a sequence of them tells, in plain Python.

Shares no code with the product: field by field as the venue's documentation lists them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

QUOTE = ("token", "last", "last_quantity", "average", "volume", "buy_quantity", "sell_quantity",
         "open", "high", "low", "close")  # fmt: skip
REST = ("last_trade_time", "oi", "oi_high", "oi_low", "time")
INDEX = ("token", "last", "high", "low", "open", "close", "change")
Level = tuple[int, int, int]
"""Quantity, price, orders; bids first, from the best on."""


def divisor(token: int) -> int:
    return {3: 10_000_000, 6: 10_000}.get(token % 256, 100)


def price(units: int, token: int) -> float:
    return float(Decimal(units) / divisor(token))


def ltp(token: int, last: int) -> bytes:
    return struct.pack(">Ii", token, last)


def index(token: int, time: int | None = None, **fields: int) -> bytes:
    values = [fields.get(name, 0) for name in INDEX[1:]]
    return struct.pack(">I6i", token, *values) + (b"" if time is None else struct.pack(">I", time))


def quote(token: int, **fields: int) -> bytes:
    values = [fields.get(name, 0) for name in QUOTE[1:]]
    return struct.pack(">IiIiIIIiiii", token, *values)


def full(token: int, depth: Sequence[Level] = (), **fields: int) -> bytes:
    rest = struct.pack(">5I", *(fields.get(name, 0) for name in REST))
    levels = [*depth, *[(0, 0, 0)] * (10 - len(depth))]
    return quote(token, **fields) + rest + b"".join(struct.pack(">IiHxx", *one) for one in levels)


def frame(packets: Sequence[bytes]) -> bytes:
    cut = (struct.pack(">H", len(packet)) + packet for packet in packets)
    return struct.pack(">H", len(packets)) + b"".join(cut)


def read(packet: bytes) -> dict[str, Any]:
    """The fields of a packet as they stand in it."""
    size = len(packet)
    if size == 8:
        return dict(zip(("token", "last"), struct.unpack(">Ii", packet), strict=True))
    if size in (28, 32):
        found = dict(zip(INDEX, struct.unpack(">I6i", packet[:28]), strict=True))
        return found | ({"time": struct.unpack(">I", packet[28:])[0]} if size == 32 else {})
    found = dict(zip(QUOTE, struct.unpack(">IiIiIIIiiii", packet[:44]), strict=True))
    if size == 184:
        found |= dict(zip(REST, struct.unpack(">5I", packet[44:64]), strict=True))
        found["depth"] = list(struct.iter_unpack(">IiHxx", packet[64:]))
    return found


@dataclass
class Oracle:
    """Takes packets one by one; `names` are the symbols by token."""

    names: Mapping[int, str]
    trades: list[tuple[Any, ...]] = field(default_factory=list)
    quotes: list[tuple[Any, ...]] = field(default_factory=list)
    books: list[tuple[Any, ...]] = field(default_factory=list)
    stats: list[tuple[Any, ...]] = field(default_factory=list)
    _last: dict[tuple[Any, ...], Any] = field(default_factory=dict)

    def take(self, packet: bytes, ts_recv: int) -> None:
        got = read(packet)
        name = self.names.get(got["token"])
        if name is None:
            return
        ts = got["time"] * 10**9 if got.get("time") else ts_recv
        if len(packet) in (8, 28, 32):
            self._level(name, got, ts)
        else:
            self._trade(name, got, ts_recv, ts)
        if len(packet) == 184:
            self._depth(name, got, ts)
        if len(packet) != 8:
            self._stats(name, got, ts)

    def _before(self, *what: Any, now: Any) -> Any:
        before = self._last.get(what)
        self._last[what] = now
        return before

    def _level(self, name: str, got: Mapping[str, Any], ts: int) -> None:
        before = self._before(name, "level", now=got["last"])
        new = got["last"] != before if before is not None else got.get("time", 0) > 0
        if new and got["last"]:
            self.trades.append((name, ts, price(got["last"], got["token"]), None, None))

    def _trade(self, name: str, got: Mapping[str, Any], ts_recv: int, ts: int) -> None:
        volume, lots = got["volume"], got["last_quantity"]
        day = (ts // 10**9 + 19_800) // 86_400
        before = self._before(name, "volume", now=(volume, day))
        traded = got.get("last_trade_time", 0)
        if before is None:
            size = lots if traded and lots else 0
            several = False
        else:
            size = volume - before[0]
            if size < 0:
                size = volume if day != before[1] or volume < before[0] // 2 else 0
            several = size != lots
        if size > 0:
            at = traded * 10**9 if traded else ts_recv
            shown = "several" if several else None
            self.trades.append((name, at, price(got["last"], got["token"]), float(size), shown))

    def _depth(self, name: str, got: Mapping[str, Any], ts: int) -> None:
        token, depth = got["token"], got["depth"]
        best = (depth[0][1], depth[0][0], depth[5][1], depth[5][0])
        if self._before(name, "best", now=best) != best and (best[0] or best[2]):
            sides = []
            for units, size in (best[:2], best[2:]):
                sides += [price(units, token), float(size)] if units else [None, None]
            self.quotes.append((name, ts, *sides))
        if self._before(name, "depth", now=depth) != depth:
            levels = [
                (1 + place // 5, price(units, token), float(size), orders)
                for place, (size, units, orders) in enumerate(depth)
                if units and size
            ]
            self.books.append((name, ts, levels))

    def _stats(self, name: str, got: Mapping[str, Any], ts: int) -> None:
        prices = {f"day_{one}": got[one] for one in ("open", "high", "low", "close")}
        counts: dict[str, int] = {}
        kind = "index"
        if "volume" in got:
            kind = "tick"
            prices = {"average_price": got["average"], **prices}
            counts = {n: got[n] for n in ("volume", "buy_quantity", "sell_quantity")}
        if "oi" in got and got["token"] % 256 in (2, 3, 5, 6, 7, 8):
            for stat in ("", "_high", "_low"):
                counts[f"open_interest{stat}"] = got[f"oi{stat}"]
        order = ("volume", "buy_quantity", "sell_quantity", *prices)
        both = counts | prices
        for stat in dict.fromkeys((*(o for o in order if o in both), *counts)):
            changed = self._before(name, kind, stat, now=both[stat]) != both[stat]
            if changed and stat in counts:
                self.stats.append((name, ts, stat, float(both[stat])))
            elif changed and both[stat]:
                self.stats.append((name, ts, stat, price(both[stat], got["token"])))


def told(names: Mapping[int, str], packets: Iterable[tuple[bytes, int]]) -> Oracle:
    """What packets tell, each with its time of receipt."""
    oracle = Oracle(names)
    for packet, ts_recv in packets:
        oracle.take(packet, ts_recv)
    return oracle
