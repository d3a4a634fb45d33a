"""One value of a row, from whatever a producer wrote to what a column holds.

This is the slow path, taken only for values that the vectorised readers in `columns` refuse; it
accepts all that they accept, so that whether a value is taken never depends on its neighbours.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import Enum

import pyarrow as pa

from tickplant.model.errors import InvalidParameter, shorten
from tickplant.model.events import QUOTES, STATS, TRADES
from tickplant.model.times import parse_time


class Kind(Enum):
    """What a field holds, hence how it is read."""

    TEXT = "text"
    NUMBER = "number"
    TIME = "time"
    SIDE = "side"
    ID = "id"
    WORDS = "words"
    KEY = "key"


_HEAD = {"symbol": Kind.TEXT, "venue": Kind.TEXT, "ts_event": Kind.TIME}

FIELDS: dict[str, dict[str, Kind]] = {
    TRADES: {
        **_HEAD,
        "price": Kind.NUMBER,
        "size": Kind.NUMBER,
        "side": Kind.SIDE,
        "id": Kind.ID,
        "conditions": Kind.WORDS,
        "exchange": Kind.TEXT,
        "key": Kind.KEY,
    },
    QUOTES: {
        **_HEAD,
        "bid_price": Kind.NUMBER,
        "bid_size": Kind.NUMBER,
        "ask_price": Kind.NUMBER,
        "ask_size": Kind.NUMBER,
        "exchange": Kind.TEXT,
        "key": Kind.KEY,
    },
    STATS: {**_HEAD, "name": Kind.TEXT, "value": Kind.NUMBER, "key": Kind.KEY},
}
"""The fields of each table that producers may send, in the order of `INCOMING`."""

TIME_ALIASES = ("timestamp", "time", "ts")
"""Other names of `ts_event`, taken when a row has no `ts_event`.

They are the only aliases of a request body: a row whose time we overlooked would be stamped with
the time of receipt, in silence, while any other misspelt field is missed and so noticed.
"""

SIDE_CODES: dict[str | None, int] = {
    None: 0, "": 0,
    "buy": 1, "BUY": 1, "Buy": 1, "b": 1, "B": 1,
    "sell": 2, "SELL": 2, "Sell": 2, "s": 2, "S": 2,
}  # fmt: skip
"""The usual spellings of a side and their codes in the column `side`."""

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\Z", re.ASCII)
_NOT_FINITE = frozenset({"nan", "inf", "infinity"})
_ISO_LENGTH_MAX = 40
_UTC_NS = pa.timestamp("ns", "UTC")


class BadValue(ValueError):
    """The value of a field cannot be read; the text is the detail of the rejected row."""

    def __init__(self, name: str, value: object, allowed: str) -> None:
        super().__init__(f"{name}: {shorten(value)} is not allowed; allowed is {allowed}")


def number_of(value: object, name: str) -> float | None:
    """Return a number; text in decimal notation counts, true and false do not."""
    if value is None or value == "":
        return None
    if isinstance(value, str):
        text = value.strip()
        if _NUMBER.match(text) or text.lower().lstrip("+-") in _NOT_FINITE:
            return float(text)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            return float("inf") if value > 0 else float("-inf")
    raise BadValue(name, value, "a number")


def time_of(value: object, name: str) -> int | None:
    """Return nanoseconds since 1970 UTC from RFC 3339 text with a zone or an integer."""
    if value is None or value == "":
        return None
    try:
        return parse_time(value, name)
    except InvalidParameter as refused:
        found = _iso_time(value)
        if found is None:
            raise BadValue(name, value, refused.complaints[0].msg[11:]) from None
        return found


def _iso_time(value: object) -> int | None:
    # The shorter forms of ISO 8601 with a zone (hours only, an offset of hours) that Arrow reads.
    if not isinstance(value, str) or len(value) > _ISO_LENGTH_MAX or not value[-1:].strip():
        return None
    try:
        return int(pa.scalar(value).cast(_UTC_NS).value)
    except (pa.ArrowInvalid, UnicodeEncodeError):
        return None


def side_of(value: object, name: str) -> int | None:
    """Return the code of a side: 0 unknown, 1 buy, 2 sell."""
    if value is None or isinstance(value, str):
        code = SIDE_CODES.get(value.strip().lower() if value else None)
        if code is not None:
            return code
    raise BadValue(name, value, "buy or sell")


def text_of(value: object, name: str) -> str | None:
    """Return text; an empty one is a missing one."""
    if value is None or isinstance(value, str):
        return value or None
    raise BadValue(name, value, "a string")


def id_of(value: object, name: str) -> str | None:
    """Return an identifier as text; integers count, for many venues number their trades."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if value is None or isinstance(value, str):
        return value or None
    raise BadValue(name, value, "a string or an integer")


def words_of(value: object, name: str) -> str | None:
    """Return a list of strings joined by commas; text stays as it is."""
    if isinstance(value, list) and all(isinstance(word, str) for word in value):
        return ",".join(value) or None
    if value is None or isinstance(value, str):
        return value or None
    raise BadValue(name, value, "a string or a list of strings")


def key_of(value: object, name: str) -> bytes | None:
    """Return an idempotency key as bytes, text as UTF-8."""
    if isinstance(value, str):
        return value.encode() or None
    if value is None or isinstance(value, bytes):
        return value or None
    raise BadValue(name, value, "a string of at most 64 bytes")


READERS: dict[Kind, Callable[[object, str], object]] = {
    Kind.TEXT: text_of,
    Kind.NUMBER: number_of,
    Kind.TIME: time_of,
    Kind.SIDE: side_of,
    Kind.ID: id_of,
    Kind.WORDS: words_of,
    Kind.KEY: key_of,
}
"""How one value of each kind is read; they raise `BadValue`."""

ARROW_TYPES: dict[Kind, pa.DataType] = {
    Kind.TEXT: pa.string(),
    Kind.NUMBER: pa.float64(),
    Kind.TIME: pa.int64(),
    Kind.SIDE: pa.int8(),
    Kind.ID: pa.string(),
    Kind.WORDS: pa.string(),
    Kind.KEY: pa.binary(),
}
"""The type of a column of each kind, as in `INCOMING`."""
