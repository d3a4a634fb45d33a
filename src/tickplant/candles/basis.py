"""What a candle is made of: trades, or one side of the quotes, or their middle.

Candles of trades take of each trade what its sale conditions let it update. Candles of quotes, on
whichever side, also have the spreads of those quotes that have two sides.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tickplant.candles.cells import Cells
from tickplant.candles.conditions import InstrumentRules
from tickplant.candles.grid import Grid
from tickplant.candles.runs import COLUMNS, QUOTE_COLUMNS, Bits
from tickplant.candles.states import Columns, States, build
from tickplant.model.events import QUOTES, TRADES

BASES = ("trade", "mid", "bid", "ask")

VALUES = {TRADES: ("price", "size"), QUOTES: ("bid_price", "ask_price")}
"""The two columns of a table whose values candles are made of."""

_HEADER = ("instrument", "ts_event", "seq")
_CONDITIONS = "conditions"


def table_of(basis: str) -> str:
    """Return the table whose events a basis is made of."""
    return TRADES if basis == "trade" else QUOTES


def has_volume(basis: str) -> bool:
    """Say whether candles of this basis have a volume and a vwap; those of quotes have none."""
    return basis == "trade"


def columns_of(basis: str, *, conditions: bool = False) -> tuple[str, ...]:
    """Return the columns that `rows_of` reads; `conditions` where rules want them."""
    named = (_CONDITIONS,) if conditions and basis == "trade" else ()
    return (*_HEADER, *VALUES[table_of(basis)], *named)


def height_of(basis: str) -> int:
    """Return the number of rows of a block of states, which are more for quotes."""
    return COLUMNS if basis == "trade" else QUOTE_COLUMNS


@dataclass(frozen=True, slots=True)
class Rows:
    """Columns that candles are built of, all of shape (n,).

    Quotes have no `size` but a `spread` and a `middle`, NaN where a side is missing. `updates` are
    bits of `Update`, None where every row updates everything.
    """

    instrument: NDArray[np.int32]
    ts: NDArray[np.int64]
    seq: NDArray[np.int64]
    price: NDArray[np.float64]
    size: NDArray[np.float64] | None
    updates: Bits | None = None
    spread: NDArray[np.float64] | None = None
    middle: NDArray[np.float64] | None = None

    @property
    def columns(self) -> Columns:
        """All but the instruments."""
        return Columns(
            self.ts, self.seq, self.price, self.size, self.updates, self.spread, self.middle
        )

    def build(self, grid: Grid | Cells, instrument: int | None = None) -> States:
        """Return the states of these rows; `instrument` where all are of one."""
        return build(
            grid,
            self.instrument if instrument is None else instrument,
            self.ts,
            self.seq,
            self.price,
            self.size,
            updates=self.updates,
            spread=self.spread,
            middle=self.middle,
        )


def rows_of(basis: str, table: pa.Table | pa.RecordBatch, rules: InstrumentRules) -> Rows:
    """Return the rows of a table of events that a basis is made of; null becomes NaN.

    The middle is (bid + ask) / 2 and the spread ask - bid where both sides are present, else NaN.
    `rules` apply where the table has the conditions of its trades.
    """
    updates = None
    if basis == "trade" and _CONDITIONS in table.schema.names:
        instrument = _column(table, "instrument")
        updates = rules.updates(instrument, table.column(_CONDITIONS))
    first, second = (_floats(table, name) for name in VALUES[table_of(basis)])
    numbers, ts, seq = (_column(table, name) for name in _HEADER)
    return rows_of_values(basis, numbers, ts, seq, first, second, updates)


def rows_of_values(
    basis: str,
    instrument: NDArray[np.int32],
    ts: NDArray[np.int64],
    seq: NDArray[np.int64],
    first: NDArray[np.float64],
    second: NDArray[np.float64],
    updates: Bits | None = None,
) -> Rows:
    """Return the rows that a basis is made of, from columns of shape (n,).

    `first` and `second` are those that `VALUES` names; null is NaN.
    """
    if basis == "trade":
        return Rows(instrument, ts, seq, first, second, updates)
    middle = (first + second) / 2
    price = {"bid": first, "ask": second, "mid": middle}[basis]
    return Rows(instrument, ts, seq, price, None, spread=second - first, middle=middle)


def _column(table: pa.Table | pa.RecordBatch, name: str) -> Any:
    column = table.column(name)
    if isinstance(column, pa.ChunkedArray):
        return column.to_numpy()
    return column.to_numpy(zero_copy_only=False)


def _floats(table: pa.Table | pa.RecordBatch, name: str) -> NDArray[np.float64]:
    return np.asarray(_column(table, name), dtype=np.float64)
