"""Query parameters: declared once, for the parser and for the OpenAPI document alike."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl

from tickplant.formats.encode import FORMATS, JSON
from tickplant.model.errors import Complaint, InvalidParameter, UserError, shorten
from tickplant.model.times import format_time, parse_time

LIMIT_MAX = 10_000
LIMIT_DEFAULT = 1_000
TIME_EXAMPLE = "2014-05-07T00:00:00Z"
TIME_SCHEMA: Mapping[str, Any] = {
    "type": "string",
    "pattern": r"^\s*([+-]?\d{1,19}|\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d([.,]\d{1,9})?)?"
    r"([Zz]|[+ -]\d\d:?\d\d))\s*$",
}
"""A time in a query or a path: RFC 3339 with a zone, or integer nanoseconds, from 1678 to 2262."""

_QUERIES_KEPT = 256
_QUERY_KEPT_CHARS = 256

_WHOLE = re.compile(r"\d{1,9}\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class Param:
    """One query parameter; `parse(text)` raises `InvalidParameter`, absent means `default`."""

    name: str
    parse: Callable[[str], Any]
    doc: str
    schema: Mapping[str, Any] = field(default_factory=lambda: {"type": "string"})
    default: Any = None
    example: Any = None
    required: bool = False

    def openapi(self) -> dict[str, Any]:
        """Return the parameter as an OpenAPI parameter object."""
        schema = dict(self.schema)
        if self.default is not None:
            plain = isinstance(self.default, str | int | float)
            schema["default"] = self.default if plain else str(self.default)
        shown = {
            "name": self.name,
            "in": "query",
            "required": self.required,
            "description": self.doc,
            "schema": schema,
        }
        return shown if self.example is None else {**shown, "example": self.example}


Params = tuple[Param, ...]


def read_query(params: Params, query: str) -> dict[str, Any]:
    """Return every parameter's value by name.

    Raises `InvalidParameter` for a value that is not allowed, for a parameter given twice, and for
    one that is not known, naming the nearest that is.
    """
    values = {param.name: param.default for param in params}
    if not query:
        return values
    given: dict[str, str] = {}
    for name, text in parse_qsl(query, keep_blank_values=True):
        if name not in values:
            raise _unknown(name, list(values))
        if name in given:
            raise InvalidParameter(name, text, "one value; it was given twice")
        given[name] = text
    for param in params:
        if param.name in given:
            values[param.name] = param.parse(given[param.name])
    return values


def query_reader(params: Params) -> Callable[[str], dict[str, Any]]:
    """Return `read_query` of these parameters, which remembers queries that come again.

    What a value means depends on its text alone. A query that is refused is looked at each time.
    """
    kept = lru_cache(_QUERIES_KEPT)(lambda query: read_query(params, query))

    def read(query: str) -> dict[str, Any]:
        return dict(kept(query) if len(query) <= _QUERY_KEPT_CHARS else read_query(params, query))

    return read


def _unknown(name: str, known: list[str]) -> UserError:
    shown = shorten(name)
    if not known:
        said = "this route takes no parameters"
    else:
        nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.0)
        said = f"the nearest known one is {(nearest or known)[0]}; all are {', '.join(known)}"
    return UserError(
        f"{shown}: no such parameter; {said}",
        [Complaint(("query", shown), f"no such parameter; {said}", shown)],
    )


def choice(name: str, choices: tuple[str, ...], default: str | None, doc: str) -> Param:
    """Return a parameter that takes one of some words, in any case."""

    def parse(text: str) -> str:
        word = text.strip().lower()
        if word not in choices:
            raise InvalidParameter(name, text, ", ".join(choices))
        return word

    return Param(name, parse, doc, {"type": "string", "enum": list(choices)}, default)


def switch(name: str, doc: str) -> Param:
    """Return a parameter that is `true` or `false`, None where it is absent."""

    def parse(text: str) -> bool:
        word = text.strip().lower()
        if word not in {"true", "false", "1", "0"}:
            raise InvalidParameter(name, text, "true or false")
        return word in {"true", "1"}

    return Param(name, parse, doc, {"type": "boolean"}, example=True)


def moment(name: str, doc: str, *, required: bool = False) -> Param:
    """Return a parameter that is a time; its value is nanoseconds UTC."""
    return Param(
        name,
        lambda text: parse_time(text, name),
        doc,
        TIME_SCHEMA,
        example=TIME_EXAMPLE,
        required=required,
    )


def text(
    name: str,
    doc: str,
    *,
    length: int = 256,
    example: str | None = None,
    required: bool = False,
) -> Param:
    """Return a parameter that is free text of 1 to `length` characters."""

    def parse(given: str) -> str:
        if not given.strip() or len(given) > length:
            raise InvalidParameter(name, given, f"a text of 1 to {length} characters")
        return given.strip()

    schema = {"type": "string", "minLength": 1, "maxLength": length}
    return Param(name, parse, doc, schema, example=example, required=required)


def said_in_query(fault: UserError, name: str) -> UserError:
    """Return the fault of a symbol, with this query parameter as the place where it was given."""
    fault.complaints = tuple(
        Complaint(("query", name), one.msg, one.value) for one in fault.complaints
    )
    return fault


def _parse_limit(given: str) -> int:
    if not _WHOLE.match(given.strip()) or not 1 <= int(given) <= LIMIT_MAX:
        raise InvalidParameter("limit", given, f"a whole number from 1 to {LIMIT_MAX}")
    return int(given)


def _parse_as_of(given: str) -> str:
    if not given.isascii() or len(given) > 64:
        allowed = "a sequence number, RFC 3339 with a zone, or integer nanoseconds"
        raise InvalidParameter("as_of", given, allowed)
    return given


START = moment("start", "First time, included. RFC 3339 with a zone, or integer nanoseconds.")
END = moment("end", "Time after the last, not included.")
ORDERS = ("asc", "desc")
ORDER = choice("order", ORDERS, "asc", "By event time, then sequence number: rising or falling.")
LIMIT = Param(
    "limit",
    _parse_limit,
    "Most rows of one page.",
    {"type": "integer", "minimum": 1, "maximum": LIMIT_MAX},
    LIMIT_DEFAULT,
)
PAGE_TOKEN = text(
    "page_token",
    "`next_page_token` of the page before, with the same other parameters.",
    length=512,
    example="lM7tvwMgks8Y6icTprsRGALNLQDAugSp6w",
)
AS_OF = Param(
    "as_of",
    _parse_as_of,
    "Answer as it was known at this sequence number or time of receipt.",
    {"type": "string", "minLength": 1, "maxLength": 64},
    example="5077",
)
FORMAT = choice("format", FORMATS, None, "Format of the rows; goes before the `Accept` header.")

PAGED: Params = (LIMIT, PAGE_TOKEN, FORMAT)
RANGE: Params = (START, END, ORDER, *PAGED, AS_OF)


QUICK_ROWS_MAX = 1_000
"""A page of so many rows is made in less than a millisecond."""


def is_quick(query: Mapping[str, Any]) -> bool:
    """Say whether a query is for a small page of the present as JSON."""
    small = query["limit"] <= QUICK_ROWS_MAX and query["as_of"] is None
    return small and query["page_token"] is None and query["format"] in (None, JSON)


def check_range(start: int | None, end: int | None) -> None:
    """Raise `InvalidParameter` where a range ends before it starts."""
    if start is not None and end is not None and end < start:
        allowed = f"a time that is not before start ({format_time(start)})"
        raise InvalidParameter("end", format_time(end), allowed)
