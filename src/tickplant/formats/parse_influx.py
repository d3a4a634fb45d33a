"""InfluxDB line protocol to rows: which measurement is which table, which name is which column.

body ─► lines of one layout as columns ─► table by measurement ─► columns of `INCOMING`
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tickplant.formats.columns import Column, Fault, read_text
from tickplant.formats.influx_lines import Field, Group, Refused, read_lines
from tickplant.formats.parsed import Parsed, assemble, check_text
from tickplant.formats.values import FIELDS, Kind
from tickplant.model.events import QUOTES, TRADES
from tickplant.model.rejects import Reject, row_text
from tickplant.model.times import INT64_MAX, NS_PER_MS, NS_PER_S

PRECISIONS = {
    "ns": 1,
    "n": 1,
    "us": 1_000,
    "u": 1_000,
    "µs": 1_000,
    "µ": 1_000,
    "ms": NS_PER_MS,
    "s": NS_PER_S,
    "m": 60 * NS_PER_S,
    "h": 3_600 * NS_PER_S,
}
"""Units of a line's time and how many nanoseconds each has."""

_COMMON = {
    "symbol": ("symbol", "ticker", "pair", "instrument"),
    "venue": ("venue", "exchange", "feed"),
    "exchange": ("exchange",),
    "key": ("key",),
}
NAMES: dict[str, dict[str, tuple[str, ...]]] = {
    TRADES: {
        **_COMMON,
        "price": ("price", "last"),
        "size": ("size", "amount", "qty", "quantity", "volume"),
        "side": ("side",),
        "id": ("id", "trade_id", "tid"),
        "conditions": ("conditions",),
    },
    QUOTES: {
        **_COMMON,
        "bid_price": ("bid_price", "bid"),
        "bid_size": ("bid_size", "bid_amount", "bid_qty"),
        "ask_price": ("ask_price", "ask"),
        "ask_size": ("ask_size", "ask_amount", "ask_qty"),
    },
}
"""The tags and fields that a column is read from, the first that a line has."""

NOTHING = pa.array(["None"])
"""What collectors written in Python say where they have nothing."""


@dataclass(frozen=True, slots=True)
class InfluxRules:
    """How lines become rows.

    `measurements` gives the table of each pattern; what a `*` behind a dash stands for is the venue
    of lines without one (`trades-COINBASE`). `names` are pairs of a column and a further name that
    goes before the usual ones. `time_field` is a field with the event time, in seconds or RFC 3339,
    which then goes before the line's own.
    """

    measurements: Mapping[str, str]
    names: Sequence[tuple[str, str]] = ()
    time_field: str = ""
    extra: Mapping[str, tuple[str, ...]] = field(init=False)

    def __post_init__(self) -> None:
        extra: dict[str, tuple[str, ...]] = {}
        for column, name in self.names:
            extra[column] = (*extra.get(column, ()), name)
        object.__setattr__(self, "extra", extra)

    def find(self, measurement: str) -> tuple[str, str | None] | None:
        """Return the table of a measurement, and the venue that its name tells."""
        for pattern, table in self.measurements.items():
            if fnmatchcase(measurement, pattern):
                stem = pattern.removesuffix("*")
                tells = pattern.endswith("-*") and len(measurement) > len(stem)
                return table, measurement[len(stem) :] if tells else None
        return None


@dataclass(frozen=True, slots=True)
class InfluxTable:
    """The rows of one table in a body; places count lines. `lines` are those of `parsed.rows`."""

    parsed: Parsed
    lines: pa.Array


@dataclass(frozen=True, slots=True)
class InfluxBody:
    """What a body came to: rows by table, and the lines that belong to none."""

    tables: Mapping[str, InfluxTable]
    refused: tuple[Reject, ...]


def parse_influx(body: bytes, rules: InfluxRules, precision: str = "ns") -> InfluxBody:
    """Parse lines; those that cannot be read are refused, each with its place in the body.

    `precision` is one of `PRECISIONS`. Raises `InvalidBody` where the body is no UTF-8. A line
    without a time has that of its receipt. Any thread may call it.
    """
    if not body.strip(b" \t\r\n\x00"):
        return InfluxBody({}, ())
    found = read_lines(check_text(body))
    refused = [_unreadable(one) for one in found.refused]
    parts: dict[str, list[InfluxTable]] = {}
    for group in found.groups:
        known = rules.find(group.measurement)
        if known is None:
            refused += _unknown(group, rules)
        else:
            table, venue = known
            reader = _GroupReader(group, rules, table, venue, PRECISIONS[precision])
            parts.setdefault(table, []).append(reader.read())
    tables = {table: _joined(some) for table, some in parts.items()}
    return InfluxBody(tables, tuple(sorted(refused, key=lambda one: one.index)))


def _unreadable(one: Refused) -> Reject:
    shown = one.line.decode(errors="replace")
    detail = f"unable to parse '{shown[:200]}': {one.reason}"
    return Reject(one.place, "row_unreadable", detail, row_text(shown))


