"""Check a batch of incoming rows: which are accepted, and why the others are not.

Reason codes: `symbol_missing`, `symbol_invalid`, `venue_invalid`; `price_missing`,
`price_not_positive` (`price_too_small` where negative prices are let in), `price_not_finite`,
`price_too_large`; `size_negative`, `size_not_finite`, `size_too_large`; `ts_too_old`,
`ts_in_future`; `side_invalid`; `id_too_long`, `key_too_long`, `conditions_too_long`,
`exchange_too_long`; for quotes the same of `bid_price`, `bid_size`, `ask_price`, `ask_size`, and
`quote_empty`; for books and statistics those of `checks.books` and `checks.stats`. A crossed quote
(bid above ask) is accepted: consolidated feeds have them, and what they mean is for who reads them
to say.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tickplant.checks.books import check_book
from tickplant.checks.bounds import (
    CONDITIONS_BYTES_MAX,
    EXCHANGE_BYTES_MAX,
    ID_BYTES_MAX,
    KEY_BYTES_MAX,
    Bounds,
)
from tickplant.checks.findings import (
    Bools,
    Findings,
    check_price,
    check_sides,
    check_size,
    check_text,
    check_times,
    fixed,
)
from tickplant.checks.names import check_names
from tickplant.checks.spellings import Spellings
from tickplant.checks.stats import check_stats
from tickplant.model.events import BOOK, QUOTES, STATS, TRADES
from tickplant.model.rejects import Reject

_QUOTE_TEXTS = (("exchange", EXCHANGE_BYTES_MAX), ("key", KEY_BYTES_MAX))
_TEXTS = {
    TRADES: (("id", ID_BYTES_MAX), ("conditions", CONDITIONS_BYTES_MAX), *_QUOTE_TEXTS),
    QUOTES: _QUOTE_TEXTS,
    BOOK: (("key", KEY_BYTES_MAX),),
    STATS: (("key", KEY_BYTES_MAX),),
}

_EMPTY = "bid_price, ask_price: both missing or 0; allowed is at least one price"

__all__ = ["Bounds", "Checked", "check_batch"]


@dataclass(frozen=True, slots=True)
class Checked:
    """What the checks found, by row.

    `rows` are all rows, normalised: an absent side of a quote, an empty id and an empty key are
    null. `accepted` has shape (n,). `codes` gives each row's place in `spellings.names`, which are
    (symbol, venue) in upper case, or -1 where its name is bad; two places may hold one name.
    """

    rows: pa.RecordBatch
    accepted: Bools
    codes: NDArray[np.int32]
    spellings: Spellings
    findings: Findings

    def refused(self, rows: pa.RecordBatch) -> dict[int, Reject]:
        """Return the refused rows by position, ascending; `rows` is the batch that was checked."""
        return {
            place: Reject.of_row(rows, place, *self.findings.explain(place))
            for place in self.findings.places()
        }


def check_batch(
    table: str,
    rows: pa.RecordBatch,
    *,
    venue: str,
    bounds: Bounds,
    now_ns: int,
    spellings: Spellings | None = None,
) -> Checked:
    """Check rows of `INCOMING[table]`; `venue` is that of rows that name none.

    `now_ns` is the time of receipt. `spellings` is what earlier batches taught of names, and learns
    from this one; the outcome does not depend on it. Reads no clock and changes nothing else. Of
    several faults of a row the first is told, in the order of the columns.
    """
    findings = Findings(rows.num_rows)
    known = Spellings() if spellings is None else spellings
    codes = check_names(findings, rows.column("symbol"), rows.column("venue"), venue, known)
    check_times(findings, rows.column("ts_event"), bounds, now_ns)
    changed: dict[str, pa.Array] = {}
    if table == TRADES:
        _check_trades(findings, rows, bounds)
    elif table == BOOK:
        check_book(findings, rows, bounds)
    elif table == STATS:
        check_stats(findings, rows, venue, bounds)
    else:
        assert table == QUOTES, table
        changed = _check_quotes(findings, rows, bounds)
    for name, bytes_max in _TEXTS[table]:
        column = rows.column(name)
        changed[name] = check_text(findings, name, column, bytes_max)
        if changed[name] is column:
            del changed[name]
    return Checked(_replaced(rows, changed), findings.accepted, codes, known, findings)


def _check_trades(findings: Findings, rows: pa.RecordBatch, bounds: Bounds) -> None:
    price = rows.column("price")
    if price.null_count:
        missing = price.is_null().to_numpy(zero_copy_only=False)
        findings.add(missing, "price_missing", fixed("price: missing; allowed is a number"))
    check_price(findings, "price", price, bounds)
    check_size(findings, "size", rows.column("size"), bounds)
    check_sides(findings, rows.column("side"))


def _check_quotes(findings: Findings, rows: pa.RecordBatch, bounds: Bounds) -> dict[str, pa.Array]:
    changed: dict[str, pa.Array] = {}
    absences = []
    for side in ("bid", "ask"):
        price_name, size_name = f"{side}_price", f"{side}_size"
        price, size = rows.column(price_name), rows.column(size_name)
        absent = _absent(price)
        absences.append(absent)
        if absent.any():
            mask, none = pa.array(absent), pa.scalar(None, pa.float64())
            price, size = (pc.if_else(mask, none, column) for column in (price, size))
            changed |= {price_name: price, size_name: size}
        check_price(findings, price_name, price, bounds)
        check_size(findings, size_name, size, bounds)
    empty = absences[0] & absences[1]
    findings.add(empty, "quote_empty", fixed(_EMPTY))
    return changed


def _absent(price: pa.Array) -> Bools:
    """Mark the rows without a quote on this side: its price is null or 0."""
    absent = np.asarray(price.to_numpy(zero_copy_only=False) == 0)
    if price.null_count:
        absent |= price.is_null().to_numpy(zero_copy_only=False)
    return absent


def _replaced(rows: pa.RecordBatch, changed: dict[str, pa.Array]) -> pa.RecordBatch:
    if not changed:
        return rows
    columns = [
        changed[name] if name in changed else rows.column(name) for name in rows.schema.names
    ]
    return pa.RecordBatch.from_arrays(columns, schema=rows.schema)
