"""Packets of several kinds as columns in the order of their arrival."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tickplant.feeds.venues.kite import wire
from tickplant.feeds.venues.kite.parse import Packets
from tickplant.feeds.venues.kite.slots import Slots
from tickplant.model.times import NS_PER_S

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Merged:
    """Columns of packets, all of shape (n,).

    `at` is their place among all packets, `slot` that of the instrument, `unit` by what its prices
    are divided; `ts_event` is the exchange's time where it is told, else that of receipt. A packet
    without a field has 0 in its column.
    """

    at: Ints
    slot: Ints
    tokens: Ints
    unit: NDArray[np.float64]
    ts_recv: Ints
    ts_event: Ints
    columns: Mapping[str, Ints]

    def __len__(self) -> int:
        return len(self.at)

    def stacked(self, names: Iterable[str]) -> Ints:
        """Return some columns side by side, shape (n, names)."""
        return np.stack([self.columns[name] for name in names], axis=1)


def merge(
    packets: Mapping[int, Packets], kinds: Iterable[np.dtype[np.void]], slots: Slots
) -> Merged | None:
    """Return the packets of these kinds, None for none. Their instruments have slots."""
    parts = [packets[kind.itemsize] for kind in kinds if kind.itemsize in packets]
    if not parts:
        return None
    at = np.concatenate([part.at for part in parts])
    slot = slots.find(np.concatenate([part.tokens for part in parts]))
    order = np.argsort(at, kind="stable") if len(parts) > 1 else np.arange(len(at))
    names = dict.fromkeys(name for part in parts for name in part.fields)
    columns = {name: _column(parts, name)[order] for name in names}
    ts_recv = np.concatenate([part.ts_recv for part in parts])[order]
    time_s = columns.get("time", np.zeros(len(order), np.int64))
    return Merged(
        at[order],
        slot[order],
        columns["token"],
        wire.units(columns["token"]),
        ts_recv,
        np.where(time_s > 0, time_s * NS_PER_S, ts_recv),
        columns,
    )


def _column(parts: Iterable[Packets], name: str) -> Ints:
    return np.concatenate(
        [
            part.rows[name].astype(np.int64)
            if name in part.fields
            else np.zeros(len(part), np.int64)
            for part in parts
        ]
    )


def symbols_of(slots: Slots, slot: Ints) -> pa.Array:
    """Return the symbols of slots."""
    return pa.array(slots.names, pa.string()).take(pa.array(slot))
