"""A refused row: bad market data is a value, never an exception."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import pyarrow as pa

from tickplant.model.events import SIDES


@dataclass(frozen=True, slots=True)
class Reject:
    """A refused row.

    `index` is its place in the producer's body, from 0. `reason` is a short code that is counted
    (`price_not_positive`), `detail` a sentence that names field, value and what is allowed, `row`
    the row as JSON text.
    """

    index: int
    reason: str
    detail: str
    row: str
    symbol: str | None = None

    @classmethod
    def of_row(cls, rows: pa.RecordBatch, place: int, reason: str, detail: str) -> Reject:
        """Return the reject of a row of a batch of `INCOMING`; its index is its place there."""
        row = {
            name: rows.column(name)[place].as_py()
            for name in rows.schema.names
            if rows.column(name)[place].is_valid
        }
        if "side" in row:
            row["side"] = dict(enumerate(SIDES)).get(row["side"], row["side"])
        shown = {name: value for name, value in row.items() if value is not None}
        return cls(place, reason, detail, row_text(shown), row.get("symbol"))


ROW_TEXT_MAX = 4_096


def row_text(row: object) -> str:
    """Return a row, a mapping of what its producer sent, as JSON text; see `cut_text`."""
    try:
        text = msgspec.json.encode(row, enc_hook=_plain).decode()
    except (ValueError, TypeError, RecursionError, OverflowError):
        text = _quote(repr(row)[:ROW_TEXT_MAX])
    return cut_text(text)


def _plain(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def cut_text(text: str) -> str:
    """Return JSON text, or a JSON string with its beginning when it is longer than 4,096."""
    return text if len(text) <= ROW_TEXT_MAX else _quote(text[:ROW_TEXT_MAX] + "…")


def _quote(text: str) -> str:
    return msgspec.json.encode(text.encode(errors="replace").decode()).decode()
