"""The books of one feed: from what a venue says to rows of the table `book`.

    Updates ─► rule ─┬─ APPLY ─► book ─► checksum, crossed? ─► thinning ─► rows of one step
                     ├─ DROP     the book has it
                     └─ GAP ───► LOST, and a new snapshot is wanted ─► CLEAR and its levels

What a row tells is right: a step goes out when the whole update is applied, its checksum verified
and the book not crossed; else a LOST row goes out, only that book is made anew, and nothing of it
goes out before it is right again. Steps of a book have rising event times: what a venue dates
earlier gets the time of the step before, because a book is a sequence of states.

What a supervisor does with a desk, from one thread or task:

    begin(symbols)    the venue has confirmed their subscription
    take(updates)     what a session received, and what `Venue.book_snapshot` returned
    lose(symbols)     a connection that carried them is gone, or has skipped something
    drop(symbols)     they were unsubscribed
    due()             not later than `due_at`, where `books.interval_ms` is set

and with what it returns: submit `rows`, and bring a snapshot of each book of `wanted`, by the
venue's `book_source`: with a request, or with a new subscription. A request that fails is the
supervisor's to repeat. A book is wanted again where a snapshot was of no use. Of two connections
that overlap, hand over the books of the newer one from its first snapshot on, of the older one not
any more; under the rules of Binance both may be handed over.
"""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tickplant.books.book import Book
from tickplant.books.checksum import Precision, kraken_checksum
from tickplant.books.rules import RULES, Rule, Verdict
from tickplant.books.thinning import Shown
from tickplant.books.updates import NONE, Updates
from tickplant.config import BookSettings
from tickplant.feeds.book_rows import BookRows
from tickplant.feeds.venues.contract import BookSource, Venue
from tickplant.model.times import INT64_MIN

_LOG = logging.getLogger(__name__)

WAITING_MAX = 2_000
"""Messages of a book that are kept while its snapshot is awaited, more than three minutes at ten a
second; the oldest are dropped, and a snapshot that is older than what is left is refused."""

AHEAD_NS_MAX = 30_000_000_000
"""Event times further ahead of our clock are taken back to this: one wrong one would date every
later step of its book, and rows from the future are refused."""

NS_PER_MS = 1_000_000
NS_PER_DAY = 86_400_000_000_000

REASONS = ("gap", "checksum", "crossed", "malformed", "lost")
"""Why a book had to be made anew."""


class Broken(NamedTuple):
    """A book that was right and is not any more.

    `reason` is one of `REASONS`. The venue's numbers `first` to `last` are missing, -1 where it has
    none; `ts_event` is that of the message that showed it, ns UTC.
    """

    symbol: str
    reason: str
    detail: str
    ts_event: int
    first: int = NONE
    last: int = NONE


@dataclass(frozen=True, slots=True)
class Delivered:
    """What came of a call: rows of `INCOMING["book"]`, maybe none; books that need a snapshot now;
    books that broke."""

    rows: pa.RecordBatch
    wanted: tuple[str, ...] = ()
    broken: tuple[Broken, ...] = ()


class _Message(NamedTuple):
    ts_event: int
    first: int
    last: int
    previous: int
    snapshot: bool
    checksum: int
    sides: list[int]
    prices: list[float]
    sizes: list[float]
    orders: list[int] | None


@dataclass(slots=True)
class _Kept:
    """A book. `intact`: every message up to `last` is in it; `anchored`: one of them followed its
    snapshot; `asked`: a snapshot was asked for; `told`: its rows so far make a book."""

    symbol: str
    book: Book = field(default_factory=Book)
    precision: Precision | None = None
    depth: int | None = None
    last: int = NONE
    ts_event: int = INT64_MIN
    intact: bool = False
    anchored: bool = False
    asked: bool = False
    told: bool = False
    day: int = -1
    rows: int = 0
    waiting: deque[_Message] = field(default_factory=lambda: deque(maxlen=WAITING_MAX))
    shown: Shown | None = None
    due_at: int = INT64_MIN


@dataclass(slots=True)
class BookCounts:
    """How many books there are and how often what happened to them, since the desk was made."""

    held: int = 0
    intact: int = 0
    messages: int = 0
    dropped: int = 0
    snapshots: int = 0
    unchecked: int = 0
    broken: Counter[str] = field(default_factory=Counter)


