"""Rows as a caller in Python gets them, from a folder and from a running plant alike."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from tickplant.model.errors import UserError

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl


class Rows:
    """The rows of one query: an Arrow table that turns into pandas or Polars, or is iterated.

    Columns are those of the API's Arrow format; times are timestamps in ns, UTC. `about` holds what
    is the same for all rows, such as symbol, venue and interval. Immutable.
    """

    __slots__ = ("_table", "about")

    def __init__(self, table: pa.Table, about: Mapping[str, Any] | None = None) -> None:
        self._table = table
        self.about: Mapping[str, Any] = dict(about or {})

    def arrow(self) -> pa.Table:
        """Return the rows as an Arrow table, without a copy."""
        return self._table

    def pandas(self) -> pd.DataFrame:
        """Return the rows as a pandas DataFrame; raises `UserError` where pandas is missing."""
        _require("pandas")
        frame: pd.DataFrame = self._table.to_pandas()
        return frame

    def polars(self) -> pl.DataFrame:
        """Return the rows as a Polars DataFrame; raises `UserError` where Polars is missing."""
        _require("polars")
        import polars  # noqa: PLC0415 - optional

        frame = polars.from_arrow(self._table)
        assert isinstance(frame, polars.DataFrame)
        return frame

    def to_list(self) -> list[dict[str, Any]]:
        """Return one dictionary a row; times are integers, nanoseconds UTC."""
        return list(self)

    def __len__(self) -> int:
        return int(self._table.num_rows)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield one dictionary a row; times are integers, nanoseconds UTC."""
        for batch in _plain(self._table).to_batches(max_chunksize=10_000):
            yield from batch.to_pylist()

    def __repr__(self) -> str:
        known = "".join(f" {name}={value}" for name, value in self.about.items())
        return f"<Rows {len(self)} x {self._table.num_columns}{known}>"


def _plain(table: pa.Table) -> pa.Table:
    """Return the table with timestamps as integers: Python's own times end at microseconds."""
    for place, field in enumerate(table.schema):
        if pa.types.is_timestamp(field.type):
            in_ns = table.column(place).cast(pa.timestamp("ns", field.type.tz)).cast(pa.int64())
            table = table.set_column(place, field.name, in_ns)
    return table


def _require(name: str) -> None:
    try:
        __import__(name)
    except ImportError:
        raise UserError(
            f"{name} is not installed; `pip install 'tickplant[{name}]'` brings it"
        ) from None
