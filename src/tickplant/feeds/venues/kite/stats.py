"""Statistics from packets: every value that has changed, under a name of its own.

Prices of 0 say that there is none yet. Open interest is told by segments of derivatives only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tickplant.feeds.venues.columns import make_rows
from tickplant.feeds.venues.kite import wire
from tickplant.feeds.venues.kite.changes import Memory
from tickplant.feeds.venues.kite.merged import Merged, merge
from tickplant.feeds.venues.kite.parse import Packets
from tickplant.feeds.venues.kite.slots import Slots

Ints = NDArray[np.int64]

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

_SOURCES = (
    ((wire.INDEX, wire.INDEX_FULL), DAY),
    ((wire.QUOTE, wire.FULL), QUOTE),
    ((wire.FULL,), INTEREST),
)


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
        self._memories = tuple(Memory(len(fields)) for _, fields in _SOURCES)

    def grow(self, slots: int) -> None:
        """Have room for so many instruments."""
        for memory in self._memories:
            memory.grow(slots)

    def forget(self, slots: Ints) -> None:
        """Know nothing of these any more."""
        for memory in self._memories:
            memory.forget(slots)

    def tell(self, packets: dict[int, Packets], slots: Slots) -> pa.RecordBatch | None:
        """Return the values that have changed, None for none."""
        found = []
        for (kinds, fields), memory in zip(_SOURCES, self._memories, strict=True):
            merged = merge(packets, kinds, fields.values(), slots)
            if merged is not None:
                found.append(_changed(merged, memory, fields, slots))
        found = [one for one in found if len(one.at)]
        return _rows(found, slots) if found else None


def _changed(merged: Merged, memory: Memory, fields: Mapping[str, str], slots: Slots) -> _Found:
    values = merged.stacked(fields.values())
    before, known = memory.step(merged.slot, values)
    fresh = (before != values) | ~known[:, None]
    fresh &= slots.wanted["stats"][merged.slot][:, None]
    is_price = np.array([name in PRICES for name in fields])
    fresh &= ~(is_price & (values == 0))
    if fields is INTEREST:
        fresh &= np.isin(wire.segments(merged.tokens), wire.WITH_OPEN_INTEREST)[:, None]
    scaled = np.where(is_price, values / merged.unit[:, None], values)
    row, column = np.nonzero(fresh)
    names = list(fields)
    return _Found(
        merged.at[row],
        merged.slot[row],
        merged.ts_event[row],
        [names[place] for place in column.tolist()],
        scaled[row, column],
    )


def _rows(parts: Sequence[_Found], slots: Slots) -> pa.RecordBatch:
    order = np.argsort(np.concatenate([part.at for part in parts]), kind="stable")
    names = pa.array([name for part in parts for name in part.name], pa.string())
    columns = {
        "symbol": slots.symbols(np.concatenate([part.slot for part in parts])[order]),
        "ts_event": pa.array(np.concatenate([part.ts_event for part in parts])[order]),
        "name": names.take(pa.array(order)),
        "value": pa.array(np.concatenate([part.value for part in parts])[order]),
    }
    return make_rows("stats", len(order), columns)