class BookDesk:
    """All the books of one feed. Not for several threads at once.

    `source` is the venue's `book_source`; `note` is told of every book that breaks.
    """

    def __init__(
        self,
        rule: str,
        source: BookSource,
        settings: BookSettings | None = None,
        note: Callable[[Broken], object] | None = None,
    ) -> None:
        settings = BookSettings() if settings is None else settings
        self._rule: Rule = RULES[rule]
        self._source = source
        self._depth = settings.depth
        self._interval_ns = round(settings.interval_ms * NS_PER_MS)
        self._thins = bool(self._depth or self._interval_ns or self._rule.replaces)
        self._anew_rows = settings.anew_rows
        self._books: dict[str, _Kept] = {}
        self._dirty: dict[str, _Kept] = {}
        self._rows = BookRows()
        self._wanted: dict[str, None] = {}
        self._broken: list[Broken] = []
        self._counts = BookCounts()
        self._note = note

    @classmethod
    def of_venue(
        cls,
        venue: Venue,
        settings: BookSettings | None = None,
        note: Callable[[Broken], object] | None = None,
    ) -> BookDesk:
        """Return a desk for the books of a venue."""
        return cls(venue.book_rule, venue.book_source, settings, note)

    # -- what the supervisor calls -----------------------------------------------------------------

    def take(self, updates: Updates, now: int) -> Delivered:
        """Take messages in the order of their arrival; `now` is ns UTC."""
        found: dict[int, _Kept] = {}
        for code, message, sound in _messages(updates):
            kept = found.get(code)
            if kept is None:
                kept = found[code] = self._kept(updates.symbols[code])
                self._learn(kept, code, updates)
            self._take(kept, message, sound, now)
        self._counts.messages += len(updates)
        return self._delivered(now)

    def begin(self, symbols: Iterable[str], now: int) -> Delivered:
        """Note that the subscriptions of these books are in force, though nothing came yet.

        A quiet book is wanted by this, and not only by its first message.
        """
        for symbol in symbols:
            kept = self._kept(symbol)
            if self._source == "http" and not kept.intact:
                self._want(kept)
        return self._delivered(now)

    def lose(
        self, symbols: Iterable[str], now: int, why: str = "the connection was lost"
    ) -> Delivered:
        """Note that messages of these books may be missing from now on; others are left alone."""
        for symbol in symbols:
            kept = self._books.get(symbol)
            if kept is None:
                continue
            kept.waiting.clear()
            kept.asked = False
            if kept.intact:
                self._break(kept, Broken(symbol, "lost", why, kept.ts_event))
        return self._delivered(now)

    def drop(self, symbols: Iterable[str], now: int) -> Delivered:
        """Forget these books; who has seen them is told that they are not kept any more."""
        for symbol in symbols:
            kept = self._books.pop(symbol, None)
            self._dirty.pop(symbol, None)
            self._wanted.pop(symbol, None)
            if kept is not None and kept.told:
                self._rows.ended(symbol, kept.ts_event)
        return self._delivered(now)

    def due(self, now: int) -> Delivered:
        """Return what is due by the rate at which books are kept."""
        return self._delivered(now)

    @property
    def due_at(self) -> int | None:
        """When `due` has something to return, ns UTC; None where nothing waits."""
        return min((kept.due_at for kept in self._dirty.values()), default=None)

    def wanting(self) -> list[str]:
        """Return every book that is not right now."""
        return [symbol for symbol, kept in self._books.items() if not kept.intact]

    def intact(self, symbol: str) -> bool:
        """Return whether a book is right."""
        kept = self._books.get(symbol)
        return kept is not None and kept.intact

    def book(self, symbol: str) -> Book | None:
        """Return a book that is right, to look at and not to change."""
        kept = self._books.get(symbol)
        return kept.book if kept is not None and kept.intact else None

    @property
    def counts(self) -> BookCounts:
        """What there is and what happened."""
        self._counts.held = len(self._books)
        self._counts.intact = sum(kept.intact for kept in self._books.values())
        return self._counts

    def _learn(self, kept: _Kept, code: int, updates: Updates) -> None:
        """Note what a checked book needs besides its messages."""
        if updates.decimals is not None:
            price, size = updates.decimals[code].tolist()
            if NONE not in (price, size):
                kept.precision = Precision(price, size)
        if updates.depth is not None:
            kept.depth = updates.depth

    # -- one message -------------------------------------------------------------------------------

    def _kept(self, symbol: str) -> _Kept:
        kept = self._books.get(symbol)
        if kept is None:
            kept = self._books[symbol] = _Kept(symbol)
            if self._thins:
                kept.shown = Shown(self._depth)
        return kept

    def _take(self, kept: _Kept, message: _Message, sound: bool, now: int) -> None:
        if not sound:
            detail = "a level has no finite price, no size from 0 on, or no side"
            self._refuse(kept, message, "malformed", detail)
        elif message.snapshot or self._rule.replaces:
            self._take_snapshot(kept, message, now)
        elif kept.intact:
            self._follow(kept, message, now)
        else:
            if self._rule.buffers:
                kept.waiting.append(message)
            self._want(kept)

    def _follow(self, kept: _Kept, message: _Message, now: int) -> None:
        """Take the next message of a book that is right."""
        verdict = self._rule.judge(
            kept.last, kept.anchored, message.first, message.last, message.previous
        )
        if verdict is Verdict.DROP:
            self._counts.dropped += 1
            return
        if verdict is Verdict.GAP:
            missing = Broken(
                kept.symbol,
                "gap",
                f"{message.first} follows {kept.last}",
                message.ts_event,
                kept.last + 1,
                message.first - 1,
            )
            self._break(kept, missing)
            if self._rule.buffers:
                kept.waiting.append(message)
            return
        kept.book.apply(message.sides, message.prices, message.sizes, message.orders)
        gone = self._cut_off(kept)
        kept.anchored = True
        if message.last != NONE:
            kept.last = message.last
        if self._holds(kept, message):
            self._tell(kept, message, gone, now)

    def _take_snapshot(self, kept: _Kept, message: _Message, now: int) -> None:
        if self._rule.buffers and kept.intact and message.last <= kept.last:
            self._counts.dropped += 1
            return
        message = message._replace(ts_event=_time_of(kept, message, now))
        kept.book.replace(message.sides, message.prices, message.sizes, message.orders)
        self._cut_off(kept)
        kept.last, kept.anchored, kept.asked = message.last, False, False
        waiting = list(kept.waiting)
        kept.waiting.clear()
        if not self._reaches(kept, waiting):
            kept.waiting.extend(waiting)
            self._want(kept)
            return
        self._counts.snapshots += 1
        was_intact, kept.intact = kept.intact, True
        if not self._holds(kept, message):
            return
        if self._rule.replaces and was_intact and kept.told:
            self._tell(kept, message, (), now)
        else:
            self._tell_anew(kept, message.ts_event, message.last, now)
        for place, late in enumerate(waiting):
            if not kept.intact:  # there was a hole among those that waited
                kept.waiting.extend(waiting[place:])
                break
            self._follow(kept, late, now)

    def _reaches(self, kept: _Kept, waiting: Sequence[_Message]) -> bool:
        """Return whether a snapshot is young enough for what has waited for it."""
        for message in waiting:
            verdict = self._rule.judge(
                kept.last, False, message.first, message.last, message.previous
            )
            if verdict is not Verdict.DROP:
                return verdict is Verdict.APPLY
        return True

    def _cut_off(self, kept: _Kept) -> Sequence[tuple[int, float]]:
        """Cut a book to the subscribed depth; return (side, price) of what fell off."""
        if kept.depth is None:
            return ()
        bids, asks = kept.book.bids.cut(kept.depth), kept.book.asks.cut(kept.depth)
        return [(1, price) for price in bids] + [(2, price) for price in asks]

    def _holds(self, kept: _Kept, message: _Message) -> bool:
        """Verify a book after a whole update; one that does not hold is broken."""
        if message.checksum != NONE:
            if kept.precision is None:
                self._counts.unchecked += 1
            elif (made := kraken_checksum(kept.book, kept.precision)) != message.checksum:
                detail = f"the checksum is {made}, the venue's {message.checksum}"
                self._refuse(kept, message, "checksum", detail)
                return False
        if kept.book.crossed:
            bid, ask = kept.book.bids.best, kept.book.asks.best
            self._refuse(kept, message, "crossed", f"bid {bid}, ask {ask}")
            return False
        return True

    def _refuse(self, kept: _Kept, message: _Message, reason: str, detail: str) -> None:
        self._break(kept, Broken(kept.symbol, reason, detail, message.ts_event))

    def _break(self, kept: _Kept, broken: Broken) -> None:
        self._counts.broken[broken.reason] += 1
        if kept.intact:
            self._broken.append(broken)
            if broken.reason != "lost":
                _LOG.warning("the book of %s: %s, %s", *broken[:3])
            if self._note is not None:
                self._note(broken)
        kept.intact, kept.asked = False, False
        kept.last, kept.anchored = NONE, False
        kept.book.clear()
        self._tell_lost(kept)
        if broken.reason != "lost":  # then it is the new connection that asks, or its first message
            self._want(kept)

    def _want(self, kept: _Kept) -> None:
        if not kept.asked and self._source != "stream":
            kept.asked = True
            self._wanted[kept.symbol] = None

    # -- rows --------------------------------------------------------------------------------------

    def _tell(
        self, kept: _Kept, message: _Message, gone: Sequence[tuple[int, float]], now: int
    ) -> None:
        """Write an update of a book, or note that it waits to be written."""
        kept.ts_event = max(kept.ts_event, min(message.ts_event, now + AHEAD_NS_MAX))
        if kept.rows >= self._anew_rows or kept.ts_event // NS_PER_DAY != kept.day:
            self._tell_anew(kept, kept.ts_event, kept.last, now)
        elif kept.shown is not None:
            self._dirty[kept.symbol] = kept
        else:
            rows = self._rows
            rows.step(kept.symbol, kept.ts_event, kept.last)
            rows.levels(message.sides, message.prices, message.sizes, message.orders)
            for side, price in gone:
                rows.levels([side], [price], [0.0], None)
            kept.rows += rows.close()

    def _tell_anew(self, kept: _Kept, ts_event: int, number: int, now: int) -> None:
        """Write a book as a snapshot."""
        kept.ts_event = max(kept.ts_event, ts_event)
        kept.day, kept.told = kept.ts_event // NS_PER_DAY, True
        bids, asks = kept.book.bids.top(self._depth), kept.book.asks.top(self._depth)
        rows = self._rows
        rows.step(kept.symbol, kept.ts_event, number)
        rows.snapshot(bids, asks)
        rows.close()
        kept.rows = 0
        self._dirty.pop(kept.symbol, None)
        if kept.shown is not None:
            kept.shown.set(bids, asks)
            kept.due_at = now + self._interval_ns

    def _tell_changed(self, kept: _Kept, now: int) -> None:
        """Write what of the shown part of a book is other than when it was last written."""
        assert kept.shown is not None
        changes = kept.shown.change(kept.book)
        if changes:
            rows = self._rows
            rows.step(kept.symbol, kept.ts_event, kept.last)
            for side, level in changes:
                orders = None if level.orders is None else [level.orders]
                rows.levels([side], [level.price], [level.size], orders)
            kept.rows += rows.close()
        kept.due_at = now + self._interval_ns

    def _tell_lost(self, kept: _Kept) -> None:
        self._dirty.pop(kept.symbol, None)
        if kept.told:
            kept.told = False
            self._rows.lost(kept.symbol, kept.ts_event)

    def _delivered(self, now: int) -> Delivered:
        for symbol, kept in list(self._dirty.items()):
            if kept.due_at <= now or not self._interval_ns:
                del self._dirty[symbol]
                self._tell_changed(kept, now)
        wanted, broken = tuple(self._wanted), tuple(self._broken)
        self._wanted.clear()
        self._broken.clear()
        return Delivered(self._rows.take(), wanted, broken)


