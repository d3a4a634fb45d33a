"""A refused row: bad market data is a value, never an exception."""

from __future__ import annotations

from dataclasses import dataclass


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
