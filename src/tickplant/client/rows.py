"""Rows on their way to the plant, and the receipt for them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec
import pyarrow as pa

from tickplant.formats.result import Rows

ARROW_TYPE = "application/vnd.apache.arrow.stream"
JSON_TYPE = "application/json"
BODY_ROWS_MAX = 250_000
"""Rows sent in one request; more are sent in several."""


class Rejected(msgspec.Struct, frozen=True):
    """A refused row: its place among those sent, a short code and a sentence."""

    index: int
    reason: str
    detail: str | None = None


class Receipt(msgspec.Struct, frozen=True):
    """What became of rows that were sent; the numbers are None where none was accepted."""

    accepted: int
    duplicates: int
    rejected: list[Rejected]
    seq_first: int | None = None
    seq_last: int | None = None


def merge_receipts(receipts: list[Receipt], sizes: list[int]) -> Receipt:
    """Return one receipt for rows that were sent in several bodies of these sizes."""
    rejected: list[Rejected] = []
    before = 0
    for receipt, size in zip(receipts, sizes, strict=True):
        rejected += [
            Rejected(one.index + before, one.reason, one.detail) for one in receipt.rejected
        ]
        before += size
    firsts = [one.seq_first for one in receipts if one.seq_first is not None]
    lasts = [one.seq_last for one in receipts if one.seq_last is not None]
    return Receipt(
        sum(one.accepted for one in receipts),
        sum(one.duplicates for one in receipts),
        rejected,
        min(firsts, default=None),
        max(lasts, default=None),
    )


def encode_bodies(rows: Any) -> Iterator[tuple[bytes, str, int]]:
    """Yield bodies, their media types and how many rows each has.

    Takes a dictionary, dictionaries, an Arrow table or batch, a pandas or a polars data frame.
    """
    table = as_table(rows)
    if table is None:
        listed = [rows] if isinstance(rows, Mapping) else list(rows)
        for first in range(0, max(len(listed), 1), BODY_ROWS_MAX):
            part = listed[first : first + BODY_ROWS_MAX]
            yield msgspec.json.encode(part), JSON_TYPE, len(part)
        return
    for first in range(0, max(table.num_rows, 1), BODY_ROWS_MAX):
        part = table.slice(first, BODY_ROWS_MAX)
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, part.schema) as writer:
            writer.write_table(part)
        yield sink.getvalue().to_pybytes(), ARROW_TYPE, part.num_rows


def as_table(rows: Any) -> pa.Table | None:
    """Return rows as an Arrow table where they are columns, None for dictionaries."""
    if isinstance(rows, Rows):
        return rows.arrow()
    if isinstance(rows, pa.Table):
        return rows
    if isinstance(rows, pa.RecordBatch):
        return pa.Table.from_batches([rows])
    if hasattr(rows, "to_arrow"):  # polars
        return rows.to_arrow()
    if hasattr(rows, "iloc"):  # pandas
        return pa.Table.from_pandas(rows, preserve_index=False)
    if not isinstance(rows, Iterable):
        raise TypeError(
            f"rows: {type(rows).__name__} is not allowed; allowed are dictionaries, "
            "Arrow tables, pandas and polars data frames"
        )
    return None
