"""What is wrong with the rows of a batch, found by whole columns.

Every check first asks of a column whether it may hold anything bad at all (a minimum, a maximum, a
count of nulls) and looks at single rows only if it may, because nearly all batches are clean.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tickplant.checks.bounds import Bounds
from tickplant.model.times import format_time

Bools = NDArray[np.bool_]

# The bare reductions cost half of what the methods of an array do, on a batch of 1,000 rows.
_lowest = np.minimum.reduce
_highest = np.maximum.reduce

_UNIT_GUESSES = ((10**11, "seconds"), (10**14, "milliseconds"), (10**17, "microseconds"))


class Findings:
    """The first thing that is wrong with each row; `accepted` marks the rows with nothing wrong.

    Details are written only when somebody asks for them.
    """

    def __init__(self, count: int) -> None:
        self.accepted: Bools = np.ones(count, np.bool_)
        self._found: dict[int, tuple[str, Callable[[int], str]]] = {}

    def add(self, bad: Bools, reason: str, detail: Callable[[int], str]) -> None:
        """Refuse the rows marked in `bad`, except those that are refused already."""
        for place in np.flatnonzero(bad & self.accepted).tolist():
            self._found[place] = (reason, detail)
            self.accepted[place] = False

    def places(self) -> list[int]:
        """Return the positions of the refused rows, ascending."""
        return sorted(self._found)

    def explain(self, place: int) -> tuple[str, str]:
        """Return reason code and detail of a refused row."""
        reason, detail = self._found[place]
        return reason, detail(place)


def fixed(text: str) -> Callable[[int], str]:
    """Return a detail that is the same for all rows."""
    return lambda _: text


def check_price(findings: Findings, name: str, column: pa.Array, bounds: Bounds) -> None:
    """Check prices; null is left to the caller."""
    values = _filled(column, bounds.price_max)
    if not len(values):
        return
    if _lowest(values) > bounds.price_min and _highest(values) <= bounds.price_max:
        return
    allowed = f"above {bounds.price_min:g} and not above {bounds.price_max:g}"
    small = "not_positive" if bounds.price_min == 0 else "too_small"
    _check_range(findings, name, values, allowed, {
        small: values <= bounds.price_min,
        "too_large": values > bounds.price_max,
    })  # fmt: skip


def check_size(findings: Findings, name: str, column: pa.Array, bounds: Bounds) -> None:
    """Check sizes; null is a size that nobody gave."""
    if column.null_count == len(column):
        return
    values = _filled(column, 0.0)
    if _lowest(values) >= 0 and _highest(values) <= bounds.size_max:
        return
    _check_range(findings, name, values, f"from 0 to {bounds.size_max:g}", {
        "negative": values < 0,
        "too_large": values > bounds.size_max,
    })  # fmt: skip


def _check_range(
    findings: Findings,
    name: str,
    values: NDArray[np.float64],
    allowed: str,
    outside: dict[str, Bools],
) -> None:
    def detail(place: int) -> str:
        return f"{name}: {values[place]:.17g} is not allowed; allowed is a number {allowed}"

    findings.add(~np.isfinite(values), f"{name}_not_finite", detail)
    for what, bad in outside.items():
        findings.add(bad, f"{name}_{what}", detail)


def check_times(findings: Findings, column: pa.Array, bounds: Bounds, now_ns: int) -> None:
    """Check event times; null is the time of receipt."""
    if column.null_count == len(column):
        return
    values = _filled(column, now_ns)
    latest = now_ns + bounds.future_ns_max
    if _lowest(values) >= bounds.ts_event_min and _highest(values) <= latest:
        return
    findings.add(
        values < bounds.ts_event_min,
        "ts_too_old",
        lambda p: (
            f"ts_event: {format_time(values[p])} ({values[p]}) is not allowed; allowed is "
            f"{format_time(bounds.ts_event_min)} and later, in nanoseconds{_guess(int(values[p]))}"
        ),
    )
    findings.add(
        values > latest,
        "ts_in_future",
        lambda p: (
            f"ts_event: {format_time(values[p])} is not allowed; allowed is at most "
            f"{bounds.future_ns_max / 1e9:g} s ahead of our clock, {format_time(now_ns)}"
        ),
    )


def _guess(value: int) -> str:
    for limit, unit in _UNIT_GUESSES:
        if 0 < value < limit:
            return f" (this looks like {unit})"
    return ""


def check_sides(findings: Findings, column: pa.Array) -> None:
    """Check the codes of sides."""
    values = _filled(column, 0)
    if not len(values) or _highest(values.view(np.uint8)) <= 2:
        return
    findings.add(
        values.view(np.uint8) > 2,
        "side_invalid",
        lambda p: f"side: {values[p]} is not allowed; allowed is 0 (unknown), 1 (buy), 2 (sell)",
    )


def check_text(findings: Findings, name: str, column: pa.Array, bytes_max: int) -> pa.Array:
    """Check that no text is longer than `bytes_max` in UTF-8; return null for the empty ones."""
    if column.null_count == len(column):
        return column
    lengths = text_lengths(column)
    if _highest(lengths) > bytes_max:
        _add_long(findings, name, column, lengths, bytes_max)
    return column if _lowest(lengths) > 0 else without_empty(column)


def _add_long(
    findings: Findings, name: str, column: pa.Array, lengths: NDArray[np.int32], bytes_max: int
) -> None:
    present = np.asarray(column.is_valid().to_numpy(zero_copy_only=False))
    findings.add(
        (lengths > bytes_max) & present,
        f"{name}_too_long",
        lambda p: f"{name}: {lengths[p]} bytes are not allowed; allowed are at most {bytes_max}",
    )


def text_lengths(column: pa.Array) -> NDArray[np.int32]:
    """Return the lengths in bytes of the texts of a string or binary column; null has any."""
    start = column.offset
    offsets = np.frombuffer(column.buffers()[1], np.int32)[start : start + len(column) + 1]
    return offsets[1:] - offsets[:-1]


def without_empty(column: pa.Array) -> pa.Array:
    """Return a string or binary column with null for the empty values, which name nothing."""
    empty = pc.equal(pc.binary_length(column), 0)
    if not pc.any(empty).as_py():
        return column
    return pc.if_else(empty, pa.scalar(None, column.type), column)


def _filled(column: pa.Array, value: float) -> NDArray[Any]:
    if column.null_count:
        column = pc.fill_null(column, pa.scalar(value, column.type))
    return np.asarray(column.to_numpy())
