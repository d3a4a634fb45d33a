"""Quotes and books from the five levels a side that packets of the mode `full` carry."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tickplant.books.updates import NONE, Updates
from tickplant.feeds.venues.columns import make_rows
from tickplant.feeds.venues.kite import wire
from tickplant.feeds.venues.kite.changes import Memory
from tickplant.feeds.venues.kite.parse import Packets
from tickplant.feeds.venues.kite.slots import Slots
from tickplant.model.events import ASK, BID
from tickplant.model.times import NS_PER_S

Ints = NDArray[np.int64]

_DEPTH_BYTES = 2 * wire.LEVELS * wire.LEVEL.itemsize
_SIDES = np.repeat(np.array([BID, ASK], np.int8), wire.LEVELS)


class DepthTeller:
    """Finds what has changed in the depth of one connection's instruments."""

    def __init__(self) -> None:
        self._best = Memory(4)
        self._all = Memory(_DEPTH_BYTES // 8)

    def grow(self, slots: int) -> None:
        """Have room for so many instruments."""
        self._best.grow(slots)
        self._all.grow(slots)

    def forget(self, slots: Ints) -> None:
        """Know nothing of these any more."""
        self._best.forget(slots)
        self._all.forget(slots)

    def tell(self, full: Packets, slots: Slots) -> tuple[pa.RecordBatch | None, Updates | None]:
        """Return the quotes and the books that have changed, None for none.

        The packets are of instruments that have slots.
        """
        slot = slots.find(full.tokens)
        time_s = full.rows["time"].astype(np.int64)
        ts = np.where(time_s > 0, time_s * NS_PER_S, full.ts_recv)
        return self._quotes(full, slot, ts, slots), self._books(full, slot, ts, slots)

    def _quotes(self, full: Packets, slot: Ints, ts: Ints, slots: Slots) -> pa.RecordBatch | None:
        bid, ask = full.rows["bids"][:, 0], full.rows["asks"][:, 0]
        best = np.stack(
            [side[name].astype(np.int64) for side in (bid, ask) for name in ("price", "quantity")],
            axis=1,
        )
        before, known = self._best.step(slot, best)
        keep = ((before != best).any(axis=1) | ~known) & slots.wanted["quotes"][slot]
        keep &= (best[:, 0] != 0) | (best[:, 2] != 0)
        if not keep.any():
            return None
        best, unit = best[keep], wire.units(full.tokens[keep])
        columns = {
            "symbol": slots.symbols(slot[keep]),
            "ts_event": pa.array(ts[keep]),
        }
        for place, side in ((0, "bid"), (2, "ask")):
            absent = best[:, place] == 0
            columns[f"{side}_price"] = pa.array(best[:, place] / unit, mask=absent)
            columns[f"{side}_size"] = pa.array(best[:, place + 1].astype(float), mask=absent)
        return make_rows("quotes", len(best), columns)

    def _books(self, full: Packets, slot: Ints, ts: Ints, slots: Slots) -> Updates | None:
        raw = np.ascontiguousarray(full.rows).view(np.uint8).reshape(len(full), -1)
        depth = np.ascontiguousarray(raw[:, -_DEPTH_BYTES:]).view(np.int64)
        before, known = self._all.step(slot, depth)
        keep = ((before != depth).any(axis=1) | ~known) & slots.wanted["book"][slot]
        if not keep.any():
            return None
        return _updates(full.rows[keep], slot[keep], ts[keep], slots)


def _updates(rows: NDArray[np.void], slot: Ints, ts: Ints, slots: Slots) -> Updates:
    levels = np.concatenate([rows["bids"], rows["asks"]], axis=1)
    there = (levels["price"] != 0) & (levels["quantity"] != 0)
    unit = wire.units(rows["token"].astype(np.int64))
    used, code = np.unique(slot, return_inverse=True)
    count = len(rows)
    nothing = np.full(count, NONE, np.int64)
    return Updates(
        symbols=tuple(slots.names[one] for one in used.tolist()),
        code=code.astype(np.int32),
        ts_event=ts,
        first=nothing,
        last=nothing,
        previous=nothing,
        snapshot=np.ones(count, np.bool_),
        checksum=nothing,
        offsets=np.concatenate([[0], np.cumsum(there.sum(axis=1))]).astype(np.int64),
        side=np.broadcast_to(_SIDES, there.shape)[there],
        price=(levels["price"] / unit[:, None])[there],
        size=levels["quantity"][there].astype(np.float64),
        orders=levels["orders"][there].astype(np.int32),
    )
