"""What an import declares to be complete: a span, or the UTC days that a file has rows of.

A file speaks for the instruments that are in it, and for no others.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from tickplant.model.errors import InvalidParameter
from tickplant.model.times import NS_PER_DAY, format_time, parse_time
from tickplant.plant.feed_notes import check_complete

OPTION = "--covers"
DAYS = "days"
_ALLOWED = (
    "START..END with times such as 2024-05-07T00:00:00Z, or days: the UTC days that a file has "
    "rows of"
)

Span = tuple[int, int]


def parse_covers(text: str, now: int) -> Span | None:
    """Return the span that the option names, None for the days of each file.

    Raises `InvalidParameter` for a span without a zone, one that is empty, or not over `now`.
    """
    if text.strip().lower() == DAYS:
        return None
    start, dots, end = text.partition("..")
    if not dots:
        raise InvalidParameter(OPTION, text, _ALLOWED, where="option")
    low, high = (parse_time(part, OPTION, where="option") for part in (start, end))
    check_complete(low, high, now, name=OPTION, where="option")
    return low, high


class FileCovers:
    """Collects what one file is about. `span` is what it covers, None for its days."""

    def __init__(self, path: str, span: Span | None, now: int) -> None:
        self._path, self._span, self._now = path, span, now
        self._names: set[tuple[str, str]] = set()
        self._days: set[int] = set()

    def note(self, rows: pa.RecordBatch, venue: str) -> None:
        """Take rows of the file. Raises `InvalidParameter` for one that is not in the span."""
        if not rows.num_rows:
            return
        pairs = pa.table({name: rows.column(name) for name in ("symbol", "venue")})
        for row in pairs.group_by(["symbol", "venue"]).aggregate([]).to_pylist():
            if row["symbol"] is not None:
                name = row["symbol"].strip().upper(), (row["venue"] or venue).strip().upper()
                self._names.add(name)
        ts = rows.column("ts_event").drop_null().to_numpy()
        if self._span is None:
            self._days.update(np.unique(ts // NS_PER_DAY).tolist())
            return
        outside = ts[(ts < self._span[0]) | (ts >= self._span[1])]
        if len(outside):
            raise InvalidParameter(
                OPTION,
                "..".join(format_time(ts) for ts in self._span),
                f"a span with all rows in it; {self._path} has one at {format_time(outside[0])}",
                where="option",
            )

    def names(self) -> list[tuple[str, str]]:
        """Return (symbol, venue) of the instruments in the file."""
        return sorted(self._names)

    def spans(self) -> list[Span]:
        """Return what the file covers, days that follow each other as one.

        Raises `InvalidParameter` for a day that is not over.
        """
        if self._span is not None:
            return [self._span]
        days = np.array(sorted(self._days), np.int64)
        first = np.flatnonzero(np.append(True, np.diff(days) > 1)) if days.size else days
        ends = days[np.append(first[1:], days.size) - 1] + 1 if days.size else days
        found = list(zip((days[first] * NS_PER_DAY).tolist(), (ends * NS_PER_DAY).tolist(),
                         strict=True))  # fmt: skip
        for start, end in found[-1:]:
            check_complete(start, end, self._now, name=OPTION, where="option")
        return found
