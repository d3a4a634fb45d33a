"""InfluxDB line protocol, read to columns: lines of one layout together.

    measurement,tag=value,… field=value,… timestamp

Where neither quotes nor escapes stand in the way, the places of commas, equals signs and blanks cut
a body into columns: all lines with the same measurement, tags and fields in the same order become
one `Group`. Any other line is scanned by itself (`influx_scan`), and gives a group as well. What is
a line, a name and a value is what the reference of the protocol for InfluxDB 1.8 and 2 says.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tickplant.formats.influx_scan import BadLine, Line, Value, line_end, scan_line, split_lines

Ints = NDArray[np.int64]
Bytes = NDArray[np.uint8]
FieldKind = Literal["number", "integer", "text", "boolean"]

GROUPS_MAX = 64
"""Layouts that are looked for by columns; lines of any further one are scanned one by one."""


class Field(NamedTuple):
    """A column of values of one kind: as they are written, and numbers also as float64."""

    kind: FieldKind
    text: pa.Array
    number: pa.Array | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """Lines of one layout: `n` lines, in the order of the body.

    `places` (n, int64) are their numbers in the body, from 0. `times` (n, int64) are as written,
    None where the lines have none. `lines` (n, binary) are the lines themselves.
    """

    measurement: str
    tags: Mapping[str, pa.Array]
    fields: Mapping[str, Field]
    times: pa.Array | None
    places: Ints
    lines: pa.Array


class Refused(NamedTuple):
    """A line that cannot be read: its number in the body from 0, the line, and why."""

    place: int
    line: bytes
    reason: str


class ReadLines(NamedTuple):
    """What a body came to."""

    groups: list[Group]
    refused: list[Refused]


_LAYOUT = re.compile(rb"((?:,=)*) =((?:,=)*)( ?)\Z")
_DELIMITER, _QUOTE, _END, _ODD = 1, 2, 3, 4  # classes of bytes; 0 is any other
_CLASSES = bytearray(256)
for _members, _class in ((b",= ", _DELIMITER), (b'"', _QUOTE), (b"\n", _END)):
    for _member in _members:
        _CLASSES[_member] = _class
for _member in b"\\\r\t\x00":  # what a regular line does not have
    _CLASSES[_member] = _ODD

_DIGITS = np.zeros(256, np.bool_)
_DIGITS[list(b"0123456789.")] = True
_MINUS, _INTEGER, _MARK = ord("-"), ord("i"), ord('"')
_PLAIN_NUMBER = r"^-?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
_PLAIN_WHOLE = r"^-?\d+$"


def read_lines(body: bytes) -> ReadLines:
    """Read a body of UTF-8. Blank lines and comments count as lines, and are nothing else."""
    layout = _Body(body)
    starts, ends = layout.starts, layout.ends
    groups: list[Group] = []
    left = np.ones(len(starts), np.bool_)
    regular = np.flatnonzero((layout.count(_ODD) == 0) & (ends > starts) & layout.begins_well())
    if len(regular):
        for rows, group in _groups(layout, regular):
            groups.append(group)
            left[rows] = False
    quoted = np.flatnonzero(left & (layout.quotes > 0))
    if any(line_end(body, int(starts[n])) != ends[n] for n in quoted):
        return _scan(list(split_lines(body)))  # a text goes on over several lines
    rest = [(int(n), body[starts[n] : ends[n]]) for n in np.flatnonzero(left)]
    scanned = _scan(rest)
    return ReadLines([*groups, *scanned.groups], scanned.refused)


# -- by columns ------------------------------------------------------------------------------------


class _Body:
    """A body: where its lines are, and where what cuts them."""

    def __init__(self, body: bytes) -> None:
        self.buffer = pa.py_buffer(body)
        self.text = np.frombuffer(body, np.uint8)
        classes = np.frombuffer(body.translate(bytes(_CLASSES)), np.uint8)
        self._marks = np.flatnonzero(classes)
        self._kinds = classes[self._marks]
        ends = self._marks[self._kinds == _END]
        if not len(body) or body[-1:] != b"\n":
            ends = np.append(ends, len(body))
        self.ends = ends
        self.starts = np.concatenate([[0], ends[:-1] + 1])
        self._low = np.searchsorted(self._marks, self.starts)
        self._high = np.searchsorted(self._marks, self.ends)
        self.delimiters = self._marks[self._kinds == _DELIMITER]
        self.quotes = self.count(_QUOTE)

    def count(self, kind: int) -> Ints:
        """Return how many bytes of a class each line has."""
        totals = np.zeros(len(self._kinds) + 1, np.int64)
        np.cumsum(self._kinds == kind, out=totals[1:])
        return np.asarray(totals[self._high] - totals[self._low])

    def begins_well(self) -> NDArray[np.bool_]:
        """Mark lines that begin with neither a comment nor a blank."""
        first = self.byte(self.starts)
        return np.asarray((first != ord("#")) & (first != ord(" ")))

    def byte(self, places: Ints) -> Bytes:
        """Return the bytes at some places, of one behind the end any."""
        return self.text[np.minimum(places, len(self.text) - 1)] if len(self.text) else self.text


def _groups(body: _Body, regular: Ints) -> Iterator[tuple[Ints, Group]]:
    """Yield groups of lines with one layout, and the lines' numbers."""
    delimiters = body.delimiters
    low = np.searchsorted(delimiters, body.starts[regular])
    count = np.searchsorted(delimiters, body.ends[regular]) - low
    found = 0
    for size in np.unique(count).tolist():
        rows = regular[count == size]
        # One row of (n, size + 2): where the line begins, its delimiters, where it ends.
        cuts = np.empty((len(rows), size + 2), np.int64)
        cuts[:, 0] = body.starts[rows] - 1
        cuts[:, 1:-1] = delimiters[low[count == size][:, None] + np.arange(size)]
        cuts[:, -1] = body.ends[rows]
        if found >= GROUPS_MAX:
            return
        while len(rows) and found < GROUPS_MAX:
            found += 1
            alike = _alike(body.text, cuts)
            group = _group(body, rows[alike], cuts[alike])
            if group is not None:
                yield group
            rows, cuts = rows[~alike], cuts[~alike]


