"""Check statistics: what is told has a name of a plain form, and a value that can be so.

Reason codes: `name_missing`, `name_invalid`; `value_missing`, `value_not_finite`; and for the names
that have bounds `value_negative`, `value_too_large`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tickplant.checks.bounds import STAT_NAME_MAX, Bounds
from tickplant.checks.findings import Bools, Findings, fixed
from tickplant.model.errors import InvalidParameter, shorten

_NAME = re.compile(rf"[a-z0-9_]{{1,{STAT_NAME_MAX}}}\Z")
_NAME_ALLOWED = f"1 to {STAT_NAME_MAX} of a-z, 0-9 and _"

OPEN_INTERESTS = ("open_interest", "open_interest_high", "open_interest_low")
"""The names whose values `checks.open_interest_max` and `.open_interest_venues` bound."""

VOLUMES = ("volume", "buy_quantity", "sell_quantity")
"""The names whose values are sizes."""


def parse_stat_names(given: str | Iterable[str] | None) -> tuple[str, ...] | None:
    """Return the names that are asked for, in a text with commas or one by one; None for any.

    Raises `InvalidParameter` for what no statistic can be called.
    """
    if given is None:
        return None
    names = tuple(one.strip() for one in (given.split(",") if isinstance(given, str) else given))
    if not names or not all(_NAME.match(name) for name in names):
        allowed = f"names of {_NAME_ALLOWED}, with commas between them"
        raise InvalidParameter("name", ",".join(names), allowed)
    return names


def check_stats(findings: Findings, rows: pa.RecordBatch, venue: str, bounds: Bounds) -> None:
    """Check names and values of statistics; `venue` is that of rows that name none."""
    names, values = rows.column("name"), rows.column("value")
    encoded = names.dictionary_encode()
    codes = np.asarray(pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False))
    distinct = encoded.dictionary.to_pylist()
    _check_names(findings, codes, distinct)
    missing = np.asarray(values.is_null().to_numpy(zero_copy_only=False))
    findings.add(missing, "value_missing", fixed("value: missing; allowed is a number"))
    numbers = np.asarray(values.to_numpy(zero_copy_only=False), np.float64)
    findings.add(
        ~np.isfinite(numbers) & ~missing,
        "value_not_finite",
        lambda p: f"value: {numbers[p]:g} is not allowed; allowed is a finite number",
    )
    for code, name in enumerate(distinct):
        if name in OPEN_INTERESTS:
            highest = _open_interest_max(rows.column("venue"), venue, bounds)
        elif name in VOLUMES:
            highest = np.full(len(numbers), bounds.size_max)
        else:
            continue
        _check_range(findings, codes == code, name, numbers, highest)


def _check_names(findings: Findings, codes: NDArray[np.int32], distinct: list[str]) -> None:
    findings.add(codes == -1, "name_missing", fixed(f"name: missing; allowed is {_NAME_ALLOWED}"))
    bad = np.array([not _NAME.match(name) for name in distinct] or [False])
    if bad.any():
        findings.add(
            bad.take(codes, mode="clip") & (codes >= 0),
            "name_invalid",
            lambda p: (
                f"name: {shorten(distinct[codes[p]])} is not allowed; allowed is {_NAME_ALLOWED}"
            ),
        )


def _open_interest_max(venues: pa.Array, venue: str, bounds: Bounds) -> NDArray[np.float64]:
    """Return the greatest open interest that each row may tell of."""
    others = bounds.open_interest_venues
    usual = others.get(venue, bounds.open_interest_max)
    highest = np.full(len(venues), usual)
    if venues.null_count < len(venues):
        encoded = venues.dictionary_encode()
        codes = np.asarray(pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False))
        for code, name in enumerate(encoded.dictionary.to_pylist()):
            most = others.get(name.strip().upper(), bounds.open_interest_max)
            highest[codes == code] = most
    return highest


def _check_range(
    findings: Findings,
    mine: Bools,
    name: str,
    values: NDArray[np.float64],
    highest: NDArray[np.float64],
) -> None:
    def detail(place: int) -> str:
        given = f"value: {values[place]:.17g} is not allowed"
        return f"{given}; allowed is a number from 0 to {highest[place]:g} for {name}"

    findings.add(mine & (values < 0), "value_negative", detail)
    findings.add(mine & (values > highest), "value_too_large", detail)
