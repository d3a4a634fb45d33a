"""Entries of the gap ledger as the API shows them, one row a gap."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa
import pyarrow.compute as pc

from tickplant.model.instruments import Instrument
from tickplant.model.times import NS_PER_S

_TIME = pa.timestamp("ns", tz="UTC")

GAPS = pa.schema(
    [
        ("id", pa.int64()),
        ("feed", pa.string()),
        ("symbol", pa.string()),
        ("venue", pa.string()),
        ("start", _TIME),
        ("end", _TIME),
        ("duration_s", pa.float64()),
        ("cause", pa.string()),
        ("status", pa.string()),
        ("noticed", _TIME),
        ("events", pa.int64()),
        ("changed", pa.int64()),
        ("detail", pa.string()),
    ]
)
"""Columns of a gap. `symbol` and `venue` are null where it is one of every instrument of the feed,
`end` and `duration_s` while it lasts, `events` until a repair has said how many it brought."""


def public_gaps(
    rows: pa.Table, feed_name: Callable[[int], str], instrument: Callable[[int], Instrument]
) -> pa.Table:
    """Return entries of the ledger, by numbers, as a table of `GAPS`, in the order given."""
    feeds = rows["feed"].to_pylist()
    names = {number: feed_name(number) for number in set(feeds)}
    known = [instrument(number) if number else None for number in rows["instrument"].to_pylist()]
    lasted = pc.cast(pc.subtract(rows["end"], rows["start"]), pa.float64(), safe=False)
    columns = dict(zip(rows.column_names, rows.columns, strict=True)) | {
        "feed": [names[number] for number in feeds],
        "symbol": [one and one.symbol for one in known],
        "venue": [one and one.venue for one in known],
        "duration_s": pc.divide(lasted, float(NS_PER_S)),
    }
    return pa.table({name: columns[name] for name in GAPS.names}, schema=GAPS)