def _names_in(layout: bytes) -> tuple[list[int], list[int], bool] | None:
    """Return which tokens of a layout are keys of tags and of fields, and whether a time follows.

    The layout is a line's delimiters. Token 0 is the measurement; a value follows its key.
    """
    match = _LAYOUT.match(layout)
    if match is None:
        return None
    tags = list(range(1, len(match[1]) + 1, 2))
    first = len(match[1]) + 1
    fields = list(range(first, first + len(match[2]) + 1, 2))
    return tags, fields, bool(match[3])


def _alike(text: Bytes, cuts: Ints) -> NDArray[np.bool_]:
    """Mark the lines with the delimiters and the names of the first one."""
    inner = text[cuts[:, 1:-1]]
    alike: NDArray[np.bool_] = (inner == inner[0]).all(axis=1)
    names = _names_in(inner[0].tobytes())
    for token in () if names is None else (0, *names[0], *names[1]):
        starts, stops = cuts[:, token] + 1, cuts[:, token + 1]
        length = int(stops[0] - starts[0])
        alike &= stops - starts == length
        rows = np.flatnonzero(alike)
        found = text[starts[rows][:, None] + np.arange(length)]
        alike[rows[(found != found[0]).any(axis=1)]] = False
    return alike


def _group(body: _Body, rows: Ints, cuts: Ints) -> tuple[Ints, Group] | None:
    """Return those of these lines that are as they should be, as a group; None for none of them."""
    names = _names_in(body.text[cuts[0, 1:-1]].tobytes())
    if names is None:
        return None
    tag_keys, field_keys, timed = names
    tokens = [_Token(body, cuts[:, n] + 1, cuts[:, n + 1]) for n in range(cuts.shape[1] - 1)]
    keys = [tokens[n].first() for n in (0, *tag_keys, *field_keys)]
    if not all(keys) or len(set(keys[1:])) < len(keys) - 1:
        return None  # nameless, or a name that stands there twice
    good = np.ones(len(rows), np.bool_)
    for n in (*tag_keys, *field_keys):
        good &= tokens[n + 1].lengths > 0
    kinds = [_kind_of(tokens[n + 1], good) for n in field_keys]
    good &= body.quotes[rows] == 2 * sum(kind == "text" for kind in kinds)
    if timed:
        good &= tokens[-1].numeric()
    while good.any():
        tokens = [token.keep(good) for token in tokens]
        rows = rows[good]
        try:
            fields = _read_fields(kinds, [tokens[n + 1] for n in field_keys])
            times = _read_whole(tokens[-1].texts()) if timed else None
        except _Unreadable as fault:
            # Where nothing is found wrong one by one, all of them are scanned.
            good = fault.good & (not fault.good.all())
            continue
        tags = [tokens[n + 1].texts() for n in tag_keys]
        split = 1 + len(tag_keys)
        return rows, Group(
            keys[0],
            dict(zip(keys[1:split], tags, strict=True)),
            dict(zip(keys[split:], fields, strict=True)),
            times,
            rows,
            _Token(body, body.starts[rows], body.ends[rows]).texts(pa.binary()),
        )
    return None


