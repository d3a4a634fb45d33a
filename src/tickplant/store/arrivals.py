"""Checks of rows that are appended, and the amendments among them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa

from tickplant.model.events import SCHEMAS, Flag
from tickplant.store.amendments import Amendment, Amendments
from tickplant.store.blocks import Run
from tickplant.store.columns import Ints, ints
from tickplant.store.contract import Keys

TimesOf = Callable[[int, Ints], dict[int, int]]


def check_rows(table: str, run: Run, keys: Keys | None, seq_last: int) -> None:
    """Raise `ValueError` for rows that the plant must not hand in: a bug, not bad data."""
    if run.rows.schema != SCHEMAS[table]:
        raise ValueError(f"rows of {table} have the schema {run.rows.schema.names}")
    seq = run.seq
    if seq[0] <= seq_last:
        raise ValueError(f"seq {seq[0]} of {table} comes after {seq_last} was appended")
    if len(seq) > 1 and not (seq[1:] > seq[:-1]).all():
        raise ValueError(f"the rows of {table} from seq {seq[0]} on are not in sequence order")
    if keys is not None and keys.shape != (len(seq), 2):
        raise ValueError(f"keys of shape {keys.shape} for {len(seq)} rows of {table}")


def amendments_in(rows: pa.RecordBatch, known: Amendments, times_of: TimesOf) -> list[Amendment]:
    """Return the corrections and cancels among trades, in sequence order.

    `times_of(instrument, seqs)` finds the originals' `ts_event` among the rows appended before;
    those in the same batch and those amended before are found here. An original that is in no
    table any more counts as having the amendment's own time.
    """
    at = np.flatnonzero(ints(rows, "ref_seq"))
    names = ("instrument", "ref_seq", "seq", "ts_event", "ts_recv", "flags")
    columns = [ints(rows, name)[at].tolist() for name in names]
    times = _times_of_roots(rows, at, known, times_of)
    return [
        Amendment(number, root, seq, times.get(root, ts), ts, recv, bool(flags & Flag.CANCEL))
        for number, root, seq, ts, recv, flags in zip(*columns, strict=True)
    ]


def _times_of_roots(
    rows: pa.RecordBatch, at: Ints, known: Amendments, times_of: TimesOf
) -> dict[int, int]:
    seq, ts = ints(rows, "seq"), ints(rows, "ts_event")
    roots, instruments = ints(rows, "ref_seq")[at], ints(rows, "instrument")[at]
    times: dict[int, int] = {}
    here = np.flatnonzero(np.isin(seq, roots))
    times.update(zip(seq[here].tolist(), ts[here].tolist(), strict=True))
    for root in set(roots.tolist()) - times.keys():
        last = known.last_of(root)
        if last is not None:
            times[root] = last.ts_root
    for instrument in np.unique(instruments).tolist():
        wanted = set(roots[instruments == instrument].tolist()) - times.keys()
        if wanted:
            times.update(times_of(instrument, np.array(sorted(wanted), dtype=np.int64)))
    return times
