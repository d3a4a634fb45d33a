"""From what producers hand in to stamped rows: checked, resolved, deduplicated, numbered.

    submissions ─► concatenate ─► checks ─► instruments ─► keys, duplicates ─► seq ─► rows, receipts
                                    └───────── refused rows ─► quarantine rows, numbered after

Owned by the plant's thread. Nothing here waits for a disk.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tickplant.checks.batch import Bounds, Checked, check_batch
from tickplant.checks.keys import key_of_text
from tickplant.checks.spellings import Spellings
from tickplant.config import CheckSettings
from tickplant.model.errors import Complaint, InvalidBody, Overloaded
from tickplant.model.events import QUARANTINE, SCHEMAS, TRADES
from tickplant.plant.batch import Batch
from tickplant.plant.catalog import Catalog
from tickplant.plant.submission import Receipt, Reject, Submission
from tickplant.store.contract import Keys, Store

Bools = NDArray[np.bool_]
COMPLAINTS_MAX = 100


@dataclass(frozen=True, slots=True)
class Accepted:
    """What became of some submissions: batches to store and one outcome a submission."""

    batches: tuple[Batch, ...]
    outcomes: tuple[Receipt | InvalidBody, ...]
    duplicates: int
    rejects: tuple[Reject, ...]


class Acceptor:
    """Turns submissions into stamped batches. The caller stores them, in order, or nothing."""

    def __init__(self, catalog: Catalog, store: Store, checks: CheckSettings) -> None:
        self._catalog = catalog
        self._store = store
        self._checks = checks
        self._spellings = Spellings()
        self._renames = catalog.registry.renames
        self.bounds = Bounds.of(checks)

    def accept(self, submissions: Sequence[Submission], seq_next: int, now: int) -> Accepted:
        """Accept submissions of one table, feed, venue and flags; a strict one comes alone.

        `now` is nanoseconds UTC: the time of receipt of all of them. The first accepted row gets
        `seq_next`; refused rows are numbered after the accepted ones, as rows of `quarantine`.
        """
        first = submissions[0]
        rows = _joined(submissions)
        checked = check_batch(
            first.table,
            rows,
            venue=first.venue,
            bounds=self.bounds,
            now_ns=now,
            spellings=self._spellings,
        )
        if first.strict and any(bad := _rejects(submissions, checked, {}, rows)):
            return _refuse_all(bad[0])  # before its symbols are registered
        instrument, refused = self._resolve(checked)
        rejects = _rejects(submissions, checked, refused, rows)
        if first.strict and any(rejects):
            return _refuse_all(rejects[0])
        keys = _keys(first.table, checked.rows, instrument)
        fresh = checked.accepted & (instrument > 0)
        duplicate = self._duplicates(first.table, keys, fresh)
        taken = fresh & ~duplicate
        feed = self._catalog.feed_number(first.feed)
        batches = _stamped(first, checked, instrument, keys, taken, feed, seq_next, now)
        flat = tuple(reject for part in rejects for reject in part)
        if flat:
            seq = seq_next + sum(len(batch.rows) for batch in batches)
            batches += (_quarantined(first, flat, feed, seq, now),)
        receipts = _receipts(submissions, taken, duplicate, rejects, seq_next)
        return Accepted(batches, receipts, int(duplicate.sum()), flat)

    def _resolve(self, checked: Checked) -> tuple[NDArray[np.int32], dict[int, str]]:
        """Return each row's instrument number (0: refused) and why a distinct name was refused."""
        spellings, registry = checked.spellings, self._catalog.registry
        if registry.renames != self._renames:  # what was noted may name another instrument now
            spellings.numbers[:] = 0
            self._renames = registry.renames
        instrument = spellings.numbers.take(checked.codes, mode="clip")
        instrument[checked.codes < 0] = 0
        refused: dict[int, str] = {}
        unknown = checked.accepted & (instrument == 0)
        if not unknown.any():
            return instrument, refused
        for code in np.unique(checked.codes[unknown]).tolist():
            symbol, venue = spellings.names[code]
            found = registry.find(symbol, venue)
            if found is None and self._checks.unknown_symbols == "register":
                try:
                    found = self._catalog.add_instrument(symbol, venue)
                except Overloaded as fault:
                    refused[code] = fault.detail
            if found is not None:
                spellings.numbers[code] = found.number
            else:
                refused.setdefault(
                    code,
                    f"symbol: {venue}:{symbol} is not registered and "
                    "checks.unknown_symbols is refuse",
                )
        instrument[unknown] = spellings.numbers[checked.codes[unknown]]
        return instrument, refused

    def _duplicates(self, table: str, keys: Keys | None, fresh: Bools) -> Bools:
        """Mark rows whose key is stored already or stands earlier in this batch."""
        duplicate = np.zeros(len(fresh), dtype=np.bool_)
        if keys is None:
            return duplicate
        keyed = np.flatnonzero(fresh & _present(keys))
        if not len(keyed):
            return duplicate
        mine = keys if len(keyed) == len(keys) else keys[keyed]
        duplicate[keyed] = self._store.seen(table, mine) | _repeated(mine)
        return duplicate


