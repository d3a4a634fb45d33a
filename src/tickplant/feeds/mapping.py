"""Which column of a file holds which field.

A field's own name wins over its other names; case does not matter. Where a field has several of
its other names in one file, the user says which is meant.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tickplant.formats.parsed import NEEDED
from tickplant.formats.values import FIELDS
from tickplant.model.errors import InvalidBody, InvalidParameter, shorten
from tickplant.model.events import POSTED_TABLES, QUOTES, TRADES

ALIASES: dict[str, tuple[str, ...]] = {
    "symbol": ("ticker", "instrument", "sym", "instrument_id", "product_id"),
    "venue": (),
    "ts_event": ("timestamp", "time", "ts", "datetime", "date_time", "event_time", "trade_time",
                 "date", "t"),
    "price": ("trade_price", "last_price", "last", "px", "p"),
    "size": ("quantity", "qty", "volume", "amount", "vol", "trade_size", "last_size"),
    "side": ("aggressor_side", "aggressor", "taker_side"),
    "id": ("trade_id", "tradeid", "tid"),
    "conditions": ("condition", "cond", "sale_condition"),
    "exchange": ("exch", "ex"),
    "key": (),
    "bid_price": ("bid", "bid_px", "bidprice", "best_bid", "best_bid_price"),
    "bid_size": ("bid_qty", "bid_quantity", "bidsize", "bid_volume", "bid_sz", "best_bid_size"),
    "ask_price": ("ask", "offer", "ask_px", "askprice", "best_ask", "best_ask_price"),
    "ask_size": ("ask_qty", "ask_quantity", "asksize", "ask_volume", "ask_sz", "best_ask_size"),
    "name": ("stat", "statistic"),
    "value": ("val",),
}  # fmt: skip
"""Other names of a field in files, besides its own."""

_TOLD_BY = {table: NEEDED[table][0] for table in (TRADES, QUOTES)}
"""The columns that tell a table; statistics are named, as many a file has a name and a value."""


def map_columns(
    present: Sequence[str],
    *,
    path: str,
    table: str | None,
    chosen: Mapping[str, str],
    symbol: str | None,
) -> tuple[str, dict[str, str]]:
    """Return the table and, by field, the column that holds it.

    `chosen` gives the columns of some fields, `symbol` is that of a file without such a column.
    Raises `InvalidParameter` for an unknown field or table, `InvalidBody` where a column is missing
    or what is meant is not plain.
    """
    _check_chosen(chosen, table)
    if table is None:
        table = _find_table(present, path, chosen)
    names: dict[str, str] = {}
    for field in FIELDS[table]:
        column = _find_column(field, present, path, chosen)
        if column is not None:
            names[field] = column
    if symbol is not None and "symbol" not in chosen:
        names.pop("symbol", None)
    _check_needed(names, present, path, table, symbol)
    return table, names


def _check_chosen(chosen: Mapping[str, str], table: str | None) -> None:
    if table is not None and table not in POSTED_TABLES:
        raise InvalidParameter("table", table, " or ".join(POSTED_TABLES), where="option")
    known = FIELDS[table] if table else ALIASES
    for field in chosen:
        if field not in known:
            raise InvalidParameter("column", field, f"one of {', '.join(known)}", where="option")


def _find_table(present: Sequence[str], path: str, chosen: Mapping[str, str]) -> str:
    found = [
        table
        for table, prices in _TOLD_BY.items()
        if any(_candidates(price, present, chosen) for price in prices)
    ]
    if len(found) == 1:
        return found[0]
    if found:
        raise InvalidBody(f"{path}: it has columns of trades and of quotes; give the table")
    raise InvalidBody(
        f"{path}: no column price, bid_price or ask_price, nor one of their other names; "
        f"its columns are {_listed(present)}"
    )


def _candidates(field: str, present: Sequence[str], chosen: Mapping[str, str]) -> list[str]:
    if field in chosen:
        return [chosen[field]]
    taken = set(chosen.values())
    wanted = (field, *ALIASES[field])
    own = [column for column in present if column.strip().lower() == field]
    return own or [c for c in present if c.strip().lower() in wanted and c not in taken]


def _find_column(
    field: str, present: Sequence[str], path: str, chosen: Mapping[str, str]
) -> str | None:
    found = _candidates(field, present, chosen)
    if len(found) > 1:
        raise InvalidBody(
            f"{path}: {' and '.join(found)} may both be {field}; say which is meant "
            f"(column {field}={found[0]})"
        )
    if found and list(present).count(found[0]) != 1:
        times = "no column" if found[0] not in present else "several columns"
        raise InvalidBody(
            f"{path}: {times} {found[0]} for {field}; its columns are {_listed(present)}"
        )
    return found[0] if found else None


def _check_needed(
    names: Mapping[str, str], present: Sequence[str], path: str, table: str, symbol: str | None
) -> None:
    missing = [] if symbol is not None or "symbol" in names else ["symbol"]
    if "ts_event" not in names:
        missing.append("ts_event")
    missing += [" or ".join(some) for some in NEEDED[table] if not any(n in names for n in some)]
    if missing:
        raise InvalidBody(
            f"{path}: no column for {' and none for '.join(missing)}; its columns are "
            f"{_listed(present)}"
        )


def _listed(present: Sequence[str]) -> str:
    return shorten(", ".join(present) or "none", 200)
