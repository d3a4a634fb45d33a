"""What a producer hands to the plant, and the receipt it gets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from tickplant.model.rejects import Reject

__all__ = ["Receipt", "Reject", "Submission"]


PUSH_FEED = "push"
"""The feed of what comes over HTTP."""


@dataclass(frozen=True, slots=True)
class Submission:
    """Rows of one table from one feed, parsed but not yet checked.

    `rows` has the schema `model.events.INCOMING[table]`. `unreadable` are rows that could not even
    be parsed to columns; their `index` counts in the body, and `indexes` gives the place in the
    body of each row of `rows` (None when they are 0, 1, 2, …). With `strict` one bad row refuses
    all. `flags` are set on every row.
    """

    table: str
    rows: pa.RecordBatch
    feed: str = PUSH_FEED
    venue: str = "ORIGIN"
    flags: int = 0
    strict: bool = False
    unreadable: Sequence[Reject] = field(default=())
    indexes: Sequence[int] | None = None


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a submission. The numbers are None where no row was accepted.

    `seq_first` and `seq_last` are those of its first and last accepted row.
    """

    accepted: int
    duplicates: int
    rejected: tuple[Reject, ...]
    seq_first: int | None
    seq_last: int | None
