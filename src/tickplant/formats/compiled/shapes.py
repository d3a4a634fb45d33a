"""What is read from frames by the compiled walk, declared as data: no venue has code for it.

    Table: the columns of a row, and what stands where a frame does not tell one
    Shape: which values of a frame go to which columns, by their paths in its JSON

A path is the keys and places from the outside in, joined by points: `data.b`, `1.a`. What a frame
has besides is stepped over, wherever it stands (`layouts` learns where). What is read here is less
than what JSON allows: no minus, no exponent, no blanks in ladders, no escapes. A frame that is
written otherwise is left to the venue's own reader.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

WHOLE_MAX = 10**18 - 1
"""The largest whole number that is read."""


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole number of at most `max`, in quotation marks or not as `quoted` says."""

    column: str
    max: int = WHOLE_MAX
    quoted: bool = False


@dataclass(frozen=True, slots=True)
class Number:
    """A decimal number to the nearest double, in quotation marks or not; with `above_0` not 0."""

    column: str
    above_0: bool = False


@dataclass(frozen=True, slots=True)
class Iso:
    """A time `2021-04-17T16:43:37.129299Z`, with 1 to 9 decimals or none, as ns."""

    column: str


@dataclass(frozen=True, slots=True)
class Seconds:
    """Seconds since 1970 with 1 to 9 decimals in quotation marks, as ns."""

    column: str


@dataclass(frozen=True, slots=True)
class Flag:
    """`true` or `false`, as 1 or 0."""

    column: str


@dataclass(frozen=True, slots=True)
class Choice:
    """One of some texts, as the number that stands for it."""

    column: str
    values: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Name:
    """The name of an instrument that the reader was told of."""


@dataclass(frozen=True, slots=True)
class Exact:
    """A text that is always the same: others are no frames of this shape."""

    text: str


@dataclass(frozen=True, slots=True)
class Absent:
    """Nothing: frames that have a value there are none of this shape."""


@dataclass(frozen=True, slots=True)
class Word:
    """Letters, digits and underscores, and then always the same text."""

    then: str


@dataclass(frozen=True, slots=True)
class Ladder:
    """A list of levels. `level` is one of them as it is written, byte for byte, the values in
    between; `set` are values of all its levels. `count` is the column of how many there are."""

    count: str
    level: tuple[bytes | Number | Seconds | Choice, ...]
    set: Mapping[str, int] = field(default_factory=dict)


Field = Whole | Number | Iso | Seconds | Flag | Choice | Name | Exact | Absent | Word | Ladder
Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """Columns of whole and of decimal numbers, of rows and of the levels of their ladders.

    Each column is told or set in each shape.
    """

    name: str
    wholes: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()
    level_wholes: tuple[str, ...] = ()
    level_numbers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Shape:
    """Frames that become one row of a table. `mark` are bytes that stand in all of them.

    `fields` are by path, and all that the venue's own reader decodes. Where `ordered`, ladders
    stand in the frame in the order that they have here. Those whose column has a value in `missing`
    may be left out of a frame, all others are there. `set` are values of all rows.
    """

    table: Table
    mark: bytes
    fields: Mapping[str, Field]
    missing: Mapping[str, int] = field(default_factory=dict)
    set: Mapping[str, int] = field(default_factory=dict)
    ordered: bool = True

    def paths(self) -> dict[Path, Field]:
        """Return the fields by their paths, places in lists as numbers."""
        return {
            tuple(int(key) if key.isdigit() else key for key in path.split(".")): one
            for path, one in self.fields.items()
        }