class _Token:
    """The same token of many lines, each behind the one before."""

    def __init__(self, body: _Body, starts: Ints, stops: Ints) -> None:
        self._body = body
        self.starts, self.stops = starts, stops
        self.lengths = stops - starts

    def first(self) -> str:
        return self._body.text[self.starts[0] : self.stops[0]].tobytes().decode()

    def keep(self, mask: NDArray[np.bool_]) -> _Token:
        return _Token(self._body, self.starts[mask], self.stops[mask])

    def inside(self, before: int, behind: int) -> _Token:
        """Return the tokens without some bytes at their ends."""
        starts = self.starts + before
        return _Token(self._body, starts, np.maximum(starts, self.stops - behind))

    def begins(self, byte: int) -> NDArray[np.bool_]:
        return np.asarray(self._body.byte(self.starts) == byte)

    def ends(self, byte: int) -> NDArray[np.bool_]:
        return np.asarray(self._body.byte(self.stops - 1) == byte)

    def numeric(self) -> NDArray[np.bool_]:
        """Mark what begins as a number does; the cast finds out whether it is one."""
        minus = self.begins(_MINUS)
        return np.asarray(_DIGITS[self._body.byte(self.starts + minus)] & (self.lengths > minus))

    def texts(self, kind: pa.DataType | None = None) -> pa.Array:
        """Return the tokens as a column of strings, or of binary.

        The body is cut at both ends of every token, and every other piece is taken.
        """
        count = len(self.starts)
        cuts = np.empty(2 * count, np.int32)
        cuts[0::2], cuts[1::2] = self.starts, self.stops
        buffers = [None, pa.py_buffer(cuts), self._body.buffer]
        pieces = pa.Array.from_buffers(kind or pa.string(), 2 * count - 1, buffers)
        return pieces.take(pa.array(np.arange(0, 2 * count, 2)))


def _kind_of(values: _Token, good: NDArray[np.bool_]) -> FieldKind:
    """Return the kind of a field's values by the first good one; lines of others are not good."""
    quoted = values.begins(_MARK) & values.ends(_MARK) & (values.lengths > 1)
    numeric = values.numeric()
    integer = numeric & values.ends(_INTEGER)
    found = np.select([quoted, integer, numeric], [1, 2, 3])
    kinds = found[good]
    kind = int(kinds[0]) if len(kinds) else 0
    good &= (found == kind) & (kind > 0)
    return _KINDS[kind]


_KINDS: tuple[FieldKind, ...] = ("boolean", "text", "integer", "number")


class _Unreadable(Exception):
    """Some lines of a group cannot be read by columns; the mask tells which can."""

    def __init__(self, good: NDArray[np.bool_]) -> None:
        super().__init__()
        self.good = good


def _read_fields(kinds: Sequence[FieldKind], values: Sequence[_Token]) -> list[Field]:
    """Return the values of fields as columns; raises `_Unreadable`."""
    made = []
    for kind, value in zip(kinds, values, strict=True):
        if kind == "text":
            made.append(Field(kind, value.inside(1, 1).texts()))
        elif kind == "integer":
            text = value.inside(0, 1).texts()
            made.append(Field(kind, text, _read_whole(text).cast(pa.float64(), safe=False)))
        else:
            text = value.texts()
            made.append(Field(kind, text, _read_numbers(text)))
    return made


def _read_whole(text: pa.Array) -> pa.Array:
    # Arrow reads hexadecimal digits, too.
    if not pc.any(pc.match_substring(text, "x", ignore_case=True)).as_py():
        with suppress(pa.ArrowInvalid):
            return text.cast(pa.int64())
    long = pc.less(pc.utf8_length(text), 19)
    raise _Unreadable(_mask(pc.and_(pc.match_substring_regex(text, _PLAIN_WHOLE), long)))


def _read_numbers(text: pa.Array) -> pa.Array:
    with suppress(pa.ArrowInvalid):
        number = text.cast(pa.float64())
        finite = np.isfinite(number.to_numpy(zero_copy_only=False))
        if finite.all():
            return number
        raise _Unreadable(finite)
    raise _Unreadable(_mask(pc.match_substring_regex(text, _PLAIN_NUMBER)))


def _mask(found: pa.Array) -> NDArray[np.bool_]:
    return np.asarray(found.to_numpy(zero_copy_only=False))


# -- one by one ------------------------------------------------------------------------------------


def _scan(lines: Sequence[tuple[int, bytes]]) -> ReadLines:
    found: dict[object, list[tuple[int, bytes, Line]]] = {}
    refused: list[Refused] = []
    for place, text in lines:
        try:
            line = scan_line(text)
        except BadLine as fault:
            refused.append(Refused(place, text, str(fault)))
            continue
        if line is not None:
            kinds = tuple((name, value.kind) for name, value in line.fields.items())
            layout = (line.measurement, tuple(line.tags), kinds, line.time is None)
            found.setdefault(layout, []).append((place, text, line))
    return ReadLines([_grouped(alike) for alike in found.values()], refused)


def _grouped(alike: Sequence[tuple[int, bytes, Line]]) -> Group:
    places, texts, lines = zip(*alike, strict=True)
    first: Line = lines[0]
    return Group(
        first.measurement,
        {name: pa.array([line.tags[name] for line in lines], pa.string()) for name in first.tags},
        {name: _field([line.fields[name] for line in lines]) for name in first.fields},
        None if first.time is None else pa.array([line.time for line in lines], pa.int64()),
        np.array(places, np.int64),
        pa.array(texts, pa.binary()),
    )


def _field(values: Sequence[Value]) -> Field:
    text = pa.array([value.text for value in values], pa.string())
    if values[0].number is None:
        return Field(values[0].kind, text)
    return Field(values[0].kind, text, pa.array([value.number for value in values], pa.float64()))
