"""How frames of a shape are laid out, learned from one of them.

    {"e":"trade","p":"7.61",…}  ─► literal {"e":"  text  literal ","p":"  number  literal " …

Names of values, brackets, commas and blanks have to stand in another frame byte for byte as they do
here; values may be others of the same kind. So when a venue adds a value, or sends them in another
order, one frame is looked into anew, and those like it are read as before. What could be read in
two ways is not learned: a key that stands twice, an escape, a list of values that were not
declared.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from tickplant.formats.compiled import steps
from tickplant.formats.compiled.shapes import (
    Absent,
    Choice,
    Exact,
    Field,
    Flag,
    Iso,
    Ladder,
    Name,
    Number,
    Path,
    Seconds,
    Shape,
    Table,
    Whole,
    Word,
)

DEPTH_MAX = 8
"""How deep values may be nested in a frame whose layout is learned."""

_BLANK = re.compile(rb"[ \t\r\n]*")
_TEXT = re.compile(rb'"([^"\\\x00-\x1f\x7f-\xff]*)"')
_NUMBER = re.compile(rb"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?![0-9.eE+-])")
_WORD = re.compile(rb"true|false|null")

_OPS = {Number: steps.NUMBER, Seconds: steps.SECONDS, Iso: steps.ISO, Flag: steps.FLAG}


class NotLearned(ValueError):
    """A frame from which no layout can be learned for a shape."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The steps of frames that are laid out alike; literals hold their bytes."""

    table: Table
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """One step (see `steps`); of a literal, `text` are its bytes."""

    op: int
    first: int = 0
    column: int = 0
    in_level: bool = False
    text: bytes = b""


def learn_layout(frame: bytes, shape: Shape) -> Layout:
    """Return how a frame is laid out. Raises `NotLearned`, as for all that is no valid JSON."""
    learner = _Learner(frame, shape)
    learner.learn()
    return Layout(shape.table, tuple(learner.written.steps))


class _Written:
    """Steps as they are found, literals that follow one another as one."""

    def __init__(self, table: Table) -> None:
        self.steps: list[Step] = []
        self._table = table

    def literal(self, text: bytes) -> None:
        if self.steps and self.steps[-1].op == steps.LITERAL:
            text = self.steps.pop().text + text
        if text:
            self.steps.append(Step(steps.LITERAL, text=text))

    def field(self, field: Field, *, in_level: bool = False) -> None:
        """Write the step of a value; quotation marks are literals around it."""
        if isinstance(field, Name):
            self.steps.append(Step(steps.NAME))
        elif isinstance(field, Choice):
            column = self.whole(field.column, in_level)
            self.steps.append(Step(steps.CHOICE, len(field.values), column, in_level))
            self.steps += [
                Step(steps.OPTION, column=value, text=text.encode())
                for text, value in field.values.items()
            ]
        elif isinstance(field, Number):
            table = self._table
            numbers = table.level_numbers if in_level else table.numbers
            column = numbers.index(field.column)
            self.steps.append(Step(steps.NUMBER, int(field.above_0), column, in_level))
        elif isinstance(field, Whole):
            self.steps.append(Step(steps.WHOLE, field.max, self.whole(field.column, in_level)))
        elif isinstance(field, Seconds | Iso | Flag):
            column = self.whole(field.column, in_level)
            self.steps.append(Step(_OPS[type(field)], 0, column, in_level))
        else:
            raise TypeError(f"{field!r} is no single value")

    def set(self, column: str, value: int, *, in_level: bool = False) -> None:
        self.steps.append(Step(steps.SET, value, self.whole(column, in_level), in_level))

    def whole(self, column: str, in_level: bool) -> int:
        return (self._table.level_wholes if in_level else self._table.wholes).index(column)

    def ladder(self, ladder: Ladder) -> None:
        begin = len(self.steps)
        self.steps.append(Step(steps.LADDER))
        for piece in ladder.level:
            if isinstance(piece, bytes):
                self.literal(piece)
            else:
                self.field(piece, in_level=True)
        for column, value in ladder.set.items():
            self.set(column, value, in_level=True)
        count = self.whole(ladder.count, False)
        self.steps.append(Step(steps.NEXT, begin + 1, count))
        self.steps[begin] = Step(steps.LADDER, len(self.steps), count)


