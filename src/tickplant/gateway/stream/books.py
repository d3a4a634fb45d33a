"""The channel `books`: a snapshot of each book, then every step of it, in sequence order.

    live views, or the past ──► snapshot (all levels, and the state)
    ring, or the store      ──► update (levels that changed) · snapshot (a book anew) · lost

A step is one event, whole: what one update of a book changed. Nothing is conflated; who does not
keep up is cut off with the number to resume from, as on the channel `trades`.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
import pyarrow as pa

from tickplant.books.steps import step_starts
from tickplant.formats.books import listed_levels
from tickplant.gateway.stream.book_steps import Steps, encode_steps, last_rows_of_steps
from tickplant.gateway.stream.encode import Wanted
from tickplant.gateway.stream.frames import Frame
from tickplant.gateway.stream.protocol import BookEvent
from tickplant.gateway.stream.replay import CHUNK_ROWS, Chunk, Reader, Source
from tickplant.gateway.stream.subscription import Subscription
from tickplant.model.events import BOOK
from tickplant.model.instruments import Instrument
from tickplant.model.times import format_time
from tickplant.plant.books import BookView
from tickplant.plant.encoded import NO_EVENTS, Events
from tickplant.plant.published import Published
from tickplant.store.contract import AsOf


class BookSubscription(Subscription):
    """A subscription to every step of some books."""

    _floors: dict[int, int] | None = None

    def _begin(self) -> None:
        self.topics = {BOOK}

    @property
    def chooses_by_instrument(self) -> bool:
        """Not so: a step is asked for by its last row."""
        return False

    @property
    def shared_key(self) -> Hashable | None:
        """See `Subscription`; alone until all books have passed their snapshots."""
        return None if self._floors else super().shared_key

    def _row_reader(self, upto: int) -> Reader:
        return StepReader(self._source(), self.seq, upto)

    def _is_complete(self, chunk: Chunk) -> bool:
        return chunk.done or isinstance(self._reader, StepReader)

    def _take_chunk(self) -> list[Frame]:
        reader = self._reader
        frames = super()._take_chunk()
        if isinstance(reader, BookSnapshotReader):
            self._floors = reader.floors
        return frames

    def wanted(self, taken: list[Published]) -> Wanted:
        """See `Subscription.wanted`; a step is asked for by its last row."""
        found = super().wanted(taken)
        if self._floors and taken and taken[-1].seq_first > max(self._floors.values()):
            self._floors = None
        return found

    def _rows(self, entry: Published) -> Steps | None:
        rows = entry.rows
        assert rows is not None
        lasts = last_rows_of_steps(rows)
        instrument = rows.column("instrument").to_numpy()[lasts]
        seq = rows.column("seq").to_numpy()[lasts]
        wanted = seq > self.floor
        numbers = self.selection.numbers
        if numbers is not None:
            wanted &= np.isin(instrument, list(numbers))
        if self._floors:
            floors = [self._floors.get(number, 0) for number in instrument.tolist()]
            wanted &= seq > np.array(floors)
        chosen: Steps = lasts[wanted]
        return chosen


class BookSnapshotReader:
    """The books of some instruments, each as a snapshot.

    Without `as_of` as the plant holds them; `floors` then gives the number that each has come to.
    """

    def __init__(
        self, source: Source, instruments: Sequence[Instrument], upto: int, *, live: bool
    ) -> None:
        self.floors: dict[int, int] = {}
        self._source = source
        self._left = list(reversed(instruments))
        self._upto = upto
        self._live = live

    def next(self) -> Chunk:
        """Return some of them; all at once where they are held in memory."""
        events: list[bytes] = []
        levels = 0
        while self._left and levels < CHUNK_ROWS:
            instrument = self._left.pop()
            view = self._view(instrument)
            if view.state == "none" and self._source.numbers is None:
                continue  # who asks for all is told of those that there are
            if self._live:
                self.floors[instrument.number] = view.seq or 0
            levels += len(view.bids) + len(view.asks) + 1
            events.append(self._source.codec.encode(_snapshot_event(instrument, view)))
        return Chunk(self._source.codec.bundle(events), self._upto, done=not self._left)

    def _view(self, instrument: Instrument) -> BookView:
        history = self._source.history
        if not self._live:
            return history.order_book(instrument, as_of=AsOf(seq_max=self._upto))
        if history.books is not None and self._source.numbers is None:
            held = history.books.view(instrument.number)
            return BookView(instrument.number, "none") if held is None else held
        return history.order_book(instrument)


class StepReader:
    """Steps as they were logged, `after < seq <= upto`."""

    def __init__(self, source: Source, after: int, upto: int) -> None:
        self._source = source
        self._after = after
        self._upto = upto

    def next(self) -> Chunk:
        """Return whole steps of about `CHUNK_ROWS` rows, in sequence order."""
        limit = CHUNK_ROWS
        while True:
            rows = self._source.history.store.scan_seq(
                BOOK, self._after, self._upto, instruments=self._source.numbers, limit=limit
            )
            if rows.num_rows < limit:
                self._after = self._upto
                return Chunk(self._encoded(rows), self._after, done=True)
            last = int(step_starts(rows)[-1])
            if last:  # the last step may go on
                self._after = rows["seq"][last - 1].as_py()
                return Chunk(self._encoded(rows.slice(0, last)), self._after, done=False)
            limit *= 2

    def _encoded(self, rows: pa.Table) -> Events:
        if not rows.num_rows:
            return NO_EVENTS
        batch = rows.combine_chunks().to_batches()[0]
        codec, registry = self._source.codec, self._source.history.registry
        return codec.bundle(encode_steps(batch, last_rows_of_steps(batch), codec, registry))


def _snapshot_event(instrument: Instrument, view: BookView) -> BookEvent:
    return BookEvent(
        instrument.symbol,
        instrument.venue,
        None if view.ts_event is None else format_time(view.ts_event),
        None if view.ts_recv is None else format_time(view.ts_recv),
        view.seq,
        "snapshot",
        None,
        listed_levels(view.bids),
        listed_levels(view.asks),
        view.state,
    )
