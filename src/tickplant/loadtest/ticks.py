"""The ticks of a load: made by number, so that whoever reads them back knows what they must be."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tickplant.formats.parsed import incoming_batch
from tickplant.model.events import TRADES

VENUE = "LOAD"
"""The venue of all ticks of loads, so that they are not taken for a market's."""

Ints = NDArray[np.int64]


def symbols(count: int) -> list[str]:
    """Return the symbols of so many instruments."""
    return [f"LOAD{number:05d}" for number in range(count)]


@dataclass(frozen=True, slots=True)
class Sums:
    """What rows come to: how many, their sizes, their prices in hundredths. All whole numbers."""

    rows: int = 0
    sizes: int = 0
    cents: int = 0

    def __add__(self, other: Sums) -> Sums:
        return Sums(self.rows + other.rows, self.sizes + other.sizes, self.cents + other.cents)

    @classmethod
    def of(cls, price: NDArray[np.float64], size: NDArray[np.float64]) -> Sums:
        """Add up columns of prices of two decimals and of whole sizes."""
        cents = np.rint(price * 100).astype(np.int64)
        return cls(len(price), int(size.astype(np.int64).sum()), int(cents.sum()))


class Ticks:
    """Trades of made-up instruments. Tick k of a seed is the same whenever it is made.

    `base` is added to a tick's number to make its id, so that no two runs share one.
    """

    def __init__(self, instruments: int, *, base: int, seed: int = 1) -> None:
        self.instruments = instruments
        self.base = base
        self._seed = seed
        self._names = pa.array(symbols(instruments))
        self._venue = pa.scalar(VENUE)

    def every(self, ts: int) -> tuple[pa.RecordBatch, Sums]:
        """Return one tick of each instrument, numbered from 0; makes all of them known."""
        return self._rows(0, np.arange(self.instruments), np.full(self.instruments, ts))

    def make(self, first: int, times: Ints) -> tuple[pa.RecordBatch, Sums]:
        """Return the ticks from number `first` on, one for each event time, and their sums."""
        random = np.random.Generator(np.random.PCG64([self._seed, first]))
        return self._rows(first, random.integers(0, self.instruments, len(times)), times)

    def _rows(self, first: int, chosen: Ints, times: Ints) -> tuple[pa.RecordBatch, Sums]:
        count = len(times)
        random = np.random.Generator(np.random.PCG64([self._seed, first, 1]))
        price = np.round(100.0 + chosen % 100 + random.random(count), 2)
        size = random.integers(1, 500, count).astype(np.float64)
        ids = pa.array(self.base + np.arange(first, first + count))
        rows = incoming_batch(
            TRADES,
            symbol=self._names.take(pa.array(chosen)),
            venue=pa.repeat(self._venue, count),
            ts_event=pa.array(times),
            price=pa.array(price),
            size=pa.array(size),
            side=pa.array((chosen % 2 + 1).astype(np.int8)),
            id=ids.cast(pa.string()),
        )
        return rows.select([n for n in rows.schema.names if rows[n].null_count < count]), Sums.of(
            price, size
        )