def _joined(submissions: Sequence[Submission]) -> pa.RecordBatch:
    if len(submissions) == 1:
        return submissions[0].rows
    return pa.concat_batches([submission.rows for submission in submissions])


def _repeated(keys: Keys) -> Bools:
    """Mark keys that stand earlier in the same array; `keys` has shape (n, 2)."""
    repeated = np.zeros(len(keys), dtype=np.bool_)
    halves = np.sort(keys[:, 0])
    if (halves[1:] != halves[:-1]).all():
        return repeated
    order = np.lexsort((np.arange(len(keys)), keys[:, 1], keys[:, 0]))
    repeated[order[1:]] = (keys[order[1:]] == keys[order[:-1]]).all(axis=1)
    return repeated


def _keys(table: str, rows: pa.RecordBatch, instrument: NDArray[np.int32]) -> Keys | None:
    """Return the idempotency keys: of a trade's id where it has one, else of `key`."""
    sources = [rows.column("key")]
    if table == TRADES:
        sources.append(rows.column("id"))
    keys: Keys | None = None
    for tag, source in enumerate(sources):
        if source.null_count == len(source):
            continue
        made = key_of_text(f"{table}.{tag}", instrument, source)
        keys = made if keys is None else np.where(_present(made)[:, None], made, keys)
    return keys


def _present(keys: Keys) -> Bools:
    """Mark the rows with a key: the second half of one is never 0."""
    return np.asarray(keys[:, 1] != 0)


def _stamped(
    first: Submission,
    checked: Checked,
    instrument: NDArray[np.int32],
    keys: Keys | None,
    taken: Bools,
    feed: int,
    seq_next: int,
    now: int,
) -> tuple[Batch, ...]:
    count = int(np.count_nonzero(taken))
    if not count:
        return ()
    rows = checked.rows
    if count < len(taken):
        mask = pa.array(taken)
        rows = rows.filter(mask)
        instrument = instrument[taken]
        keys = None if keys is None else keys[taken]
    schema = SCHEMAS[first.table]
    ts_event = rows.column("ts_event")
    made = {
        "instrument": pa.array(instrument),
        "ts_event": pc.fill_null(ts_event, now) if ts_event.null_count else ts_event,
        "seq": pa.array(np.arange(seq_next, seq_next + count, dtype=np.int64)),
        "ts_recv": pa.array(np.full(count, now, dtype=np.int64)),
        "feed": pa.array(np.full(count, feed, dtype=np.int16)),
        "flags": _flags(rows, first.flags),
        "ref_seq": pa.array(np.zeros(count, dtype=np.int64)),
    }
    columns = [made[name] if name in made else rows.column(name) for name in schema.names]
    if "side" in schema.names:
        place = schema.get_field_index("side")
        columns[place] = pc.fill_null(columns[place], 0)
    keyed = keys if keys is not None and _present(keys).any() else None
    return (Batch(first.table, pa.RecordBatch.from_arrays(columns, schema=schema), keyed),)


