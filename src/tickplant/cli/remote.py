"""A running plant as the sink of an import: rows go over HTTP as Arrow streams."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock
from typing import Self

import pyarrow as pa

from tickplant.client import Client
from tickplant.model.rejects import Reject
from tickplant.plant.submission import Receipt, Submission

SENDERS = 4
SHOWN_MAX = 10


class RemoteSink:
    """Posts submissions, a few at once. Rows that could not be read count as refused here.

    Those have no columns to be sent as, and sent as they stand in the file they could mean
    something else to a plant that does not know how the file was to be read. So they do not reach
    its quarantine: `not_sent` says how many there are, `first_not_sent` has the first of them.
    """

    def __init__(self, url: str, key: str | None = None) -> None:
        self.not_sent = 0
        self.first_not_sent: list[Reject] = []
        self._lock = Lock()
        self._client = Client(url, key=key)
        self._pool = ThreadPoolExecutor(SENDERS, thread_name_prefix="send")

    def __enter__(self) -> Self:
        self._client.status()  # says at once that nothing answers there
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._client.close()

    def submit(self, submission: Submission) -> Future[Receipt]:
        """Send rows; the future is done when the plant has made them durable."""
        return self._pool.submit(self._send, submission)

    def declare(self, names: Sequence[tuple[str, str]], start: int, end: int) -> None:
        """Say that everything of these (symbol, venue) in `[start, end)` has been sent."""
        known = self._client.instruments().arrow()
        pairs = set(zip(known["symbol"].to_pylist(), known["venue"].to_pylist(), strict=True))
        # One of which every row was refused is not known there, and has nothing to be declared.
        found = [f"{venue}:{symbol}" for symbol, venue in names if (symbol, venue) in pairs]
        if found:
            self._client.declare(found, start, end)

    def _send(self, submission: Submission) -> Receipt:
        rows = _with_venue(pa.Table.from_batches([submission.rows]), submission.venue)
        if not rows.num_rows:
            self._note(submission.unreadable)
            return Receipt(0, 0, tuple(submission.unreadable), None, None)
        post = getattr(self._client, f"post_{submission.table}")
        sent = post(rows, strict=False)
        self._note(submission.unreadable)  # once: what is sent again is what failed above
        places = submission.indexes or range(rows.num_rows)
        refused = [Reject(places[r.index], r.reason, r.detail or "", "") for r in sent.rejected]
        rejected = (*submission.unreadable, *refused)
        return Receipt(sent.accepted, sent.duplicates, rejected, sent.seq_first, sent.seq_last)

    def _note(self, unreadable: Sequence[Reject]) -> None:
        with self._lock:
            self.not_sent += len(unreadable)
            self.first_not_sent += unreadable[: SHOWN_MAX - len(self.first_not_sent)]


def _with_venue(rows: pa.Table, venue: str) -> pa.Table:
    place = rows.schema.get_field_index("venue")
    return rows.set_column(place, "venue", rows.column(place).fill_null(venue))
