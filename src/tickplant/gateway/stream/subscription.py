"""One subscription: read the past where it was asked for, join the ring, go live.

        ┌── from ──► reading ── in reach of the ring ──► following ── caught up ──► live
    new ┤               ▲                                    │                       │
        └── no from ────┼────────────────────────────────────┼──────────────────► live
                        └──────────── lost the ring ─────────┘                       │
                                                                                     ▼
                          lost the ring while live: trades ──► closed, with the number to resume
                                                    quotes ──► the last of each instrument
                                                    candles ─► the last of each bar that changed

Rows leave in sequence order, each once: those up to a number, the floor, come from the store, those
above it from the ring. A subscription that has not been live yet is never called slow: what the
ring loses while the past is read is read from the store, too.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from tickplant.gateway.stream.defaults import DefaultBases
from tickplant.gateway.stream.encode import Wanted, encode_entries, encode_wanted
from tickplant.gateway.stream.frames import Frame
from tickplant.gateway.stream.ports import StreamPlant
from tickplant.gateway.stream.protocol import Codec, Id
from tickplant.gateway.stream.replay import (
    Chunk,
    LatestReader,
    Reader,
    RowReader,
    Source,
)
from tickplant.gateway.stream.replay_bars import CandleQuery, ChangedBarReader
from tickplant.gateway.stream.selection import Selection
from tickplant.model.events import MARKET_TABLES, QUOTES
from tickplant.plant.encoded import EncodedRows, Events
from tickplant.plant.hub import Cursor, Lagged
from tickplant.plant.published import CandleKey, Published

if TYPE_CHECKING:
    from tickplant.gateway.stream.fanout import Group

TURN_ROWS = 5_000
"""Rows that a subscription takes from the ring in one turn, so that others get theirs."""

SCANNED_ROWS_MAX = 8 * TURN_ROWS
"""Rows of the ring that it looks through in one turn where it wants few of them."""

RunInThread = Callable[[Callable[[], Chunk]], "Future[Chunk]"]


class TooSlowError(Exception):
    """The ring moved past a subscription whose events are never conflated."""

    def __init__(self, id: Id, channel: str, seq: int, missed: int) -> None:
        super().__init__(f"too slow; resume {channel} from seq {seq}")
        self.id = id
        self.channel = channel
        self.seq = seq  # the client has everything up to this, or will once what left arrives
        self.missed = missed


class Subscription:
    """What one client asked for on one channel. Used on the event loop only.

    It continues after `seq`: from `cursor` where one is given, after what `reader` reads, else
    from wherever that number is. `start` drops rows with an earlier event time; with `announce`
    it says `live` once it has caught up. `defaults` are for candles without a basis.

    While it is in a `group` the `Fanout` serves it, and `step` must not be called.
    """

    shares: ClassVar[bool] = True
    """Whether others that want the same may be served with it."""

    def __init__(
        self,
        id: Id,
        channel: str,
        selection: Selection,
        plant: StreamPlant,
        codec: Codec,
        run_in_thread: RunInThread,
        *,
        seq: int,
        cursor: Cursor | None = None,
        reader: Reader | None = None,
        start: int | None = None,
        query: CandleQuery | None = None,
        defaults: DefaultBases | None = None,
        announce: bool = False,
    ) -> None:
        self.id = id
        self.channel = channel
        self.seq = seq  # the client has everything up to this, or will once what left arrives
        self.query = query
        self.more = False
        self.waited = False  # for its client, before this turn
        self.group: Group | None = None
        self.selection = selection
        self._plant = plant
        self._codec = codec
        self._counts = plant.metrics.stream
        self._run_in_thread = run_in_thread
        self._start = start
        self.topics: set[str | CandleKey] = (
            {channel} if query is None else {query.key(basis) for basis in query.bases}
        )
        self._defaults = defaults  # for candles without a basis
        self.cursor = cursor
        self._live = False
        self._announce = announce
        self._conflating = False
        self._turn_rows = TURN_ROWS
        self._missed = 0
        self.floor = seq
        self._target = seq
        self._reader: Reader | None = None
        self._future: Future[Chunk] | None = None
        self._wish: Hashable = None
        self._begin()
        if reader is not None:
            self._read(reader)

    def _begin(self) -> None:
        """Add what a kind of subscription has besides."""

    @property
    def caught_up(self) -> bool:
        """Whether it is live and has nothing left to read."""
        return self._live and self._future is None

    def close(self) -> None:
        """Drop what is being read."""
        if self._future is not None:
            self._future.cancel()

    def step(self, upto: int | None = None) -> list[Frame]:
        """Return the frames that are ready; `more` says that there are more. Never blocks.

        Of the ring what is before the position `upto`. Raises `TooSlowError`, and whatever a read
        from the store raised.
        """
        self.more = False
        if self._future is not None:
            return self._take_chunk() if self._future.done() else []
        if self.cursor is None:
            self._join()
        return [] if self.cursor is None or self._future is not None else self._follow(upto)

    # -- together with others ----------------------------------------------------------------------

    @property
    def shared_key(self) -> Hashable | None:
        """What those have in common who can be served together; None while it stands alone."""
        cursor = self.cursor
        if not self.shares or not self.caught_up or cursor is None or self._defaults is not None:
            return None
        # Bars carry the number that caused them, which may be that up to which bars were read.
        past = cursor.seq > self.floor if self.query is not None else cursor.seq >= self.floor
        return (self.id, self.wish_key) if past else None

    @property
    def wish_key(self) -> Hashable:
        """What decides which events it gets; the same for all who want the same."""
        if self._wish is None:
            topics, key = frozenset(self.topics), self.selection.key
            self._wish = (self.channel, topics, key, self._codec.name, self._start)
        return self._wish

    def wanted(self, taken: list[Published]) -> Wanted:
        """Return the entries of which it wants something, and the rows that it wants; None: all."""
        self.selection.grow()
        return [
            (entry, rows) for entry in taken if (rows := self.wanted_of(entry)) is None or len(rows)
        ]

    def wanted_of(self, entry: Published) -> NDArray[np.intp] | None:
        """Return the rows of an entry that it wants; None: all."""
        if entry.topic not in self.topics or entry.seq_last <= self.floor:
            return _NO_ROWS
        return self._rows(entry)

    @property
    def chooses_by_instrument(self) -> bool:
        """Whether behind its floor the selection alone says what it wants."""
        return self._start is None and self._defaults is None

    @property
    def codec_name(self) -> str:
        """The wire format that it is sent."""
        return self._codec.name

    def encode(self, entry: Published, rows: NDArray[np.intp]) -> EncodedRows:
        """Encode rows of an entry, for whoever asks for them next as well."""
        (encoded,) = encode_wanted([(entry, rows)], self._codec, self._plant.registry)
        return encoded

    def encoded(self, wanted: Wanted) -> Events:
        """Return the events of what is wanted of some entries."""
        return encode_entries(wanted, self._codec, self._plant.registry)

    def frames_of(self, events: Events, seq: int) -> list[Frame]:
        """Return the frames of events, complete up to `seq`, for all who have this `id`."""
        return self._codec.data(self.id, self.channel, events, seq)

    def reached_by(self, taken: list[Published], at: int, before: int) -> int:
        """Return up to which number it is complete, after these entries; the ring is at `at`."""
        if self.query is not None:
            # A batch's bars are published after its rows, so those of the last may be missing yet.
            firsts = [entry.seq_first for entry in taken if entry.channel in MARKET_TABLES]
            at = firsts[-1] - 1 if firsts else before
        return max(before, at)

    # -- from the store ----------------------------------------------------------------------------

    def _read(self, reader: Reader) -> None:
        self._reader = reader
        self._future = self._run_in_thread(reader.next)

    def _take_chunk(self) -> list[Frame]:
        assert self._future is not None
        chunk = self._future.result()
        self._future = None
        complete = self._is_complete(chunk)
        frames = self._data(chunk.events, chunk.seq if complete else None)
        self._missed += chunk.missed
        if not chunk.done:
            assert self._reader is not None
            if self.query is None:
                self.seq = self.floor = chunk.seq
            self._read(self._reader)
            return frames
        self._reader = None
        self.seq = self.floor = chunk.seq
        self.more = True
        if self._conflating:
            self._conflating = False
            frames.insert(0, self._slow())
        return frames

    def _is_complete(self, chunk: Chunk) -> bool:
        """Return whether the client has everything up to the number of a chunk, once it has it."""
        return chunk.done or self.query is None

    def _data(self, events: Events, seq: int | None = None) -> list[Frame]:
        """Return the frames of encoded events, and count them."""
        frames = self._codec.data(self.id, self.channel, events, seq)
        if frames:
            self._counts.sent(self.channel, len(events), len(frames))
        return frames

    def _slow(self) -> Frame:
        dropped, self._missed = self._missed, 0
        self._counts.dropped(self.channel, "conflate", dropped)
        return self._codec.message(
            "slow", id=self.id, channel=self.channel, dropped=dropped, policy="conflate"
        )

    def _join(self) -> None:
        """Attach to the ring, or read more where it no longer has what comes next."""
        hub = self._plant.hub
        if self.query is not None:
            self.cursor = hub.tail()
            self._target = self.cursor.seq
            self._read_changed(self._target)
            return
        self.cursor = hub.attach(self.seq)
        self._target = hub.seq
        if self.cursor is None:
            upto = self._target
            self._read(self._row_reader(upto))

    def _row_reader(self, upto: int) -> Reader:
        return RowReader(self._source(), self.channel, self.seq, upto, self._start)

    def _source(self) -> Source:
        self.selection.grow()
        numbers = self.selection.numbers
        chosen = None if numbers is None else tuple(sorted(numbers))
        return Source(self._plant.history, self._codec, chosen)

    def _read_changed(self, upto: int) -> None:
        assert self.query is not None
        instruments = self.selection.instruments()
        self._read(
            ChangedBarReader(
                self._source(), self.query, instruments, self.seq, upto, self._defaults
            )
        )

    # -- from the ring -----------------------------------------------------------------------------

    def _follow(self, upto: int | None) -> list[Frame]:
        assert self.cursor is not None
        if self._is_too_far_behind(self.cursor):
            self._conflate()
            return []
        taken = self.cursor.take(self._turn_rows, upto)
        if isinstance(taken, Lagged):
            self._fall_behind(taken)
            return []
        events = self._events(taken)
        self._look_further(sum(entry.count for entry in taken), len(events))
        if taken:
            self._advance(taken)
            self.more = self.cursor.behind > 0 if upto is None else self.cursor.position < upto
        frames = self._data(events, self.seq)
        if not self._live and self.cursor.seq >= self._target:
            self._live = True
            if self._announce:
                frames.append(self._codec.message("live", id=self.id, seq=self.seq))
        return frames

    def _look_further(self, rows: int, events: int) -> None:
        """Take more of the ring in the next turn where many rows brought few events."""
        if events > TURN_ROWS // 2:
            self._turn_rows = TURN_ROWS
        elif rows > TURN_ROWS // 2 and events < TURN_ROWS // 8:
            self._turn_rows = min(2 * self._turn_rows, SCANNED_ROWS_MAX)

    def _advance(self, taken: list[Published]) -> None:
        assert self.cursor is not None
        self.seq = self.reached_by(taken, self.cursor.seq, self.seq)

    def _events(self, taken: list[Published]) -> Events:
        """Return the events of these entries that it wants."""
        return self.encoded(self.wanted(taken))

    def _rows(self, entry: Published) -> NDArray[np.intp] | None:
        """Return the numbers of the rows that this subscription wants, None for all."""
        if entry.rows is None:
            return None
        rows = self.selection.rows_of(entry)
        if self.query is not None:
            return rows if self._defaults is None else self._of_default(entry, rows)
        if entry.seq_first <= self.floor:
            rows = _where(entry, rows, "seq", self.floor + 1)
        if self._start is not None:
            rows = _where(entry, rows, "ts_event", self._start)
        return rows

    def _of_default(
        self, entry: Published, rows: NDArray[np.intp] | None
    ) -> NDArray[np.intp] | None:
        """Keep the bars of trades, and those of mid prices where an instrument has no trades."""
        defaults = self._defaults
        assert defaults is not None
        assert entry.key is not None
        if entry.key.basis == "trade":
            defaults.note_trades(entry.by_instrument)
            return rows
        quoted = {number for number in entry.by_instrument if defaults.of(number) != "trade"}
        chosen = self.selection.numbers
        return entry.rows_of(quoted if chosen is None else quoted & chosen)

    @property
    def _conflates(self) -> bool:
        return self.query is not None or self.channel == QUOTES

    def _is_too_far_behind(self, cursor: Cursor) -> bool:
        """Whether its client, which has been waited for, had better have the latest."""
        most = self._plant.settings.stream.behind_rows
        return self.waited and self._live and self._conflates and cursor.behind > most

    def _fall_behind(self, lagged: Lagged) -> None:
        """Do what the channel's policy says once the ring has moved past the cursor."""
        if not self._live and self.query is None:
            self.cursor = None
            self.more = True
            return
        if not self._conflates:
            self._counts.dropped(self.channel, "disconnect", lagged.rows)
            raise TooSlowError(self.id, self.channel, self.seq, lagged.rows)
        self._conflate()

    def _conflate(self) -> None:
        """Go on from the present, after the latest of what lies between."""
        self.cursor = self._plant.hub.tail()
        upto = self.cursor.seq
        self._conflating = self._live
        if self.channel == QUOTES:
            self._read(LatestReader(self._source(), self.seq, upto, self._start))
        else:
            self._read_changed(upto)


_NO_ROWS = np.empty(0, dtype=np.intp)


def _where(
    entry: Published, rows: NDArray[np.intp] | None, column: str, least: int
) -> NDArray[np.intp]:
    assert entry.rows is not None
    values = entry.rows.column(column).to_numpy()
    if rows is None:
        return np.flatnonzero(values >= least)
    kept: NDArray[np.intp] = rows[values[rows] >= least]
    return kept
