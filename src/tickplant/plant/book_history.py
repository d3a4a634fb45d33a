"""A book of the past: the rows from its last CLEAR on, applied again.

The store is read backwards from the moment that is asked for until a CLEAR is found; feeds write
one at least every `books.anew_rows` rows and every day, which bounds what is read.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from tickplant.books.steps import NAMES, Replayed, columns_of, marks_of, replay, step_starts
from tickplant.model.events import BOOK, BookAction
from tickplant.model.times import NS_PER_S
from tickplant.store.contract import AsOf, Cursor, Store

PAGE_ROWS = 16_384

STEP_ROWS_MAX = 200_000
"""Most rows of one step: a snapshot of a book, the deepest that is known to be told being less."""

SLACK_NS = 60 * NS_PER_S
"""How far event times of a book may go back at its CLEAR: a feed that was started again may date
its first snapshot before what the feed had said before."""


def replay_book(
    store: Store, instrument: int, as_of: AsOf, end: int | None = None
) -> Replayed | None:
    """Return a book as it was known, of event times before `end`; None where there was none."""
    rows = _since_clear(store, instrument, _between_steps(store, instrument, as_of), end)
    if rows is None:
        return None
    first = int(np.flatnonzero(rows["action"].to_numpy() == BookAction.CLEAR)[-1])
    feed = rows["feed"].to_numpy()
    rows = rows.slice(first).filter(feed[first:] == feed[first])
    held = Replayed()
    marks = marks_of(rows["action"].to_numpy()).tolist()
    replay(held, columns_of(rows), 0, rows.num_rows, marks)
    return None if held.ended else held


def _between_steps(store: Store, instrument: int, as_of: AsOf) -> AsOf:
    """Return the snapshot without the step that it would cut in two: half of one is no book."""
    last = as_of.seq_max
    if last is None:
        return as_of
    following = store.scan_seq(BOOK, last, last + 1, instruments=(instrument,), limit=1)
    if not following.num_rows or following["action"][0].as_py() != BookAction.SET:
        return as_of
    rows = store.scan_seq(
        BOOK, last - STEP_ROWS_MAX, last, instruments=(instrument,), limit=STEP_ROWS_MAX
    )
    begins = step_starts(pa.concat_tables([rows, following]))
    return AsOf(last - (rows.num_rows - int(begins[-1])), as_of.ts_recv_max)


def _since_clear(store: Store, instrument: int, as_of: AsOf, end: int | None) -> pa.Table | None:
    """Return the rows in sequence order from before the last CLEAR on; None for no CLEAR."""
    pages: list[pa.Table] = []
    after: Cursor | None = None
    stop: int | None = None
    while True:
        page = store.scan(
            BOOK,
            instrument,
            start=stop,
            end=end,
            columns=NAMES,
            as_of=as_of,
            after=after,
            descending=True,
            limit=PAGE_ROWS,
        )
        pages.append(page)
        clears = np.flatnonzero(page["action"].to_numpy() == BookAction.CLEAR)
        if stop is None and len(clears):
            stop = page["ts_event"][int(clears[0])].as_py() - SLACK_NS
        if page.num_rows < PAGE_ROWS:
            break
        after = Cursor(page["ts_event"][-1].as_py(), page["seq"][-1].as_py())
        if stop is not None and after.ts_event < stop:
            break
    return None if stop is None else pa.concat_tables(pages).sort_by("seq")