def _flags(rows: pa.RecordBatch, flags: int) -> pa.Array:
    """Return the flags of a submission, with those of its rows where the table has such."""
    given = np.full(len(rows), flags, dtype=np.int32)
    place = rows.schema.get_field_index("flags")
    if place >= 0 and (own := rows.column(place)).null_count < len(own):
        given |= pc.fill_null(own, 0).to_numpy(zero_copy_only=False)
    return pa.array(given)


def _rejects(
    submissions: Sequence[Submission],
    checked: Checked,
    refused: dict[int, str],
    rows: pa.RecordBatch,
) -> list[tuple[Reject, ...]]:
    """Return the refused rows of each submission, by their place in its body."""
    bad = dict(checked.refused(rows))
    if refused:
        names = np.isin(checked.codes, list(refused)) & checked.accepted
        for place in np.flatnonzero(names).tolist():
            code = int(checked.codes[place])
            bad[place] = Reject.of_row(rows, place, "symbol_unknown", refused[code])
    parts: list[tuple[Reject, ...]] = []
    offset = 0
    places = sorted(bad)
    for submission in submissions:
        count = len(submission.rows)
        mine = places[bisect_left(places, offset) : bisect_left(places, offset + count)]
        indexes = submission.indexes
        own = [
            replace(bad[p], index=p - offset if indexes is None else indexes[p - offset])
            for p in mine
        ]
        parts.append(tuple(sorted([*submission.unreadable, *own], key=lambda r: r.index)))
        offset += count
    return parts


def _refuse_all(rejects: tuple[Reject, ...]) -> Accepted:
    complaints = [
        Complaint(("body", reject.index), f"{reject.reason}: {reject.detail}", reject.row)
        for reject in rejects[:COMPLAINTS_MAX]
    ]
    bad = "1 row is" if len(rejects) == 1 else f"{len(rejects)} rows are"
    fault = InvalidBody(f"{bad} bad and strict is on, so none was taken", complaints)
    return Accepted((), (fault,), 0, ())


def _quarantined(
    first: Submission, rejects: Sequence[Reject], feed: int, seq: int, now: int
) -> Batch:
    count = len(rejects)
    times = np.full(count, now, dtype=np.int64)
    columns = {
        "instrument": np.zeros(count, dtype=np.int32),
        "ts_event": times,
        "seq": np.arange(seq, seq + count, dtype=np.int64),
        "ts_recv": times,
        "feed": np.full(count, feed, dtype=np.int16),
        "flags": np.full(count, first.flags, dtype=np.int32),
        "table": [first.table] * count,
        "symbol": [reject.symbol for reject in rejects],
        "reason": [reject.reason for reject in rejects],
        "detail": [reject.detail for reject in rejects],
        "row": [reject.row for reject in rejects],
    }
    schema = SCHEMAS[QUARANTINE]
    arrays = [pa.array(columns[item.name], type=item.type) for item in schema]
    return Batch(QUARANTINE, pa.RecordBatch.from_arrays(arrays, schema=schema), None)


def _receipts(
    submissions: Sequence[Submission],
    taken: Bools,
    duplicate: Bools,
    rejects: list[tuple[Reject, ...]],
    seq_next: int,
) -> tuple[Receipt, ...]:
    receipts = []
    offset = 0
    for submission, refused in zip(submissions, rejects, strict=True):
        mine = slice(offset, offset + len(submission.rows))
        count = int(np.count_nonzero(taken[mine]))
        doubles = int(np.count_nonzero(duplicate[mine]))
        receipts.append(
            Receipt(
                count,
                doubles,
                refused,
                seq_next if count else None,
                seq_next + count - 1 if count else None,
            )
        )
        seq_next += count
        offset = mine.stop
    return tuple(receipts)
