"""Trades from packets that tell the last trade and the day's volume, but not every trade.

A packet is a trade where the day's volume has grown since the packet before: of what was traded in
between, at the price of the last trade. Where that was more than the last trade, the row says so in
its conditions: several trades are in it. A change of the price without volume is none (exchanges
replace the last price by a closing price). The first packet of a connection tells a trade where it
tells its time, too; its key lets a trade that was stored before a reconnection not double.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tickplant.feeds.venues.columns import make_rows
from tickplant.feeds.venues.kite import wire
from tickplant.feeds.venues.kite.changes import Memory
from tickplant.feeds.venues.kite.merged import Merged, merge
from tickplant.feeds.venues.kite.parse import Packets
from tickplant.feeds.venues.kite.slots import Slots
from tickplant.model.times import NS_PER_S

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

SEVERAL = "several"
"""The condition of a row that stands for more than the last trade."""

TICKS = (wire.QUOTE, wire.FULL)
LEVELS = (wire.LTP, wire.INDEX, wire.INDEX_FULL)

_OF_TICKS = ("last", "last_quantity", "volume", "last_trade_time")

_DAY_S = 86_400
_INDIA_S = 19_800
_KEY_BYTES = 16


@dataclass(frozen=True, slots=True)
class _Found:
    """Trades in the order of their packets; `key` has shape (n, 4) and is 0 for none."""

    at: Ints
    slot: Ints
    ts_event: Ints
    price: Floats
    size: Floats
    several: Bools
    key: Ints

    def kept(self, keep: Bools) -> _Found:
        """Return some of them."""
        return _Found(*(getattr(self, name)[keep] for name in _Found.__slots__))


class TradeTeller:
    """Finds the trades of one connection."""

    def __init__(self) -> None:
        self._ticks = Memory(2)
        self._levels = Memory(1)

    def grow(self, slots: int) -> None:
        """Have room for so many instruments."""
        self._ticks.grow(slots)
        self._levels.grow(slots)

    def forget(self, slots: Ints) -> None:
        """Know nothing of these any more."""
        self._ticks.forget(slots)
        self._levels.forget(slots)

    def tell(self, packets: dict[int, Packets], slots: Slots) -> pa.RecordBatch | None:
        """Return the trades that packets tell, None for none."""
        ticks = merge(packets, TICKS, _OF_TICKS, slots)
        levels = merge(packets, LEVELS, ("last",), slots)
        found = []
        if ticks is not None:
            found.append(self._of_ticks(ticks, slots.wanted["trades"]))
        if levels is not None:
            found.append(self._of_levels(levels, slots.wanted["trades"]))
        found = [one for one in found if len(one.at)]
        return _rows(_joined(found), slots) if found else None

    def _of_ticks(self, ticks: Merged, wanted: Bools) -> _Found:
        volume, lots = ticks.columns["volume"], ticks.columns["last_quantity"]
        traded_s = ticks.columns["last_trade_time"]
        day = (ticks.ts_event // NS_PER_S + _INDIA_S) // _DAY_S
        before, known = self._ticks.step(ticks.slot, np.stack([volume, day], axis=1))
        size = volume - before[:, 0]
        # A volume that falls a little on one day was corrected; else the day has begun anew.
        anew = (size < 0) & ((day != before[:, 1]) | (volume < before[:, 0] // 2))
        size = np.where(anew, volume, size)
        grown, timed = known & (size > 0), traded_s > 0
        first = ~known & timed & (lots > 0)
        size[first] = lots[first]
        last = ticks.columns["last"]
        found = _Found(
            ticks.at,
            ticks.slot,
            np.where(timed, traded_s * NS_PER_S, ticks.ts_recv),
            last / ticks.unit,
            size.astype(np.float64),
            grown & (size != lots),
            np.stack([np.where(timed, traded_s, day), volume, last, lots], axis=1),
        )
        return found.kept((grown | first) & wanted[ticks.slot])

    def _of_levels(self, levels: Merged, wanted: Bools) -> _Found:
        """Return trades without a size: values of indices, and last prices of the mode `ltp`.

        One of 0 says that there is none yet.
        """
        last = levels.columns["last"]
        time_s = levels.columns["time"]
        before, known = self._levels.step(levels.slot, last[:, None])
        fresh = np.where(known, last != before[:, 0], time_s > 0) & (last != 0)
        key = np.zeros((len(levels), 4), np.int64)
        key[:, 0], key[:, 2] = time_s, np.where(time_s > 0, last, 0)
        found = _Found(
            levels.at,
            levels.slot,
            levels.ts_event,
            last / levels.unit,
            np.full(len(levels), np.nan),
            np.zeros(len(levels), np.bool_),
            key,
        )
        return found.kept(fresh & wanted[levels.slot])


def _joined(parts: list[_Found]) -> _Found:
    if len(parts) == 1:
        return parts[0]
    columns = {
        name: np.concatenate([getattr(part, name) for part in parts]) for name in _Found.__slots__
    }
    order = np.argsort(columns["at"], kind="stable")
    return _Found(*(columns[name][order] for name in _Found.__slots__))


def _rows(found: _Found, slots: Slots) -> pa.RecordBatch:
    several = pa.array(found.several.astype(np.int64))
    columns = {
        "symbol": slots.symbols(found.slot),
        "ts_event": pa.array(found.ts_event),
        "price": pa.array(found.price),
        "size": pa.array(found.size, mask=np.isnan(found.size)),
        "side": pa.array(np.zeros(len(found.at), np.int8)),
        "conditions": pa.array([None, SEVERAL], pa.string()).take(several),
        "key": _keys(found.key),
    }
    return make_rows("trades", len(found.at), columns)


def _keys(key: Ints) -> pa.Array:
    packed = np.ascontiguousarray(key.astype(np.uint32).astype(">u4"))
    buffers = [None, pa.py_buffer(packed.tobytes())]
    fixed = pa.FixedSizeBinaryArray.from_buffers(pa.binary(_KEY_BYTES), len(key), buffers)
    keys, absent = fixed.cast(pa.binary()), ~key.any(axis=1)
    return pc.if_else(pa.array(absent), pa.scalar(None, pa.binary()), keys)