def _unknown(group: Group, rules: InfluxRules) -> list[Reject]:
    allowed = ", ".join(rules.measurements)
    detail = f"measurement: {group.measurement[:80]} is not allowed; allowed is {allowed}"
    return [
        Reject(place, "measurement_unknown", detail, row_text(line.decode(errors="replace")))
        for place, line in zip(group.places.tolist(), group.lines.to_pylist(), strict=True)
    ]


class _GroupReader:
    """Reads the lines of one group to columns of one table."""

    def __init__(
        self, group: Group, rules: InfluxRules, table: str, venue: str | None, unit_ns: int
    ) -> None:
        self._group = group
        self._rules = rules
        self._table = table
        self._venue = venue
        self._unit_ns = unit_ns

    def read(self) -> InfluxTable:
        """Return the rows; a line with a value that cannot be is refused."""
        group = self._group
        columns: dict[str, Column] = {}
        for name, kind in FIELDS[self._table].items():
            column = self._times() if kind is Kind.TIME else self._column(name, kind)
            if column is not None:
                columns[name] = column
        if "symbol" not in columns:
            columns["symbol"] = (pa.nulls(len(group.places), pa.string()), [])
        if "venue" not in columns and self._venue is not None:
            named = pa.repeat(pa.scalar(self._venue, pa.string()), len(group.places))
            columns["venue"] = (named, [])
        places = group.places.tolist()
        parsed = assemble(self._table, columns, self._row_text, indexes=places)
        kept = parsed.indexes if parsed.indexes is not None else places
        whole = len(kept) == len(places)
        at = None if whole else np.searchsorted(group.places, kept)
        lines = group.lines if at is None else group.lines.take(pa.array(at))
        return InfluxTable(Parsed(parsed.rows, parsed.unreadable, list(kept)), lines)

    def _row_text(self, place: int) -> str:
        return row_text(self._group.lines[place].as_py().decode(errors="replace"))

    def _names(self, name: str) -> Sequence[str]:
        usual = NAMES.get(self._table, {}).get(name, (name,))
        if (
            name == "exchange"
            and self._find(("venue", *self._rules.extra.get("venue", ()))) is None
        ):
            usual = ()  # then the tag `exchange` is the venue
        return (*self._rules.extra.get(name, ()), *usual)

    def _find(self, names: Sequence[str]) -> Field | None:
        for name in names:
            if name in self._group.tags:
                return Field("text", self._group.tags[name])
            if name in self._group.fields:
                return self._group.fields[name]
        return None

    def _column(self, name: str, kind: Kind) -> Column | None:
        found = self._find(self._names(name))
        if found is None:
            return None
        if kind is Kind.NUMBER and found.number is not None:
            return found.number, []
        text = found.text
        if kind is not Kind.NUMBER and pc.any(pc.is_in(text, NOTHING)).as_py():
            text = pc.if_else(pc.is_in(text, NOTHING), pa.scalar(None, pa.string()), text)
        return read_text(kind, name, text)

    def _times(self) -> Column | None:
        if self._rules.time_field:
            found = self._find((self._rules.time_field,))
            if found is not None:
                return _field_times(found)
        times, unit = self._group.times, self._unit_ns
        if times is None or unit == 1:
            return None if times is None else (times, [])
        most = INT64_MAX // unit
        beyond = pc.or_(pc.greater(times, most), pc.less(times, -most))
        faults = _outside(times, np.flatnonzero(beyond.to_numpy(zero_copy_only=False)).tolist())
        return pc.multiply(pc.if_else(beyond, pa.scalar(0, pa.int64()), times), unit), faults


def _field_times(found: Field) -> Column:
    """Return times of a field: RFC 3339, or seconds, of which a float64 holds microseconds."""
    if found.number is None:
        return read_text(Kind.TIME, "ts_event", found.text)
    micros = np.rint(found.number.to_numpy() * 1e6)
    outside = ~(np.abs(micros) < INT64_MAX // 1_000)
    times = np.where(outside, 0, micros).astype(np.int64) * 1_000
    return pa.array(times), _outside(found.text, np.flatnonzero(outside).tolist())


def _outside(shown: pa.Array, places: Sequence[int]) -> list[Fault]:
    allowed = "allowed is a time from 1678 to 2262"
    return [
        Fault(p, "ts_event_invalid", f"ts_event: {shown[p].as_py()} is not allowed; {allowed}")
        for p in places
    ]


def _joined(parts: Sequence[InfluxTable]) -> InfluxTable:
    """Return the rows of several groups in the order of their lines."""
    if len(parts) == 1:
        return parts[0]
    places = np.concatenate([np.array(_indexes(part), np.int64) for part in parts])
    order = np.argsort(places)
    rows = pa.concat_batches([part.parsed.rows for part in parts])
    lines = pa.concat_arrays([part.lines for part in parts])
    unreadable = [reject for part in parts for reject in part.parsed.unreadable]
    parsed = Parsed(
        rows.take(pa.array(order)),
        tuple(sorted(unreadable, key=lambda reject: reject.index)),
        places[order].tolist(),
    )
    return InfluxTable(parsed, lines.take(pa.array(order)))


def _indexes(part: InfluxTable) -> Sequence[int]:
    return part.parsed.indexes or ()
