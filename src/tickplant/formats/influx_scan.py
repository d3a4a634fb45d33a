"""One line of the InfluxDB line protocol, with its escapes and quotes.

A backslash takes the meaning from a comma, an equals sign and a blank in names and tags, and from a
quote and a backslash in a text; before anything else it is a backslash. A text in quotes may go on
over several lines.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

from tickplant.model.times import INT64_MAX, INT64_MIN

Kind = Literal["number", "integer", "text", "boolean"]

_NAME = re.compile(rb"(?:[^,= \\]+|\\[,= ]|\\)*+")
_MEASUREMENT = re.compile(rb"(?:[^, \\]+|\\[, ]|\\)*+")
_TEXT = re.compile(rb'"((?:[^"\\]+|\\[\s\S])*+)"')
_BARE = re.compile(rb"[^, ]*")
_NUMBER = re.compile(rb"-?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?\Z")
_WHOLE = re.compile(rb"(-?\d+)([iu])\Z")
_TIME = re.compile(rb"-?\d{1,19}\Z")
_TRUE, _FALSE = (
    frozenset({b"t", b"T", b"true", b"True", b"TRUE"}),
    frozenset({b"f", b"F", b"false", b"False", b"FALSE"}),
)
_ESCAPED = re.compile(rb"\\([,= ])")
_ESCAPED_MEASUREMENT = re.compile(rb"\\([, ])")
_ESCAPED_TEXT = re.compile(rb'\\(["\\])')
_BLANKS = b" \t\x00"
UNSIGNED_MAX = 2**64 - 1


class BadLine(ValueError):
    """A line that cannot be read, and why."""


class Value(NamedTuple):
    """The value of a field: as written, and as a number where it is one."""

    kind: Kind
    text: str
    number: float | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """What a line says; the time is as written."""

    measurement: str
    tags: dict[str, str]
    fields: dict[str, Value]
    time: int | None


def scan_line(line: bytes) -> Line | None:
    """Return what a line says, None for a blank one or a comment. Raises `BadLine`."""
    line = line.removesuffix(b"\r").lstrip(_BLANKS)
    if not line or line.startswith(b"#"):
        return None
    scanner = _Scanner(line)
    measurement = scanner.measurement()
    tags = scanner.tags()
    fields = scanner.fields()
    return Line(measurement, tags, fields, scanner.time())


def split_lines(body: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the number and the bytes of each line; a text in quotes may hold line ends.

    The number counts the line ends before it. A text that never ends takes its own line alone.
    """
    at = number = 0
    while at < len(body):
        end = line_end(body, at)
        yield number, body[at:end]
        number += body.count(b"\n", at, end) + 1
        at = end + 1


def line_end(body: bytes, at: int) -> int:
    """Return where the line ends that begins at a place."""
    end = body.find(b"\n", at)
    end = len(body) if end < 0 else end
    if body[at : at + 1] == b"#":
        return end
    head = _UPTO_FIELDS.match(body, at)
    assert head is not None  # it matches nothing, too
    found = _FIELDS.match(body, head.end())
    assert found is not None
    # It stops before a text that never ends; there can be only one such in a body.
    return end if body[found.end() : found.end() + 1] == b"=" else found.end()


_UPTO_FIELDS = re.compile(rb"(?:[^ \\\n]+|\\[^\n]|\\)*+ ?")
_FIELDS = re.compile(rb'(?:[^="\\\n]+|\\[=, ]|\\|="(?:[^"\\]+|\\[\s\S])*+"|=(?!")|")*+')


class _Scanner:
    def __init__(self, line: bytes) -> None:
        self._line = line
        self._at = 0

    def _take(self, pattern: re.Pattern[bytes]) -> bytes:
        match = pattern.match(self._line, self._at)
        assert match is not None  # every pattern here matches nothing, too
        self._at = match.end()
        return match[0]

    def _next(self) -> bytes:
        return self._line[self._at : self._at + 1]

    def _name(self, what: str) -> str:
        found = self._take(_NAME)
        if not found:
            raise BadLine(f"missing {what}")
        if self._next() != b"=":
            raise BadLine(f"missing value of the {what} {_shown(found)}")
        self._at += 1
        return _ESCAPED.sub(rb"\1", found).decode()

    def measurement(self) -> str:
        found = self._take(_MEASUREMENT)
        if not found:
            raise BadLine("missing measurement")
        return _ESCAPED_MEASUREMENT.sub(rb"\1", found).decode()

    def tags(self) -> dict[str, str]:
        tags: dict[str, str] = {}
        while self._next() == b",":
            self._at += 1
            name = self._name("tag key")
            value = self._take(_NAME)
            if not value:
                raise BadLine(f"missing value of the tag key {_shown(name.encode())}")
            if name in tags:
                raise BadLine(f"duplicate tags: {_shown(name.encode())}")
            tags[name] = _ESCAPED.sub(rb"\1", value).decode()
        return tags

    def _skip_blanks(self) -> None:
        while self._next() and self._next() in _BLANKS:
            self._at += 1

    def fields(self) -> dict[str, Value]:
        if self._next() == b"=":
            raise BadLine("a tag value holds an equals sign that is not escaped")
        self._skip_blanks()
        if not self._next():
            raise BadLine("missing fields")
        fields: dict[str, Value] = {}
        while True:
            name = self._name("field key")
            fields[name] = self._value(name)  # of a name that stands there twice the last counts
            if self._next() != b",":
                return fields
            self._at += 1

    def _value(self, name: str) -> Value:
        if self._next() == b'"':
            match = _TEXT.match(self._line, self._at)
            if match is None:
                raise BadLine(f"unbalanced quotes in the field {_shown(name.encode())}")
            self._at = match.end()
            if self._next() not in (b",", b" ", b""):
                raise BadLine(f"something follows the text of the field {_shown(name.encode())}")
            return Value("text", _ESCAPED_TEXT.sub(rb"\1", match[1]).decode())
        return _bare(self._take(_BARE), name)

    def time(self) -> int | None:
        self._skip_blanks()
        found = self._line[self._at :].rstrip(_BLANKS)
        if not found:
            return None
        if not _TIME.match(found) or not INT64_MIN <= int(found) <= INT64_MAX:
            raise BadLine(f"bad timestamp {_shown(found)}")
        return int(found)


def _bare(found: bytes, name: str) -> Value:
    if not found:
        raise BadLine(f"missing value of the field {_shown(name.encode())}")
    if _NUMBER.match(found):
        number = float(found)
        if abs(number) == float("inf"):
            raise BadLine(f"the number {_shown(found)} is out of range")
        return Value("number", found.decode(), number)
    whole = _WHOLE.match(found)
    if whole is not None:
        return _whole(whole, found)
    if found in _TRUE or found in _FALSE:
        return Value("boolean", "true" if found in _TRUE else "false")
    raise BadLine(f"the value {_shown(found)} of the field {_shown(name.encode())} is none")


def _whole(whole: re.Match[bytes], found: bytes) -> Value:
    number = int(whole[1])
    low, high = (INT64_MIN, INT64_MAX) if whole[2] == b"i" else (0, UNSIGNED_MAX)
    if not low <= number <= high:
        raise BadLine(f"the integer {_shown(found)} is out of range")
    return Value("integer", whole[1].decode(), float(number))


def _shown(found: bytes) -> str:
    return repr(found[:60].decode(errors="replace"))
