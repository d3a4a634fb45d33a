"""Statistics from packets: every value that has changed, under a name of its own.

Prices of 0 say that there is none yet. Open interest is told by segments of derivatives only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tickplant.feeds.venues.columns import make_rows
from tickplant.feeds.venues.kite import wire
from tickplant.feeds.venues.kite.changes import Memory
from tickplant.feeds.venues.kite.depth import event_times, names_of
from tickplant.feeds.venues.kite.parse import Packets
from tickplant.feeds.venues.kite.slots import NO_SLOT, Slots

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

DAY = {"day_open": "open", "day_high": "high", "day_low": "low", "day_close": "close"}
QUOTE = {
    "volume": "volume",
    "buy_quantity": "buy_quantity",
    "sell_quantity": "sell_quantity",
    "average_price": "average",
    **DAY,
}
INTEREST = {
    "open_interest": "open_interest",
    "open_interest_high": "open_interest_high",
    "open_interest_low": "open_interest_low",
}
"""The fields of packets by the names of the statistics that they are."""

PRICES = frozenset({"average_price", *DAY})


@dataclass(frozen=True, slots=True)
class _Found:
    at: Ints
    slot: Ints
    ts_event: Ints
    name: list[str]
    value: NDArray[np.float64]


class StatTeller:
    """Finds what has changed in the statistics of one connection's instruments."""

    def __init__(self) -> None:
        self._day = Memory(len(DAY))
        self._quote = Memory(len(QUOTE))
        self._interest = Memory(len(INTEREST))

    def grow(self, slots: int) -> None:
        """Have room for so many instruments."""
        for memory in (self._day, self._quote, self._interest):
            memory.grow(slots)

    def forget(self, slots: Ints) -> None:
        """Know nothing of these any more."""
        for memory in (self._day, self._quote, self._interest):
            memory.forget(slots)

    def tell(self, packets: dict[int, Packets], slots: Slots) -> pa.RecordBatch | None:
        """Return the values that have changed, None for none."""
        found: list[_Found] = []
        for kind, memory, fields in (
            (wire.INDEX, self._day, DAY),
            (wire.INDEX_FULL, self._day, DAY),
            (wire.QUOTE, self._quote, QUOTE),
            (wire.FULL, self._quote, QUOTE),
            (wire.FULL, self._interest, INTEREST),
        ):
            if kind.itemsize in packets:
                found.append(_changed(packets[kind.itemsize], slots, memory, fields))
        return _rows([one for one in found if len(one.at)], slots)


def _changed(packets: Packets, slots: Slots, memory: Memory, fields: dict[str, str]) -> _Found:
    slot = slots.find(packets.tokens)
    mine = slot != NO_SLOT
    if fields is INTEREST:
        mine &= np.isin(wire.segments(packets.tokens), wire.WITH_OPEN_INTEREST)
    rows, slot = packets.rows[mine], slot[mine]
    values = np.stack([rows[field].astype(np.int64) for field in fields.values()], axis=1)
    before, known = memory.step(slot, values)
    fresh = ((before != values) | ~known[:, None]) & slots.wanted["stats"][slot][:, None]
    is_price = np.array([name in PRICES for name in fields])
    fresh &= ~(is_price & (values == 0))
    unit = wire.units(rows["token"].astype(np.int64))
    scaled = np.where(is_price, values / unit[:, None], values)
    row, name = np.nonzero(fresh)
    names = list(fields)
    return _Found(
        packets.at[mine][row],
        slot[row],
        event_times(packets)[mine][row],
        [names[place] for place in name.tolist()],
        scaled[row, name],
    )


def _rows(parts: Sequence[_Found], slots: Slots) -> pa.RecordBatch | None:
    if not parts:
        return None
    order = np.argsort(np.concatenate([part.at for part in parts]), kind="stable")
    names = pa.array([name for part in parts for name in part.name], pa.string())
    columns = {
        "symbol": names_of(slots, np.concatenate([part.slot for part in parts])[order]),
        "ts_event": pa.array(np.concatenate([part.ts_event for part in parts])[order]),
        "name": names.take(pa.array(order)),
        "value": pa.array(np.concatenate([part.value for part in parts])[order]),
    }
    return make_rows("stats", len(order), columns)
