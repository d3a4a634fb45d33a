"""Rows of JSON objects to columns: what JSON and NDJSON share.

A body is first decoded as a whole into structs of the expected types. Only when that fails is it
taken apart row by row, so that one bad row costs nobody else's. Unknown fields are ignored; of a
key that stands twice in an object the last counts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from operator import attrgetter
from typing import Any

import msgspec

from tickplant.formats.columns import Column, read_list
from tickplant.formats.parsed import Parsed, assemble
from tickplant.formats.values import FIELDS, READERS, TIME_ALIASES, BadValue, Kind
from tickplant.model.errors import InvalidBody, shorten
from tickplant.model.rejects import Reject, cut_text, row_text

_TYPES: dict[Kind, Any] = {
    Kind.TEXT: str | None,
    Kind.NUMBER: float | str | None,
    Kind.TIME: int | str | None,
    Kind.SIDE: str | None,
    Kind.ID: str | int | None,
    Kind.WORDS: str | list[str] | None,
    Kind.KEY: str | None,
}
_PLUCK: dict[str, Callable[[Sequence[Any]], list[Any]]] = {
    "symbol": lambda rows: [row.symbol for row in rows],
    "venue": lambda rows: [row.venue for row in rows],
    "ts_event": lambda rows: [row.ts_event for row in rows],
    "price": lambda rows: [row.price for row in rows],
    "size": lambda rows: [row.size for row in rows],
    "side": lambda rows: [row.side for row in rows],
    "id": lambda rows: [row.id for row in rows],
    "conditions": lambda rows: [row.conditions for row in rows],
    "bid_price": lambda rows: [row.bid_price for row in rows],
    "bid_size": lambda rows: [row.bid_size for row in rows],
    "ask_price": lambda rows: [row.ask_price for row in rows],
    "ask_size": lambda rows: [row.ask_size for row in rows],
    "exchange": lambda rows: [row.exchange for row in rows],
    "name": lambda rows: [row.name for row in rows],
    "value": lambda rows: [row.value for row in rows],
    "key": lambda rows: [row.key for row in rows],
}
# A list comprehension that names the attribute is three times as fast as one that looks it up.

_NOT_FINITE = re.compile(rb"\bNaN\b|\bInfinity\b")

ReadTimes = Callable[[list[Any]], Column]

UNREADABLE = (msgspec.MsgspecError, RecursionError, UnicodeError)


class RowReader:
    """Decoders of one table's rows. Immutable; any thread may use it.

    `names` gives the JSON key of each field that is not called as the field is.
    """

    def __init__(self, table: str, names: tuple[tuple[str, str], ...] = ()) -> None:
        self.table = table
        self.fields = FIELDS[table]
        self.keys = {name: dict(names).get(name, name) for name in self.fields}
        taken = set(self.keys.values())
        self.aliases = tuple(alias for alias in TIME_ALIASES if alias not in taken)
        kinds = {**self.fields, **dict.fromkeys(self.aliases, Kind.TIME)}
        self.kinds = kinds
        row: Any = msgspec.defstruct(
            "Row",
            [(name, _TYPES[kind], None) for name, kind in kinds.items()],
            rename={name: key for name, key in self.keys.items() if name != key} or None,
            gc=False,
        )
        wrapper = msgspec.defstruct("Wrapper", [(table, list[row], None)])
        self.row = row
        self.one: msgspec.json.Decoder[Any] = msgspec.json.Decoder(row)
        self.many: msgspec.json.Decoder[Any] = msgspec.json.Decoder(list[row])
        self.wrapped: msgspec.json.Decoder[Any] = msgspec.json.Decoder(wrapper)

    def columns(self, rows: Sequence[Any], times: ReadTimes | None = None) -> dict[str, Column]:
        """Return the columns of decoded rows; aliases count where a row has no `ts_event`.

        `times` reads the values of `ts_event` where they are not what a request body has.

        A column without any value is left out, save `symbol`, which says how many rows there are.
        """
        columns = {"symbol": read_list(Kind.TEXT, "symbol", _PLUCK["symbol"](rows))}
        for name, kind in self.fields.items():
            if name == "symbol":
                continue
            values = _PLUCK[name](rows)
            if kind is Kind.TIME and None in values:
                values = self._times(rows)
            if kind is Kind.TIME and times is not None:
                columns[name] = times(values)
            elif values.count(None) < len(values):
                columns[name] = read_list(kind, name, values)
        return columns

    def _times(self, rows: Sequence[Any]) -> list[Any]:
        values = [row.ts_event for row in rows]
        for alias in self.aliases:
            others = list(map(attrgetter(alias), rows))
            if others.count(None) < len(others):
                pairs = zip(values, others, strict=True)
                values = [other if value is None else value for value, other in pairs]
        return values

    def salvage(self, item: object, *, any_time: bool = False) -> Any:
        """Return a row from an object that could not be decoded as one; raises `BadValue`."""
        if not isinstance(item, dict):
            raise BadValue("row", item, "an object")
        row = self.row()
        for name, kind in self.kinds.items():
            value = item.get(self.keys.get(name, name))
            if kind is not Kind.TIME or not any_time:
                READERS[kind](value, name)
            setattr(row, name, value)
        return row


@cache
def row_reader(table: str, names: tuple[tuple[str, str], ...] = ()) -> RowReader:
    """Return the reader of a table's rows; `names` are pairs of field and JSON key."""
    return RowReader(table, names)


