"""MessagePack bodies to columns: one map, a list of maps, or a list in a map, as in JSON."""

from __future__ import annotations

from functools import cache
from typing import Any

import msgspec

from tickplant.formats.json_rows import UNREADABLE, RowReader, row_reader
from tickplant.formats.parsed import Parsed, assemble
from tickplant.formats.values import BadValue
from tickplant.model.errors import InvalidBody
from tickplant.model.rejects import Reject, row_text


def parse_msgpack(table: str, body: bytes) -> Parsed:
    """Parse one map, a list of maps, or `{"<table>": [...]}`; keys of rows may be binary.

    Raises `InvalidBody` when the body is no MessagePack or holds no maps.
    """
    reader = row_reader(table)
    try:
        columns = reader.columns(_decoder(table).decode(body))
    except UNREADABLE:
        return _parse_slowly(reader, body)
    items: list[Any] = []

    def show(place: int) -> str:
        items.extend(() if items else _items(reader, body))
        return row_text(items[place])

    return assemble(table, columns, show)


@cache
def _decoder(table: str) -> msgspec.msgpack.Decoder[list[Any]]:
    row: Any = row_reader(table).row
    return msgspec.msgpack.Decoder(list[row])


def _items(reader: RowReader, body: bytes) -> list[Any]:
    try:
        found = msgspec.msgpack.decode(body)
    except UNREADABLE as fault:
        raise InvalidBody(f"body: it is no MessagePack that can be read ({fault})") from None
    if isinstance(found, dict) and isinstance(found.get(reader.table), list):
        found = found[reader.table]
    return found if isinstance(found, list) else [found]


def _parse_slowly(reader: RowReader, body: bytes) -> Parsed:
    items = _items(reader, body)
    if items and not any(isinstance(item, dict) for item in items):
        raise InvalidBody("body: none of its rows is a map")
    rows, indexes, rejects = [], [], []
    for index, item in enumerate(items):
        row = _read_item(reader, index, item)
        if isinstance(row, Reject):
            rejects.append(row)
        else:
            rows.append(row)
            indexes.append(index)
    return assemble(
        reader.table,
        reader.columns(rows),
        lambda place: row_text(items[indexes[place]]),
        indexes=indexes,
        unreadable=rejects,
    )


def _read_item(reader: RowReader, index: int, item: object) -> Any | Reject:
    try:
        return reader.salvage(item)
    except BadValue as fault:
        if not isinstance(item, dict):
            return Reject(index, "row_unreadable", str(fault), row_text(item))
        symbol = item.get("symbol")
        reason = f"{str(fault).partition(':')[0]}_invalid"
        named = symbol if isinstance(symbol, str) else None
        return Reject(index, reason, str(fault), row_text(item), named)
