"""The tables, their columns and their flags.

An event is one row of a table. Every table begins with the same six columns, so that storage,
replay and the stream treat all tables alike; `(instrument, ts_event, seq)` is the order of every
stored run. Missing is null in Arrow and NaN in NumPy. Rows are immutable once they have a `seq`.

A correction or a cancel is a row of `trades` whose `ref_seq` names the `seq` of the trade it
amends (always the original's, never that of an earlier correction). A cancel keeps the
`ts_event` and the price of what it cancels.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag

import pyarrow as pa

TRADES = "trades"
QUOTES = "quotes"
BOOK = "book"
STATS = "stats"
QUARANTINE = "quarantine"
COVERAGE = "coverage"
TABLES = (TRADES, QUOTES, BOOK, STATS, QUARANTINE, COVERAGE)
MARKET_TABLES = (TRADES, QUOTES)
"""The tables that candles, watermarks and coverage are about."""

POSTED_TABLES = (TRADES, QUOTES, STATS)
"""The tables whose rows producers hand in over HTTP and from files."""


class Flag(IntFlag):
    """What is special about an event; a bit set in the column `flags`."""

    SYNTHETIC = 1
    BACKFILLED = 2
    LATE = 4
    CORRECTION = 8
    CANCEL = 16
    SNAPSHOT = 32


def flag_names(bits: int) -> list[str]:
    """Return the lower-case names of the set bits, in the order of their values."""
    return [str(flag.name).lower() for flag in Flag if bits & flag]


SIDES: tuple[str | None, ...] = (None, "buy", "sell")
"""The aggressor's side by its code in the column `side`: 0 unknown, 1 buy, 2 sell."""


class BookAction(IntEnum):
    """What a row of `book` does; the column `action`."""

    SET = 0
    """The level at `price` on `side` now has `size`; 0 removes it."""

    CLEAR = 1
    """The book is emptied: the levels of a snapshot follow. No side, price or size."""

    LOST = 2
    """The book is not right any more, until the next CLEAR. No side, price or size."""


BID, ASK = 1, 2
"""The side of a book by its code in the column `side`; 0 where a row is of no side."""

HEADER = (
    pa.field("instrument", pa.int32(), nullable=False),
    pa.field("ts_event", pa.int64(), nullable=False),
    pa.field("seq", pa.int64(), nullable=False),
    pa.field("ts_recv", pa.int64(), nullable=False),
    pa.field("feed", pa.int16(), nullable=False),
    pa.field("flags", pa.int32(), nullable=False),
)

TRADE_FIELDS = (
    pa.field("price", pa.float64(), nullable=False),
    pa.field("size", pa.float64()),
    pa.field("side", pa.int8(), nullable=False),
    pa.field("id", pa.string()),
    pa.field("conditions", pa.string()),
    pa.field("exchange", pa.string()),
)

QUOTE_FIELDS = (
    pa.field("bid_price", pa.float64()),
    pa.field("bid_size", pa.float64()),
    pa.field("ask_price", pa.float64()),
    pa.field("ask_size", pa.float64()),
    pa.field("exchange", pa.string()),
)

BOOK_FIELDS = (
    pa.field("action", pa.int8(), nullable=False),
    pa.field("side", pa.int8(), nullable=False),
    pa.field("price", pa.float64()),
    pa.field("size", pa.float64()),
    pa.field("orders", pa.int32()),
    pa.field("update", pa.int64()),
)

STAT_FIELDS = (
    pa.field("name", pa.string(), nullable=False),
    pa.field("value", pa.float64(), nullable=False),
)

SCHEMAS: dict[str, pa.Schema] = {
    TRADES: pa.schema([*HEADER, *TRADE_FIELDS, pa.field("ref_seq", pa.int64(), nullable=False)]),
    QUOTES: pa.schema([*HEADER, *QUOTE_FIELDS]),
    BOOK: pa.schema([*HEADER, *BOOK_FIELDS]),
    STATS: pa.schema([*HEADER, *STAT_FIELDS]),
    QUARANTINE: pa.schema(
        [
            *HEADER,
            pa.field("table", pa.string(), nullable=False),
            pa.field("symbol", pa.string()),
            pa.field("reason", pa.string(), nullable=False),
            pa.field("detail", pa.string(), nullable=False),
            pa.field("row", pa.string(), nullable=False),
        ]
    ),
    COVERAGE: pa.schema(
        [
            *HEADER,
            pa.field("kind", pa.string(), nullable=False),
            pa.field("start", pa.int64()),
            pa.field("end", pa.int64()),
            pa.field("cause", pa.string()),
            pa.field("status", pa.string()),
            pa.field("detail", pa.string()),
            pa.field("events", pa.int64()),
            pa.field("ref_seq", pa.int64(), nullable=False),
        ]
    ),
}
"""Arrow schema of each table as it is in memory; times are int64 nanoseconds UTC.

In `quarantine`, `instrument` is 0, `ts_event` equals `ts_recv`, and `row` is the refused row as
JSON text. In `coverage`, `ts_event` equals `ts_recv`, when it was noticed; `instrument` 0 means
every instrument that the feed is subscribed to; `start` and `end` are event times (see
docs/concepts/coverage.md for what each kind of row says).

In `book`, the rows of one update of one instrument stand together, carry the same `update` (the
venue's number of it, where it has one) and are one step: the book is right after the last of them.
A snapshot begins with a CLEAR row and its rows have the flag `snapshot`. In `stats`, `name` is
what is told, such as `open_interest`.
"""

KINDS = ("begin", "reach", "end", "cover", "gap", "change")
"""The kinds of rows of `coverage`."""

CAUSES = ("disconnect", "sequence", "stall", "restart", "overload")
"""Why a span is not covered."""

STATUSES = ("open", "repairing", "repaired", "unrepairable")
"""What became of a gap; all but a repaired one are not covered."""

_INCOMING_HEADER = (
    pa.field("symbol", pa.string()),
    pa.field("venue", pa.string()),
    pa.field("ts_event", pa.int64()),
)
_INCOMING_KEY = pa.field("key", pa.binary())

INCOMING: dict[str, pa.Schema] = {
    TRADES: pa.schema(
        [*_INCOMING_HEADER, *(f.with_nullable(True) for f in TRADE_FIELDS), _INCOMING_KEY]
    ),
    QUOTES: pa.schema(
        [*_INCOMING_HEADER, *(f.with_nullable(True) for f in QUOTE_FIELDS), _INCOMING_KEY]
    ),
    BOOK: pa.schema(
        [
            *_INCOMING_HEADER,
            pa.field("flags", pa.int32()),
            *(f.with_nullable(True) for f in BOOK_FIELDS),
            _INCOMING_KEY,
        ]
    ),
    STATS: pa.schema(
        [*_INCOMING_HEADER, *(f.with_nullable(True) for f in STAT_FIELDS), _INCOMING_KEY]
    ),
}
"""Arrow schema of what a producer hands in, before it is checked and stamped.

`ts_event` null means the time of receipt, `venue` null the feed's venue. `key` is an optional
idempotency key of at most 64 bytes: rows of one table and symbol with the same key are stored
once. A trade's `id` is such a key too, and the stronger one. `flags` of a row of `book` may have
`snapshot` and nothing else; null is none. They are set besides those of the submission.
"""
