"""An order book as the API shows it: one object in JSON, one row a level in the other formats."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from tickplant.formats.rows import TIMESTAMP
from tickplant.model.events import ASK, BID, BookAction, flag_names
from tickplant.model.instruments import Instrument
from tickplant.model.times import parse_time

BOOK_LEVELS = pa.schema(
    [
        ("symbol", pa.string()),
        ("venue", pa.string()),
        ("ts_event", TIMESTAMP),
        ("ts_recv", TIMESTAMP),
        ("seq", pa.int64()),
        ("state", pa.string()),
        ("side", pa.string()),
        ("level", pa.int32()),
        ("price", pa.float64()),
        ("size", pa.float64()),
        ("orders", pa.int32()),
    ]
)
"""One row a level: first the bids, then the asks, each from the best (level 1) on."""

_NAMES = pa.list_(pa.string())

Level = tuple[float, float, int | None]


_ACTIONS = {int(action): action.name.lower() for action in BookAction}
_SIDES = {0: None, BID: "bid", ASK: "ask"}


def public_book_rows(rows: pa.Table, instrument: Instrument) -> pa.Table:
    """Return stored rows of a book as columns for tools."""
    count = rows.num_rows
    return pa.table(
        {
            "symbol": pa.repeat(pa.scalar(instrument.symbol), count),
            "venue": pa.repeat(pa.scalar(instrument.venue), count),
            "ts_event": rows["ts_event"].cast(TIMESTAMP),
            "ts_recv": rows["ts_recv"].cast(TIMESTAMP),
            "seq": rows["seq"],
            "action": pa.array(
                [_ACTIONS[code] for code in rows["action"].to_pylist()], pa.string()
            ),
            "side": pa.array([_SIDES[code] for code in rows["side"].to_pylist()], pa.string()),
            **{name: rows[name] for name in ("price", "size", "orders", "update")},
            "flags": pa.array(list(map(flag_names, rows["flags"].to_pylist())), _NAMES),
        }
    )


def public_levels(
    instrument: Instrument,
    head: Mapping[str, Any],
    bids: Sequence[Level],
    asks: Sequence[Level],
) -> pa.Table:
    """Return a book as columns for tools; `head` has times (ns), `seq` and `state`."""
    count = len(bids) + len(asks)
    same = {"symbol": instrument.symbol, "venue": instrument.venue, **head}
    prices, sizes, orders = zip(*bids, *asks, strict=True) if count else ((), (), ())
    columns = {
        **{name: [value] * count for name, value in same.items()},
        "side": ["bid"] * len(bids) + ["ask"] * len(asks),
        "level": [*range(1, len(bids) + 1), *range(1, len(asks) + 1)],
        "price": prices,
        "size": sizes,
        "orders": orders,
    }
    return pa.table(
        {field.name: pa.array(columns[field.name], field.type) for field in BOOK_LEVELS}
    )


def levels_of_shown(shown: Mapping[str, Any]) -> pa.Table:
    """Return the levels of a book that is an object of JSON as columns for tools."""
    columns: dict[str, list[Any]] = {name: [] for name in BOOK_LEVELS.names}
    for side in ("bids", "asks"):
        for place, level in enumerate(shown[side], 1):
            row = {
                **shown,
                "side": side[:-1],
                "level": place,
                **dict(zip(_LEVEL, level, strict=False)),
            }
            for name, values in columns.items():
                values.append(row.get(name))
    for name in ("ts_event", "ts_recv"):
        columns[name] = [parse_time(text) for text in columns[name]]
    return pa.table({f.name: pa.array(columns[f.name], f.type) for f in BOOK_LEVELS})


_LEVEL = ("price", "size", "orders")


def listed_levels(levels: Sequence[Level]) -> list[list[float | int]]:
    """Return levels as JSON shows them: `[price, size]`, with `orders` behind where it is known."""
    return [
        [price, size] if orders is None else [price, size, orders] for price, size, orders in levels
    ]
