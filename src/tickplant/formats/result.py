"""Rows as a caller in Python gets them, from a folder and from a running plant alike."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow as pa

from tickplant.model.errors import UserError
from tickplant.model.times import format_times

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

JSON_TEXT = {b"tickplant.text": b"json"}
"""Metadata of an Arrow field whose texts are JSON."""
_ABOUT = b"tickplant.about"


def with_about(table: pa.Table, about: Mapping[str, Any]) -> pa.Table:
    """Return a table that says in its metadata what is the same for all rows, as JSON."""
    return table.replace_schema_metadata({_ABOUT: msgspec.json.encode(about)})


def split_about(table: pa.Table) -> tuple[pa.Table, dict[str, Any]]:
    """Return a table without what `with_about` added, and that; empty where nothing was."""
    found = (table.schema.metadata or {}).get(_ABOUT)
    about = {} if found is None else msgspec.json.decode(found, type=dict[str, Any])
    return table.replace_schema_metadata(None), about


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

    def __len__(self) -> int:
        return int(self._table.num_rows)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield one dictionary a row; times are RFC 3339 text, as in JSON and in the stream."""
        yield from plain_rows(self._table)

    def __repr__(self) -> str:
        known = "".join(f" {name}={value}" for name, value in self.about.items())
        return f"<Rows {len(self)} x {self._table.num_columns}{known}>"


def plain_rows(table: pa.Table) -> Iterator[dict[str, Any]]:
    """Yield rows as dictionaries: times as RFC 3339 text, what is missing as None.

    Columns whose field is marked `JSON_TEXT` give the values that the text says, as in JSON.
    """
    names = table.column_names
    for batch in table.to_batches(max_chunksize=10_000):
        columns = [
            _sent_values(column) if field.metadata == JSON_TEXT else plain_values(column)
            for field, column in zip(batch.schema, batch.columns, strict=True)
        ]
        for values in zip(*columns, strict=True):
            yield dict(zip(names, values, strict=True))


def plain_values(column: pa.Array) -> list[Any]:
    """Return the values of a column; times are RFC 3339 text, local ones without a zone."""
    if not pa.types.is_timestamp(column.type):
        return list(column.to_pylist())
    in_ns = column.cast(pa.timestamp("ns", column.type.tz)).cast(pa.int64())
    texts = format_times(in_ns.fill_null(0).to_numpy(zero_copy_only=False))
    if column.type.tz is None:
        texts = [text.removesuffix("Z") for text in texts]
    known = column.is_valid().to_pylist()
    return [text if there else None for text, there in zip(texts, known, strict=True)]


def read_json_text(text: str) -> Any:
    """Return what a JSON text says; a text that is not JSON stays as it is."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return text


def _sent_values(column: pa.Array) -> list[Any]:
    return [None if text is None else read_json_text(text) for text in column.to_pylist()]


def _require(name: str) -> None:
    try:
        __import__(name)
    except ImportError:
        raise UserError(
            f"{name} is not installed; `make setup` or `pip install {name}` installs it"
        ) from None