def _time_of(kept: _Kept, snapshot: _Message, now: int) -> int:
    """Return when a snapshot was so. Answers over HTTP may not say it: then it was when the last
    message that is in it was, or the book before it."""
    if snapshot.ts_event > 0:
        return min(snapshot.ts_event, now + AHEAD_NS_MAX)
    times = [late.ts_event for late in kept.waiting if late.last <= snapshot.last]
    known = max([kept.ts_event, *times])
    if known > 0:
        return min(known, now + AHEAD_NS_MAX)
    return min([now, *(late.ts_event for late in kept.waiting)])


def _messages(updates: Updates) -> Iterator[tuple[int, _Message, bool]]:
    """Yield each message with its symbol's place and whether its levels are sound."""
    offsets = updates.offsets.tolist()
    sides, prices, sizes = updates.side.tolist(), updates.price.tolist(), updates.size.tolist()
    orders = None if updates.orders is None else updates.orders.tolist()
    sound = _sound(updates)
    columns = zip(
        updates.code.tolist(),
        updates.ts_event.tolist(),
        updates.first.tolist(),
        updates.last.tolist(),
        updates.previous.tolist(),
        updates.snapshot.tolist(),
        updates.checksum.tolist(),
        offsets,
        offsets[1:],
        strict=False,  # there is one offset more
    )
    for place, (code, ts, first, last, previous, snapshot, checksum, start, end) in enumerate(
        columns
    ):
        levels = (sides[start:end], prices[start:end], sizes[start:end])
        counts = None if orders is None else orders[start:end]
        message = _Message(ts, first, last, previous, snapshot, checksum, *levels, counts)
        yield code, message, sound is None or bool(sound[place])


def _sound(updates: Updates) -> NDArray[np.bool_] | None:
    """Mark the messages without a level that no book can hold; None where all are."""
    side, price, size = updates.side, updates.price, updates.size
    good = np.isfinite(price) & np.isfinite(size) & (size >= 0) & ((side == 1) | (side == 2))
    if good.all():
        return None
    bad = np.concatenate(([0], np.cumsum(~good)))
    return np.asarray(bad[updates.offsets[1:]] == bad[updates.offsets[:-1]])