class _Learner:
    def __init__(self, frame: bytes, shape: Shape) -> None:
        self.written = _Written(shape.table)
        self._frame = frame
        self._shape = shape
        self._paths = shape.paths()
        self._found: list[Path] = []

    def learn(self) -> None:
        if self._value(0, ()) != len(self._frame):  # without a blank in front, as venues tell by
            raise NotLearned("something stands behind the frame")
        missing = self._shape.missing
        for path, field in self._paths.items():
            if path not in self._found and not missing.keys() >= _columns(field):
                raise NotLearned(f"{path} is missing")
        ladders = [path for path in self._found if isinstance(self._paths[path], Ladder)]
        if self._shape.ordered and ladders != [path for path in self._paths if path in ladders]:
            raise NotLearned("ladders stand in another order")
        told = {column for path in self._found for column in _columns(self._paths[path])}
        for column, value in {**missing, **self._shape.set}.items():
            if column not in told:
                self.written.set(column, value)

    # -- the frame ----------------------------------------------------------------------------

    def _blank(self, at: int) -> int:
        found = _BLANK.match(self._frame, at)
        assert found is not None, "it matches nothing, too"
        self.written.literal(found[0])
        return found.end()

    def _take(self, at: int, letter: bytes) -> int:
        """Take a byte as a literal, and the blanks behind it."""
        if self._frame[at : at + 1] != letter:
            raise NotLearned(f"byte {at}: no {letter!r}")
        self.written.literal(letter)
        return self._blank(at + 1)

    def _value(self, at: int, path: Path) -> int:
        """Learn a value; return the place behind it and the blanks that follow."""
        field = self._paths.get(path)
        opens = self._frame[at : at + 1]
        if len(path) > DEPTH_MAX:
            raise NotLearned("nested too deep")
        if field is not None:
            self._found.append(path)
            return self._blank(self._field(at, field))
        if opens == b"{":
            return self._members(self._take(at, b"{"), path)
        if opens == b"[":
            return self._items(self._take(at, b"["), path)
        return self._blank(self._skipped(at))

    def _members(self, at: int, path: Path) -> int:
        keys: set[bytes] = set()
        while self._frame[at : at + 1] != b"}":
            at = self._take(at, b",") if keys else at
            key = self._text(at)
            if key in keys:
                raise NotLearned(f"{key!r} stands twice")
            keys.add(key)
            self.written.literal(b'"%s"' % key)
            at = self._take(self._blank(at + len(key) + 2), b":")
            at = self._value(at, (*path, key.decode()))
        return self._take(at, b"}")

    def _items(self, at: int, path: Path) -> int:
        """Learn a list, all of whose values have to be declared."""
        place = 0
        while place == 0 or self._frame[at : at + 1] != b"]":
            inside = (*path, place)
            if not any(one[: len(inside)] == inside for one in self._paths):
                raise NotLearned(f"{inside} is not declared")
            at = self._value(self._take(at, b",") if place else at, inside)
            place += 1
        return self._take(at, b"]")

    def _skipped(self, at: int) -> int:
        if self._frame[at : at + 1] == b'"':
            text = self._text(at)
            self._quoted(Step(steps.SKIP_TEXT))
            return at + len(text) + 2
        for kind, op in ((_NUMBER, steps.SKIP_NUMBER), (_WORD, steps.SKIP_WORD)):
            found = kind.match(self._frame, at)
            if found is not None:
                self.written.steps.append(Step(op))
                return found.end()
        raise NotLearned(f"byte {at}: a value of another kind")

    def _text(self, at: int) -> bytes:
        found = _TEXT.match(self._frame, at)
        if found is None:
            raise NotLearned(f"byte {at}: no plain text")
        return found[1]

    def _quoted(self, step: Step) -> None:
        self.written.literal(b'"')
        self.written.steps.append(step)
        self.written.literal(b'"')

    # -- fields -------------------------------------------------------------------------------

    def _field(self, at: int, field: Field) -> int:
        """Learn a declared value; return the place behind it."""
        if isinstance(field, Ladder):
            return self._ladder(at, field)
        if isinstance(field, Exact | Word):
            return self._fixed(at, field)
        if isinstance(field, Absent):
            raise NotLearned(f"byte {at}: a value that is not expected")
        quoted = self._frame[at : at + 1] == b'"'
        if quoted not in _quotes(field):
            raise NotLearned(f"byte {at}: a value of another kind")
        if quoted:
            text = self._text(at)
            self.written.literal(b'"')
            self.written.field(field)
            self.written.literal(b'"')
            return at + len(text) + 2
        found = (_WORD if isinstance(field, Flag) else _NUMBER).match(self._frame, at)
        if found is None:
            raise NotLearned(f"byte {at}: a value of another kind")
        self.written.field(field)
        return found.end()

    def _fixed(self, at: int, field: Exact | Word) -> int:
        text = self._text(at)
        then = (field.text if isinstance(field, Exact) else field.then).encode()
        if not text.endswith(then) or (isinstance(field, Exact) and text != then):
            raise NotLearned(f"{text!r} is not {then!r}")
        self.written.literal(b'"')
        if isinstance(field, Word):
            self.written.steps.append(Step(steps.WORD))
        self.written.literal(then + b'"')
        return at + len(text) + 2

    def _ladder(self, at: int, ladder: Ladder) -> int:
        found = _ladder_pattern(ladder).match(self._frame, at)
        if found is None:
            raise NotLearned(f"byte {at}: a ladder of another form")
        self.written.ladder(ladder)
        return found.end()


def _quotes(field: Field) -> tuple[bool, ...]:
    """Return whether a value may stand in quotation marks, and whether it may not."""
    if isinstance(field, Number):
        return True, False
    return (field.quoted if isinstance(field, Whole) else not isinstance(field, Flag),)


def _columns(field: Field) -> set[str]:
    if isinstance(field, Ladder):
        return {field.count}
    if isinstance(field, Absent):
        return set()
    return {""} if isinstance(field, Name | Exact | Word) else {field.column}


def _ladder_pattern(ladder: Ladder) -> re.Pattern[bytes]:
    level = b"".join(
        re.escape(piece) if isinstance(piece, bytes) else _piece_pattern(piece)
        for piece in ladder.level
    )
    return re.compile(rb"\[(?:%s(?:,%s)*)?\]" % (level, level))


def _piece_pattern(field: Number | Seconds | Choice) -> bytes:
    if isinstance(field, Choice):
        return b"(?:%s)" % b"|".join(re.escape(text.encode()) for text in field.values)
    return rb"[0-9.]+"
