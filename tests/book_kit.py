"""Updates of books from plain tuples, and books as plain dictionaries to compare with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from tickplant.books.updates import NONE, Updates

BID, ASK = 1, 2
Levels = Iterable[tuple[int, float, float]]
PlainBook = dict[int, dict[float, float]]


def updates(*messages: Mapping[str, Any]) -> Updates:
    """Return messages, each a mapping of `message`, as columns."""
    symbols = list(dict.fromkeys(one["symbol"] for one in messages))
    levels = [level for one in messages for level in one["levels"]]
    counts = [len(one["levels"]) for one in messages]

    def column(name: str) -> np.ndarray:
        return np.array([one[name] for one in messages], np.int64)

    return Updates(
        tuple(symbols),
        np.array([symbols.index(one["symbol"]) for one in messages], np.int32),
        column("ts_event"),
        column("first"),
        column("last"),
        column("previous"),
        np.array([one["snapshot"] for one in messages], np.bool_),
        column("checksum"),
        np.concatenate(([0], np.cumsum(counts, dtype=np.int64))).astype(np.int64),
        np.array([side for side, _, _ in levels], np.int8),
        np.array([price for _, price, _ in levels], np.float64),
        np.array([size for _, _, size in levels], np.float64),
    )


def message(
    symbol: str,
    levels: Levels,
    *,
    ts_event: int = 0,
    first: int = NONE,
    last: int = NONE,
    previous: int = NONE,
    snapshot: bool = False,
    checksum: int = NONE,
) -> dict[str, Any]:
    """Return one message about a book; `levels` are (side, price, size)."""
    return {
        "symbol": symbol,
        "levels": list(levels),
        "ts_event": ts_event,
        "first": first,
        "last": last,
        "previous": previous,
        "snapshot": snapshot,
        "checksum": checksum,
    }


def apply_plain(book: PlainBook, levels: Levels, *, snapshot: bool = False) -> None:
    """Apply levels to a book that is two dictionaries, the plainest way there is."""
    if snapshot:
        book[BID], book[ASK] = {}, {}
    for side, price, size in levels:
        if size == 0:
            book[side].pop(price, None)
        else:
            book[side][price] = size


Books = dict[Any, PlainBook | None]


def plain_of_rows(rows: Iterable[Mapping[str, Any]], books: Books | None = None) -> Books:
    """Return the books that rows of the table `book` make, beginning with `books`, which change.

    Of one that is lost it is None.
    """
    books = {} if books is None else books
    for row in rows:
        name = row.get("symbol", row.get("instrument"))
        book = books.get(name)
        if row["action"] == 1:
            books[name] = {BID: {}, ASK: {}}
        elif row["action"] == 2:
            books[name] = None
        elif book is not None:
            apply_plain(book, [(row["side"], row["price"], row["size"])])
    return books


def sides_of(bids: Iterable[Any], asks: Iterable[Any]) -> PlainBook:
    """Return levels that are sequences of price and size as two dictionaries."""
    return {
        BID: {level[0]: level[1] for level in bids},
        ASK: {level[0]: level[1] for level in asks},
    }
