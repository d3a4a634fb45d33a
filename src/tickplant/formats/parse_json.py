"""JSON bodies to columns: one object, a list of objects, or a list in an object."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from tickplant.formats.json_rows import (
    UNREADABLE,
    RowReader,
    explain,
    parse_items,
    raw_text,
    row_reader,
)
from tickplant.formats.parsed import Parsed, assemble, check_text
from tickplant.formats.regular import read_regular
from tickplant.model.errors import InvalidBody
from tickplant.model.events import POSTED_TABLES

_WRAPPER = re.compile(rb'\{[ \t\r\n]*"([a-z]+)"[ \t\r\n]*:[ \t\r\n]*\[')


def parse_json(table: str, body: bytes) -> Parsed:
    """Parse one object, a list of objects, or `{"<table>": [...]}`.

    Raises `InvalidBody`, with the place where known, when the body is no JSON or holds no objects.
    """
    body = check_text(body)
    reader = row_reader(table)
    found = read_regular([list_in(body, table)], reader.fields, reader.keys, lines=False)
    try:
        columns = found.columns if found else reader.columns(_decode_rows(reader, body))
    except UNREADABLE:
        return parse_items(reader, _split_items(reader, body))
    items: list[msgspec.Raw] = []

    def show(place: int) -> str:
        items.extend(() if items else _split_items(reader, body))
        return raw_text(items[place])

    return assemble(table, columns, show)


def list_in(body: bytes, table: str) -> bytes:
    """Return what is between the brackets of a list of rows, nothing where it is none."""
    text = body.strip(b" \t\r\n")
    if text[:1] == b"{" and text[-1:] == b"}":
        wrapper = _WRAPPER.match(text)
        if wrapper is None or wrapper[1] != table.encode():
            return b""
        text = text[wrapper.end() : -1].rstrip(b" \t\r\n")
        return text[:-1] if text[-1:] == b"]" else b""
    return text[1:-1] if text[:1] == b"[" and text[-1:] == b"]" else b""


def _decode_rows(reader: RowReader, body: bytes) -> list[Any]:
    if body.lstrip(b" \t\r\n")[:1] != b"{":
        return list(reader.many.decode(body))
    rows = getattr(reader.wrapped.decode(body), reader.table)
    if rows is not None:
        return list(rows)
    row = reader.one.decode(body)
    if row.symbol is None:
        # No row without a symbol is good; the slow path finds out whether it is a row at all.
        raise msgspec.ValidationError
    return [row]


def _split_items(reader: RowReader, body: bytes) -> list[msgspec.Raw]:
    try:
        if body.lstrip(b" \t\r\n")[:1] != b"{":
            return msgspec.json.decode(body, type=list[msgspec.Raw])
        keys = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
        if "symbol" in keys:
            return [msgspec.Raw(body)]
        if reader.table in keys:
            return msgspec.json.decode(keys[reader.table], type=list[msgspec.Raw])
    except msgspec.ValidationError as fault:
        raise InvalidBody(
            f"body: {fault}; allowed is an object, a list of objects, or "
            f'{{"{reader.table}": [...]}}'
        ) from None
    except UNREADABLE as fault:
        raise InvalidBody(f"body: {explain(fault, body)}") from None
    for other in POSTED_TABLES:
        if other in keys:
            raise InvalidBody(f"body: it has {other}; this takes {reader.table}")
    return [msgspec.Raw(body)]
