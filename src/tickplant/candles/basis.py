"""What a candle is made of: trades, or one side of the quotes, or their middle."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tickplant.candles.grid import Grid
from tickplant.candles.states import States, build
from tickplant.model.events import QUOTES, TRADES

BASES = ("trade", "mid", "bid", "ask")

_PRICES = {"trade": ("price",), "bid": ("bid_price",), "ask": ("ask_price",),
           "mid": ("bid_price", "ask_price")}  # fmt: skip


def table_of(basis: str) -> str:
    """Return the table whose events a basis is made of."""
    return TRADES if basis == "trade" else QUOTES


def has_volume(basis: str) -> bool:
    """Say whether candles of this basis have a volume and a vwap; those of quotes have none."""
    return basis == "trade"


def columns_of(basis: str) -> tuple[str, ...]:
    """Return the columns that `rows_of` reads."""
    sizes = ("size",) if has_volume(basis) else ()
    return ("instrument", "ts_event", "seq", *_PRICES[basis], *sizes)


@dataclass(frozen=True, slots=True)
class Rows:
    """Columns that candles are built of, all of shape (n,); `size` is None for quotes."""

    instrument: NDArray[np.int32]
    ts: NDArray[np.int64]
    seq: NDArray[np.int64]
    price: NDArray[np.float64]
    size: NDArray[np.float64] | None

    def build(self, grid: Grid, instrument: int | None = None) -> States:
        """Return the states of these rows; `instrument` where all are of one."""
        numbers = self.instrument if instrument is None else instrument
        return build(grid, numbers, self.ts, self.seq, self.price, self.size)


def rows_of(basis: str, table: pa.Table | pa.RecordBatch) -> Rows:
    """Return the rows of a table of events that a basis is made of; null becomes NaN.

    The middle is (bid + ask) / 2 where both sides are present, else NaN.
    """
    first, *second = (_floats(table, name) for name in _PRICES[basis])
    return Rows(
        _column(table, "instrument"),
        _column(table, "ts_event"),
        _column(table, "seq"),
        (first + second[0]) / 2 if second else first,
        _floats(table, "size") if has_volume(basis) else None,
    )


def _column(table: pa.Table | pa.RecordBatch, name: str) -> Any:
    column = table.column(name)
    if isinstance(column, pa.ChunkedArray):
        return column.to_numpy()
    return column.to_numpy(zero_copy_only=False)


def _floats(table: pa.Table | pa.RecordBatch, name: str) -> NDArray[np.float64]:
    return np.asarray(_column(table, name), dtype=np.float64)
