"""Bodies whose rows are all laid out alike, cut into columns without an object for each row.

A program that writes JSON writes every row the same way: the same keys in the same order with the
same blanks. The first row is taken as the template, as texts between the values:

    {"symbol":"A","price":1.5},{"symbol":"B","price":2}
    └── first ──┘ └── 1 ──┘   └───── wrap ────┘ └── 1 ──┘

Without a backslash in the body, every quotation mark begins or ends a string, so the n-th mark of a
row says where the n-th text between values must lie. Cut there, those texts must be, byte for byte,
the template's repeated; then nothing else is between the values, and each value is of the kind that
it has in the first row: a string without a quotation mark, or a word that must be a number. So the
body is JSON, and these are its rows. Anything else is left to the general readers, which are slower
and say what is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tickplant.formats.columns import Column, read_text
from tickplant.formats.compiled.rows import Value, read_rows
from tickplant.formats.values import TIME_ALIASES, Kind

BYTES_MIN = 2_048
"""Smaller bodies are read faster by the general readers."""

BYTES_MAX = 1 << 30  # places are 32-bit
_ROWS_MIN = 8
_NUMBER_BYTES_MAX = 24
_INTEGER_BYTES_MAX = 19

_QUOTE, _MINUS, _POINT, _ZERO = b'"-.0'
_NINE = np.uint8(9)
_BLANK = 0x20
_BLANKS = b" \t\r\n"
_WS = rb"[ \t\r\n]*"
_PAIR = re.compile(
    rb"(" + _WS + rb'"([^"]*)"' + _WS + rb":" + _WS + rb")"
    rb'(?:"[^"]*"|([^" \t\r\n,\[\]{}]+))(' + _WS + rb"[,}])"
)
_LIST_BREAK = re.compile(_WS + rb"," + _WS + rb"\{")
_LINE_BREAK = re.compile(rb"[ \t\r]*\n" + _WS + rb"\{")
_CONTROLS = bytes(range(_BLANK))
Ints = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Template:
    """How every row is laid out.

    `keys` are those of its values in order, `quoted` says which values are strings. `first` is the
    text before the first value of the body, `gaps[k]` the text behind value k; the last gap leads
    to the first value of the next row, of which `tail` is the part that the last row lacks, and
    `between` what is between two rows.
    """

    keys: tuple[str, ...]
    quoted: tuple[bool, ...]
    first: bytes
    gaps: tuple[bytes, ...]
    tail: bytes
    between: bytes


@dataclass(frozen=True, slots=True)
class Regular:
    """Columns of one or more bodies, one after the other, and how many rows each body has."""

    columns: dict[str, Column]
    counts: tuple[int, ...]


def read_regular(
    bodies: Sequence[bytes], kinds: Mapping[str, Kind], keys: Mapping[str, str], *, lines: bool
) -> Regular | None:
    """Read bodies of objects with commas (`lines`: line breaks) between them.

    They are valid UTF-8 without a byte order mark. `kinds` are the fields to read, `keys` the JSON
    key of each. None where their rows are not all alike, are few, or are not surely valid JSON.
    """
    if sum(map(len, bodies)) < BYTES_MIN:
        return None
    texts = [body.strip(_BLANKS) for body in bodies]
    if not all(text[:1] == b"{" and text[-1:] == b"}" for text in texts):
        return None
    template = _template(texts[0], _LINE_BREAK if lines else _LIST_BREAK)
    fields = None if template is None else _fields(template, kinds, keys)
    if template is None or fields is None or (lines and _breaks_inside(template)):
        return None
    # With the tail, the last row ends as every other one does.
    text = template.between.join(texts) + template.tail
    if len(text) > BYTES_MAX or b"\\" in text:
        return None
    found = _read_compiled(text, template, fields, kinds) or _read_cut(
        text, template, fields, kinds
    )
    counts = None if found is None else _counts(found[0], texts, template)
    return None if found is None or counts is None else Regular(found[1], counts)


Read = tuple[NDArray[np.integer[Any]], dict[str, Column]]
"""Where the rows begin, and where one would behind the last; and the columns."""


def _read_compiled(
    text: bytes, template: Template, fields: Mapping[int, str], kinds: Mapping[str, Kind]
) -> Read | None:
    """Read rows by the compiled walk, where it is there and knows all that is in them."""
    values = []
    for place, (quoted, gap) in enumerate(zip(template.quoted, template.gaps, strict=True)):
        name = fields.get(place)
        values.append(Value(name, kinds[name] if name else Kind.TEXT, quoted, gap))
    found = read_rows(text, len(template.first), values)
    if found is None or len(found.begins) < _ROWS_MIN:
        return None
    columns = {name: found.columns[name] for name in fields.values()}
    return np.append(found.begins, len(text)) - len(template.first), columns


def _read_cut(
    text: bytes, template: Template, fields: Mapping[int, str], kinds: Mapping[str, Kind]
) -> Read | None:
    """Read rows by places of quotation marks, as columns of texts that are cast."""
    pieces = _cut(text, template)
    columns = None if pieces is None else _columns(pieces, template, fields, kinds)
    if pieces is None or columns is None:
        return None
    edges = np.frombuffer(pieces.buffers()[1], np.int32, len(pieces) + 1)
    return edges[:: 2 * len(template.gaps)] - len(template.first), columns


def _counts(
    rows: NDArray[np.integer[Any]], texts: list[bytes], template: Template
) -> tuple[int, ...] | None:
    """Return the rows of each body, None where one does not begin where a row does.

    `rows` are where the rows begin, and where one would behind the last.
    """
    if len(texts) == 1:
        return (len(rows) - 1,)
    lengths = np.array([len(text) + len(template.between) for text in texts])
    begins = np.concatenate([[0], np.cumsum(lengths)])
    found = np.searchsorted(rows, begins)
    if (rows[found] != begins).any():
        return None
    return tuple(np.diff(found).tolist())


def _columns(
    pieces: pa.Array, template: Template, fields: Mapping[int, str], kinds: Mapping[str, Kind]
) -> dict[str, Column] | None:
    """Return the columns of these fields, by the place of their values in a row."""
    width = 2 * len(template.gaps)
    steps = np.arange(0, len(pieces), width, dtype=np.int32)
    words = [place for place in fields if not template.quoted[place]]
    numbers = [place for place in words if kinds[fields[place]] is Kind.NUMBER]
    found: dict[str, Column] = {}
    if numbers:  # all at once, which saves more calls than it costs
        texts = pieces.take(pa.array(np.concatenate([steps + 2 * place for place in numbers])))
        if not _are_numbers(texts, _NUMBER_BYTES_MAX):
            return None
        values = texts.cast(pa.float64())
        for at, place in enumerate(numbers):
            found[fields[place]] = values.slice(at * len(steps), len(steps)), []
    for place, name in fields.items():
        if place in numbers:
            continue
        texts = pieces.take(pa.array(steps + 2 * place))
        column = _read_integers(kinds[name], texts) if place in words else None
        if place in words and column is None:
            return None
        found[name] = column or read_text(kinds[name], name, texts)
    return found


def _template(text: bytes, row_break: re.Pattern[bytes]) -> Template | None:
    """Return the layout of the first row, None where it is not of strings and words alone."""
    keys, quoted, before, after = [], [], [], []
    at, end = 1, b","
    while end == b",":
        pair = _PAIR.match(text, at)
        if pair is None:
            return None
        lead, key, word, close = pair.groups()
        if not key.isascii():
            return None
        mark = b"" if word is not None else b'"'
        keys.append(key.decode())
        quoted.append(word is None)
        before.append(lead + mark)
        after.append(mark + close)
        at, end = pair.end(), close[-1:]
    found = row_break.match(text, at)
    if found is None or len(set(keys)) < len(keys):
        return None
    tail = found[0] + before[0]
    following = [*before[1:], tail]
    gaps = tuple(one + other for one, other in zip(after, following, strict=True))
    return Template(tuple(keys), tuple(quoted), b"{" + before[0], gaps, tail, found[0][:-1])


def _breaks_inside(template: Template) -> bool:
    """Say whether an object goes over several lines, which no line of NDJSON may."""
    return b"\n" in template.first + b"".join(template.gaps[:-1]) or (
        template.gaps[-1].partition(b"}")[0].count(b"\n") > 0
        or template.gaps[-1].rpartition(b"{")[2].count(b"\n") > 0
    )


def _fields(
    template: Template, kinds: Mapping[str, Kind], keys: Mapping[str, str]
) -> dict[int, str] | None:
    """Return the field of each value that is read, by its place, in the order of the fields.

    None where the symbol is missing, the time has several names, or a value that is not read is no
    string, which would then have to be looked at.
    """
    places = {key: place for place, key in enumerate(template.keys)}
    found = {places[key]: name for name, key in keys.items() if name in kinds and key in places}
    aliases = [places[alias] for alias in TIME_ALIASES if alias in places]
    aliases = [place for place in aliases if place not in found]
    if aliases and (len(aliases) > 1 or "ts_event" in found.values()):
        return None
    found.update(dict.fromkeys(aliases, "ts_event"))
    if "symbol" not in found.values():
        return None
    if not all(template.quoted[place] for place in places.values() if place not in found):
        return None
    return found


def _cut(text: bytes, template: Template) -> pa.Array | None:
    """Return values and gaps in turn as texts, None where a row is laid out differently."""
    data = np.frombuffer(text, np.uint8)
    marks = np.flatnonzero(data == _QUOTE)
    gap_marks = [gap.count(b'"') for gap in template.gaps]
    lead, each = template.first.count(b'"'), sum(gap_marks)
    count, rest = divmod(len(marks) - lead, each)
    if rest or count < _ROWS_MIN or not text.startswith(template.first):
        return None
    if int(np.count_nonzero(data < _BLANK)) != _controls(template, count):
        return None
    offsets = _offsets(marks[lead:].reshape(count, each), gap_marks, template)
    if offsets[-1] != len(text) or (offsets[1:] < offsets[:-1]).any():
        return None
    buffers = (pa.py_buffer(offsets), pa.py_buffer(text))
    pieces = pa.StringArray.from_buffers(len(offsets) - 1, *buffers)
    gaps = pieces.take(pa.array(np.arange(1, len(pieces), 2, dtype=np.int32)))
    wanted = b"".join(template.gaps) * count
    return pieces if gaps.buffers()[2].slice(0, len(wanted)).equals(pa.py_buffer(wanted)) else None


def _offsets(marks: NDArray[np.intp], gap_marks: list[int], template: Template) -> Ints:
    """Return where each value begins and ends, as offsets of an array of values and gaps in turn.

    `marks` are the places of the quotation marks, a row each, `gap_marks` how many each gap has.
    """
    count, width = len(marks), len(template.gaps)
    offsets = np.empty(2 * width * count + 1, np.int32)
    edges = offsets[:-1].reshape(count, 2 * width)
    mark = 0
    for place, gap in enumerate(template.gaps):
        end = marks[:, mark] - gap.index(b'"')
        edges[:, 2 * place + 1] = end
        if place + 1 < width:
            edges[:, 2 * place + 2] = end + len(gap)
        else:
            edges[1:, 0] = end[:-1] + len(gap)
            offsets[-1] = end[-1] + len(gap)
        mark += gap_marks[place]
    offsets[0] = len(template.first)
    return offsets


def _controls(template: Template, count: int) -> int:
    """Return how many control characters stand between the values of so many rows."""
    between = b"".join(template.gaps)
    once, each = (len(t) - len(t.translate(None, _CONTROLS)) for t in (template.first, between))
    return once + count * each


def _read_integers(kind: Kind, texts: pa.Array) -> Column | None:
    """Return words as times or ids, None where they are not integers of 64 bits."""
    if kind not in (Kind.TIME, Kind.ID) or not _are_numbers(texts, _INTEGER_BYTES_MAX):
        return None
    if not _are_digits(_bytes_of(texts)).all():
        return None
    if kind is Kind.ID:
        return texts, []
    try:
        return texts.cast(pa.int64()), []
    except pa.ArrowInvalid:
        return None


def _are_numbers(texts: pa.Array, bytes_max: int) -> bool:
    """Say whether all are numbers of JSON without an exponent, of at most so many bytes.

    `texts` begin at the beginning of their buffers.
    """
    offsets = np.frombuffer(texts.buffers()[1], np.int32, len(texts) + 1).astype(np.intp)
    data = _bytes_of(texts)
    lengths = offsets[1:] - offsets[:-1]
    if int(lengths.min()) < 1 or int(lengths.max()) > bytes_max:
        return False
    digit, minus, point = _are_digits(data), data == _MINUS, data == _POINT
    if not (digit | minus | point).all():
        return False
    starts = offsets[:-1]
    if minus.any():
        negative = minus.take(starts)
        if np.count_nonzero(minus) != np.count_nonzero(negative) or (lengths == negative).any():
            return False
        starts, lengths = starts + negative, lengths - negative
    heads = data.take(starts)
    if not (_are_digits(heads) & digit.take(offsets[1:] - 1)).all():
        return False
    if np.add.reduceat(point.view(np.uint8), starts).max() > 1:
        return False
    zero = starts[(heads == _ZERO) & (lengths > 1)]
    return bool(point.take(zero + 1).all())


def _are_digits(data: NDArray[np.uint8]) -> NDArray[np.bool_]:
    # What is below the digits wraps around to what is above them.
    return np.asarray(data - np.uint8(_ZERO) <= _NINE)


def _bytes_of(texts: pa.Array) -> NDArray[np.uint8]:
    offsets = np.frombuffer(texts.buffers()[1], np.int32, len(texts) + 1)
    return np.frombuffer(texts.buffers()[2], np.uint8, int(offsets[-1]))
