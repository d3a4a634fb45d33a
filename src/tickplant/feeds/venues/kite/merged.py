"""Packets of several kinds as columns in the order of their arrival."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
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
    packets: Mapping[int, Packets],
    kinds: Iterable[np.dtype[np.void]],
    names: Iterable[str],
    slots: Slots,
) -> Merged | None:
    """Return these fields of the packets of these kinds, None where there are no such packets.

    Their instruments have slots.
    """
    parts = [packets[kind.itemsize] for kind in kinds if kind.itemsize in packets]
    if not parts:
        return None
    at, tokens = _joined(part.at for part in parts), _joined(part.tokens for part in parts)
    ts_recv = _joined(part.ts_recv for part in parts)
    columns = {name: _joined(part.column(name) for part in parts) for name in (*names, "time")}
    if len(parts) > 1:
        order = np.argsort(at, kind="stable")
        at, tokens, ts_recv = at[order], tokens[order], ts_recv[order]
        columns = {name: column[order] for name, column in columns.items()}
    time_s = columns["time"]
    ts_event = np.where(time_s > 0, time_s * NS_PER_S, ts_recv)
    return Merged(at, slots.find(tokens), tokens, wire.units(tokens), ts_recv, ts_event, columns)


def _joined(columns: Iterable[Ints]) -> Ints:
    found = list(columns)
    return found[0] if len(found) == 1 else np.concatenate(found)
