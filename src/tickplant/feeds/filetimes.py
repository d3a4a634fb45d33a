"""The times of a file, which come in many forms, to nanoseconds UTC.

Integers are seconds, milliseconds, microseconds or nanoseconds since 1970. Unless the unit is
given, their magnitude tells it: below 1e11 they are seconds (to the year 5138), below 1e14
milliseconds, below 1e17 microseconds, else nanoseconds; times before March 1973 need the unit. A
file has one unit. Text is RFC 3339; text and timestamps without a zone need one to be given, and
a row in an hour that the zone has twice or not at all is refused, never guessed.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tickplant.formats.columns import Column, Fault, read_array
from tickplant.formats.values import Kind
from tickplant.model.errors import InvalidBody, InvalidParameter, shorten
from tickplant.model.times import INT64_MAX

UNITS = {"s": 9, "ms": 6, "us": 3, "ns": 0}
"""Units of integer times, with the digits that each has less than nanoseconds."""

_LIMITS = ((10**11, "s"), (10**14, "ms"), (10**17, "us"), (2**63, "ns"))
_ZONED = re.compile(r"([zZ]|[+-]\d\d(:?\d\d)?)\Z")
_NUMBER = re.compile(r"\s*-?\d+(\.\d*)?\s*\Z", re.ASCII)
_FIELD = "ts_event"


class TimeReader:
    """Reads the time column of one file, chunk by chunk; what the first chunk shows holds for all.

    `unit` is that of integers, `zone` the IANA name for times without a zone. `where` names file
    and column in messages.
    """

    def __init__(self, where: str, *, unit: str | None = None, zone: str | None = None) -> None:
        self._where = where
        self._unit = unit
        self._given = unit is not None
        self._zone = zone
        self._naive: bool | None = None
        check_options(unit, zone)

    def read(self, array: pa.Array) -> Column:  # noqa: PLR0911 - one line a type
        """Return int64 nanoseconds, null where there is no time, and the values that are bad.

        Raises `InvalidBody` where the column as a whole cannot be read.
        """
        kind = array.type
        if pa.types.is_dictionary(kind):
            return self.read(array.dictionary_decode())
        if pa.types.is_timestamp(kind):
            return self._read_stamps(array)
        if pa.types.is_date(kind):
            return self._read_stamps(array.cast(pa.timestamp("s")))
        if pa.types.is_integer(kind):
            return self._read_integers(array.cast(pa.int64(), safe=False))
        if pa.types.is_floating(kind):
            return self._read_floats(array)
        if pa.types.is_string(kind) or pa.types.is_large_string(kind):
            return self._read_text(array.cast(pa.string()))
        if pa.types.is_null(kind):
            return pa.nulls(len(array), pa.int64()), []
        raise self._refuse(f"times of type {kind} are not allowed; allowed are timestamps, "
                           "integers, floats and text")  # fmt: skip

    def _refuse(self, what: str) -> InvalidBody:
        return InvalidBody(f"{self._where}: {what}")

    def _read_stamps(self, array: pa.Array) -> Column:
        if array.type.tz is None:
            return self._read_naive_stamps(array)
        return read_array(Kind.TIME, _FIELD, array)

    def _read_naive_stamps(self, array: pa.Array) -> Column:
        zone = self._zone
        if zone is None:
            raise self._refuse("its times have no zone; give the time zone")
        zoned, faults = _convert(
            array,
            lambda part: pc.assume_timezone(part, zone),
            pa.timestamp(array.type.unit, zone),
            f"a time that the zone {zone} has once",
        )
        read, more = read_array(Kind.TIME, _FIELD, zoned)
        return read, faults + more

    def _read_integers(self, values: pa.Array) -> Column:
        unit = self._find_unit(values)
        if unit is None:
            return values, []
        return read_array(Kind.TIME, _FIELD, values.view(pa.timestamp(unit, "UTC")))

    def _find_unit(self, values: pa.Array) -> str | None:
        """Return the unit of integers or floats; None when there are none."""
        if self._given:
            return self._unit
        low, high = pc.min_max(values).as_py().values()
        if low is None:
            return self._unit
        units = {next((u for limit, u in _LIMITS if abs(v) < limit), "ns") for v in (low, high)}
        if self._unit is not None:
            units.add(self._unit)
        if len(units) > 1:
            raise self._refuse(
                f"its times from {low} to {high} are in several units ({', '.join(sorted(units))});"
                " give the time unit"
            )
        self._unit = units.pop()
        return self._unit

    def _read_floats(self, array: pa.Array) -> Column:
        """Read floats to the microsecond; seconds as float64 hold no more."""
        values = array.cast(pa.float64())
        unit = self._find_unit(values)
        if unit is None:
            return pa.nulls(len(array), pa.int64()), []
        micros = np.round(values.to_numpy(zero_copy_only=False) * 10.0 ** (UNITS[unit] - 3))
        bad = ~(np.abs(micros) < 2.0**63)
        whole = pa.array(np.where(bad, 0, micros).astype(np.int64), mask=bad)
        return read_array(Kind.TIME, _FIELD, whole.view(pa.timestamp("us", "UTC")))

    def _read_text(self, text: pa.Array) -> Column:
        first = next((t for t in text.drop_null()[:100].to_pylist() if t), None)
        if first is None:
            return pa.nulls(len(text), pa.int64()), []
        if _NUMBER.match(first):
            return self._read_digits(text, first)
        if self._naive is None:
            self._naive = _ZONED.search(first[10:]) is None
        if self._naive:
            return self._read_naive(text)
        return read_array(Kind.TIME, _FIELD, text)

    def _read_digits(self, text: pa.Array, first: str) -> Column:
        text = _without_empty(text)
        if "." not in first:
            allowed = "an integer, as the first time of the file is"
            integers, faults = _cast(text, pa.int64(), allowed)
            read, more = self._read_integers(integers)
            return read, faults + more
        allowed = "a number, as the first time of the file is"
        scaled, faults = _cast(text, pa.decimal128(38, 9), allowed)
        unit = self._find_unit(scaled.cast(pa.float64()))
        read, more = _exact(scaled, 10 ** UNITS[unit or "s"])
        return read, faults + more

    def _read_naive(self, text: pa.Array) -> Column:
        if self._zone is None:
            raise self._refuse("its times have no zone; give the time zone")
        allowed = "a time such as 2014-05-07 00:00:00"
        stamps, faults = _cast(_without_empty(text), pa.timestamp("ns"), allowed)
        read, more = self._read_naive_stamps(stamps)
        return read, faults + more


def _without_empty(text: pa.Array) -> pa.Array:
    return pc.if_else(pc.equal(text, ""), pa.scalar(None, pa.string()), text)


def _cast(text: pa.Array, kind: pa.DataType, allowed: str) -> Column:
    return _convert(text, lambda part: part.cast(kind), kind, allowed)


def _convert(
    array: pa.Array, convert: Callable[[pa.Array], pa.Array], kind: pa.DataType, allowed: str
) -> Column:
    """Convert a column, by halves where that fails, down to the single values that are bad."""
    try:
        return convert(array), []
    except pa.ArrowInvalid:
        pass
    if len(array) == 1:
        detail = f"{_FIELD}: {shorten(str(array[0]))} is not allowed; allowed is {allowed}"
        return pa.nulls(1, kind), [Fault(0, f"{_FIELD}_invalid", detail)]
    half = len(array) // 2
    left, faults = _convert(array[:half], convert, kind, allowed)
    right, more = _convert(array[half:], convert, kind, allowed)
    faults += [Fault(half + fault.position, fault.reason, fault.detail) for fault in more]
    return pa.concat_arrays([left, right]), faults


def _exact(numbers: pa.Array, factor: int) -> Column:
    """Return decimals times `factor` as integers, without a float in between."""
    values: list[int | None] = []
    faults: list[Fault] = []
    for position, item in enumerate(numbers.to_pylist()):
        value = None if item is None else int(item * factor)
        if value is not None and abs(value) > INT64_MAX:
            detail = f"{_FIELD}: {item} is not allowed; allowed is a time from 1678 to 2262"
            faults.append(Fault(position, f"{_FIELD}_invalid", detail))
            value = None
        values.append(value)
    return pa.array(values, pa.int64()), faults


def check_options(unit: str | None, zone: str | None) -> None:
    """Raise `InvalidParameter` where there is no such unit or zone."""
    if unit is not None and unit not in UNITS:
        raise InvalidParameter("time-unit", unit, ", ".join(UNITS), where="option")
    if zone is None:
        return
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        allowed = "an IANA name such as America/New_York"
        raise InvalidParameter("timezone", zone, allowed, where="option") from None
