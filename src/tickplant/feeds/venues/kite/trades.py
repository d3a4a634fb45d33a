"""Trades from packets that tell the last trade and the day's volume, but not every trade.

A packet is a trade where the day's volume has grown since the packet before: of what was traded in
between, at the price of the last trade. Where that was more than the last trade, the row says so in
its conditions: several trades are in it. A change of the price without volume is none (exchanges
replace the last price by a closing price). The first packet of a connection tells a trade where it
tells its time, too; its key lets a trade that was stored before a reconnection not double.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tickplant.feeds.venues.columns import make_rows
from tickplant.feeds.venues.kite import wire
from tickplant.feeds.venues.kite.changes import Memory
from tickplant.feeds.venues.kite.parse import Packets
from tickplant.feeds.venues.kite.slots import NO_SLOT, Slots
from tickplant.model.times import NS_PER_S

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

SEVERAL = "several"
"""The condition of a row that stands for more than the last trade."""

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
        levels = [
            self._of_levels(packets[kind.itemsize], slots)
            for kind in (wire.LTP, wire.INDEX, wire.INDEX_FULL)
            if kind.itemsize in packets
        ]
        found = [self._of_ticks(packets, slots), *levels]
        joined = _joined([one for one in found if one is not None and len(one.at)])
        return None if joined is None else _rows(joined, slots)

    def _of_ticks(self, packets: dict[int, Packets], slots: Slots) -> _Found | None:
        ticks = _Ticks.of(packets, slots)
        if ticks is None:
            return None
        day = (ticks.time_s + _INDIA_S) // _DAY_S
        now = np.stack([ticks.volume, day], axis=1)
        before, known = self._ticks.step(ticks.slot, now)
        more = ticks.volume - before[:, 0]
        # A volume that falls a little on one day was corrected; else the day has begun anew.
        anew = known & (more < 0)
        anew &= (day != before[:, 1]) | (ticks.volume < before[:, 0] // 2)
        size = np.where(anew, ticks.volume, more)
        grown = known & (size > 0)
        first = ~known & (ticks.traded_s > 0) & (ticks.last_quantity > 0)
        size[first] = ticks.last_quantity[first]
        keep = (grown | first) & slots.wanted["trades"][ticks.slot]
        timed = ticks.traded_s > 0
        key = np.stack(
            [np.where(timed, ticks.traded_s, day), ticks.volume, ticks.last, ticks.last_quantity],
            axis=1,
        )
        found = _Found(
            ticks.at,
            ticks.slot,
            np.where(timed, ticks.traded_s * NS_PER_S, ticks.ts_recv),
            ticks.last / ticks.unit,
            size.astype(np.float64),
            grown & (size != ticks.last_quantity),
            key,
        )
        return _kept(found, keep)

    def _of_levels(self, packets: Packets, slots: Slots) -> _Found | None:
        """Return trades without a size: values of indices, and last prices of the mode `ltp`."""
        slot = slots.find(packets.tokens)
        mine = slot != NO_SLOT
        rows, slot = packets.rows[mine], slot[mine]
        last = rows["last"].astype(np.int64)
        timed = "time" in (rows.dtype.names or ())
        time_s = rows["time"].astype(np.int64) if timed else np.zeros(len(rows), np.int64)
        before, known = self._levels.step(slot, last[:, None])
        fresh = np.where(known, last != before[:, 0], time_s > 0)
        key = np.zeros((len(rows), 4), np.int64)
        key[:, 0], key[:, 2] = time_s, np.where(time_s > 0, last, 0)
        found = _Found(
            packets.at[mine],
            slot,
            np.where(time_s > 0, time_s * NS_PER_S, packets.ts_recv[mine]),
            last / wire.units(rows["token"].astype(np.int64)),
            np.full(len(rows), np.nan),
            np.zeros(len(rows), np.bool_),
            key,
        )
        return _kept(found, fresh & slots.wanted["trades"][slot])


@dataclass(frozen=True, slots=True)
class _Ticks:
    """What packets of the modes `quote` and `full` have in common, in the order of arrival.

    `traded_s` is when the last trade was, 0 where it is not told; `time_s` is the exchange's time,
    or that of receipt.
    """

    at: Ints
    slot: Ints
    ts_recv: Ints
    unit: Floats
    last: Ints
    last_quantity: Ints
    volume: Ints
    traded_s: Ints
    time_s: Ints

    @classmethod
    def of(cls, packets: dict[int, Packets], slots: Slots) -> _Ticks | None:
        parts = [
            packets[kind.itemsize] for kind in (wire.QUOTE, wire.FULL) if kind.itemsize in packets
        ]
        if not parts:
            return None

        def column(name: str) -> Ints:
            return np.concatenate(
                [
                    part.rows[name].astype(np.int64)
                    if name in (part.rows.dtype.names or ())
                    else np.zeros(len(part), np.int64)
                    for part in parts
                ]
            )

        at = np.concatenate([part.at for part in parts])
        ts_recv = np.concatenate([part.ts_recv for part in parts])
        tokens, time_s = column("token"), column("time")
        slot = slots.find(tokens)
        order = np.argsort(at) if len(parts) > 1 else np.arange(len(at))
        order = order[slot[order] != NO_SLOT]
        columns = (
            at,
            slot,
            ts_recv,
            wire.units(tokens),
            column("last"),
            column("last_quantity"),
            column("volume"),
            column("last_trade_time"),
            np.where(time_s > 0, time_s, ts_recv // NS_PER_S),
        )
        return cls(*(values[order] for values in columns))


def _kept(found: _Found, keep: Bools) -> _Found:
    return _Found(*(getattr(found, name)[keep] for name in _Found.__slots__))


def _joined(parts: Sequence[_Found]) -> _Found | None:
    if len(parts) < 2:
        return parts[0] if parts else None
    columns = {
        name: np.concatenate([getattr(part, name) for part in parts]) for name in _Found.__slots__
    }
    order = np.argsort(columns["at"])
    return _Found(*(columns[name][order] for name in _Found.__slots__))


def _rows(found: _Found, slots: Slots) -> pa.RecordBatch:
    columns = {
        "symbol": pa.array(slots.names, pa.string()).take(pa.array(found.slot)),
        "ts_event": pa.array(found.ts_event),
        "price": pa.array(found.price),
        "size": pa.array(found.size, mask=np.isnan(found.size)),
        "side": pa.array(np.zeros(len(found.at), np.int8)),
        "conditions": pa.array([None, SEVERAL], pa.string()).take(
            pa.array(found.several.astype(np.int64))
        ),
        "key": _keys(found.key),
    }
    return make_rows("trades", len(found.at), columns)


def _keys(key: Ints) -> pa.Array:
    packed = np.ascontiguousarray(key.astype(np.uint32).astype(">u4"))
    buffers = [None, pa.py_buffer(packed.tobytes())]
    fixed = pa.FixedSizeBinaryArray.from_buffers(pa.binary(_KEY_BYTES), len(key), buffers)
    absent = ~key.any(axis=1)
    keys = fixed.cast(pa.binary())
    if not absent.any():
        return keys
    return pc.if_else(pa.array(absent), pa.scalar(None, pa.binary()), keys)