def parse_items(
    reader: RowReader,
    items: Sequence[msgspec.Raw | bytes],
    lines: Sequence[int] | None = None,
    times: ReadTimes | None = None,
) -> Parsed:
    """Parse rows one by one; those that cannot be read become rejects.

    `lines` are the numbers of their lines, for messages; `times` is as in `RowReader.columns`.
    Raises `InvalidBody` where there are items and none of them is an object.
    """
    rows: list[Any] = []
    indexes: list[int] = []
    rejects: list[Reject] = []
    objects = 0
    for index, item in enumerate(items):
        text = bytes(item).strip()
        objects += text[:1] == b"{"
        row = _read_item(reader, index, text, lines, any_time=times is not None)
        if isinstance(row, Reject):
            rejects.append(row)
        else:
            rows.append(row)
            indexes.append(index)
    _check_objects(objects, rejects)
    return assemble(
        reader.table,
        reader.columns(rows, times),
        lambda p: raw_text(items[indexes[p]]),
        indexes=indexes,
        unreadable=rejects,
    )


def _check_objects(objects: int, rejects: Iterable[Reject]) -> None:
    first = next(iter(rejects), None)
    if first is not None and not objects:
        raise InvalidBody(f"body: none of its rows is an object; the first: {first.detail}")


def _read_item(
    reader: RowReader,
    index: int,
    text: bytes,
    lines: Sequence[int] | None,
    *,
    any_time: bool,
) -> Any | Reject:
    try:
        return reader.one.decode(text)
    except UNREADABLE:
        pass
    where = f"line {lines[index]}: " if lines else ""
    try:
        item = _decode_any(text)
    except UNREADABLE as fault:
        return Reject(index, "row_unreadable", where + explain(fault, text), row_text(_shown(text)))
    symbol = item.get("symbol") if isinstance(item, dict) else None
    symbol = symbol if isinstance(symbol, str) else None
    try:
        return reader.salvage(item, any_time=any_time)
    except BadValue as fault:
        reason = "row_unreadable"
        if isinstance(item, dict):
            reason = f"{str(fault).partition(':')[0]}_invalid"
        return Reject(index, reason, where + str(fault), cut_text(text.decode()), symbol)


def _decode_any(text: bytes) -> Any:
    """Return what a row is; a number too large for a float is infinite, which checks name."""
    try:
        return msgspec.json.decode(text)
    except msgspec.ValidationError as fault:
        if "out of range" not in str(fault):
            raise
        try:
            found = json.loads(text, parse_constant=_refuse_constant)
            msgspec.json.encode(found)  # what Python takes for text and others do not raises here
        except (ValueError, TypeError):
            raise fault from None
        return found


def _refuse_constant(name: str) -> Any:
    raise ValueError(name)


def explain(fault: BaseException, body: bytes) -> str:
    """Say in a sentence why `body` is no JSON that can be read."""
    if isinstance(fault, RecursionError):
        return "its values are nested too deeply"
    text = str(fault)
    if "truncated" in text:
        text = f"it ends too early, at byte {len(body)}, or has half a surrogate pair"
    hint = "; NaN and Infinity are no JSON values" if _NOT_FINITE.search(body) else ""
    return f"no valid JSON ({text}){hint}"


def _shown(text: bytes) -> str:
    return shorten(text.decode(errors="replace"), 1_000)


def raw_text(item: msgspec.Raw | bytes) -> str:
    """Return a row as its producer wrote it."""
    return cut_text(bytes(item).strip().decode())
