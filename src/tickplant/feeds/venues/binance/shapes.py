"""Which values of Binance's frames are read by the compiled walk, and the rows that they make.

What these come to is what `parse` makes of the same frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import pyarrow as pa

from tickplant.books.updates import NONE, Updates
from tickplant.feeds.venues.binance import parse
from tickplant.feeds.venues.contract import Frame
from tickplant.formats.compiled.reader import Rows
from tickplant.formats.compiled.shapes import Flag, Ladder, Name, Number, Shape, Table, Whole, Word
from tickplant.model.events import ASK, BID, BOOK, QUOTES, TRADES
from tickplant.model.times import NS_PER_MS

_MS_MAX = (1 << 63) // NS_PER_MS - 1
_LEVEL: Final = (b'["', Number("price"), b'","', Number("size"), b'"]')

_BOOK = Table(
    BOOK,
    wholes=("E", "T", "U", "u", "pu", "bids", "asks"),
    level_wholes=("side",),
    level_numbers=("price", "size"),
)
_QUOTES = Table(QUOTES, wholes=("T",), numbers=("b", "B", "a", "A"))
_TRADES = Table(TRADES, wholes=("a", "T", "m"), numbers=("p", "q"))

SHAPES: Final = (
    Shape(
        _BOOK,
        b"@depth",
        {
            "stream": Word("@" + parse.STREAMS[BOOK]),
            "data.s": Name(),
            "data.E": Whole("E", _MS_MAX),
            "data.T": Whole("T", _MS_MAX),
            "data.U": Whole("U"),
            "data.u": Whole("u"),
            "data.pu": Whole("pu"),
            "data.b": Ladder("bids", _LEVEL, {"side": BID}),
            "data.a": Ladder("asks", _LEVEL, {"side": ASK}),
        },
        missing={"T": 0, "pu": NONE},
    ),
    Shape(
        _QUOTES,
        b"@bookTicker",
        {
            "stream": Word("@" + parse.STREAMS[QUOTES]),
            "data.s": Name(),
            "data.T": Whole("T", _MS_MAX),
            **{f"data.{name}": Number(name) for name in _QUOTES.numbers},
        },
        missing={"T": 0},
    ),
    Shape(
        _TRADES,
        b"@aggTrade",
        {
            "stream": Word("@" + parse.STREAMS[TRADES]),
            "data.s": Name(),
            "data.a": Whole("a"),
            "data.T": Whole("T", _MS_MAX),
            "data.m": Flag("m"),
            "data.p": Number("p"),
            "data.q": Number("q"),
        },
    ),
)


def make_trades(rows: Rows) -> parse.TradesRead:
    """Return trades in their order."""
    symbols = [rows.names[code] for code in rows.codes.tolist()]
    ts = rows.whole("T") * NS_PER_MS
    ids = rows.whole("a")
    return parse.make_trades(
        symbols, ids.tolist(), ts, rows.number("p"), rows.number("q"), rows.whole("m") != 0
    )


def make_quotes(rows: Rows, frames: Sequence[Frame]) -> pa.RecordBatch:
    """Return best quotes of these frames; of a time of receipt where the venue tells none."""
    ts = rows.whole("T") * NS_PER_MS
    if not ts.all():
        came = np.array([frames[place].ts_recv for place in rows.places.tolist()], np.int64)
        ts = np.where(ts > 0, ts, came)
    return parse.make_quotes(rows.symbols(), ts, *rows.numbers)


def make_books(rows: Rows) -> Updates:
    """Return changes of books."""
    offsets = np.zeros(len(rows) + 1, np.int64)
    np.cumsum(rows.whole("bids") + rows.whole("asks"), out=offsets[1:])
    sent = rows.whole("T")
    return Updates(
        symbols=tuple(rows.names),
        code=rows.codes,
        ts_event=np.where(sent > 0, sent, rows.whole("E")) * NS_PER_MS,
        first=rows.whole("U"),
        last=rows.whole("u"),
        previous=rows.whole("pu"),
        snapshot=np.zeros(len(rows), np.bool_),
        checksum=np.full(len(rows), NONE, np.int64),
        offsets=offsets,
        side=rows.level_whole("side").astype(np.int8),
        price=rows.level_number("price"),
        size=rows.level_number("size"),
    )
