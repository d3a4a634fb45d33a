"""A subscribe message becomes a subscription, or an error that says what is allowed."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from tickplant.analytics.ask import parse_indicators
from tickplant.analytics.catalogue import PARAMETERS, Indicator
from tickplant.analytics.library import talib
from tickplant.candles.activity import check_activity
from tickplant.candles.basis import BASES
from tickplant.candles.grid import Grid
from tickplant.candles.interval import parse_interval
from tickplant.gateway.stream.book_tops import BookTops, BookTopSubscription, TopReader
from tickplant.gateway.stream.books import BookSnapshotReader, BookSubscription
from tickplant.gateway.stream.defaults import DefaultBases
from tickplant.gateway.stream.indicators import IndicatorQuery, IndicatorSubscription
from tickplant.gateway.stream.ports import StreamPlant
from tickplant.gateway.stream.protocol import Codec, Id, ProtocolError, Subscribe
from tickplant.gateway.stream.replay import (
    Chunk,
    Reader,
    SnapshotReader,
    Source,
    first_seq,
)
from tickplant.gateway.stream.replay_bars import BarReader, CandleQuery
from tickplant.gateway.stream.selection import Selection
from tickplant.gateway.stream.status import StatusSubscription
from tickplant.gateway.stream.subscription import Subscription
from tickplant.model.errors import (
    InvalidParameter,
    PassingError,
    TickplantError,
    UserError,
    shorten,
)
from tickplant.model.events import BOOK, POSTED_TABLES
from tickplant.model.times import parse_time
from tickplant.plant.book_shown import DEPTH_DEFAULT, check_depth
from tickplant.plant.history import SEQ_MAX
from tickplant.plant.hub import Cursor
from tickplant.plant.indicators import check_basis
from tickplant.plant.published import BOOKS, CANDLES, CHANNELS, INDICATORS, STATUS
from tickplant.store.contract import NOW

RunInThread = Callable[[Callable[[], Chunk]], "Future[Chunk]"]
_OF_BARS = (CANDLES, INDICATORS)
_BARS = ("interval", "basis", "timezone", "day_start", "calendar", "session")
_TOPS = ("depth", "rate_ms")
RATE_S_MAX = 3_600.0
_WHOLE = re.compile(r"\d{1,19}\Z", re.ASCII)


@dataclass(slots=True)
class Opened:
    """A subscription and what must be given back at its end.

    While `held` its answer has not been queued yet, so nothing of it may be sent.
    """

    subscription: Subscription
    answer: dict[str, Any]
    watched: list[tuple[Grid, str]] = field(default_factory=list)
    held: bool = False

    async def release(self, plant: StreamPlant) -> None:
        """Stop reading and give back the candles."""
        self.subscription.close()
        watched, self.watched = self.watched, []
        unwatch(plant, watched)


def unwatch(plant: StreamPlant, watched: list[tuple[Grid, str]]) -> None:
    """Give back watched candles; a plant that is stopping needs it no more."""
    for grid, basis in watched:
        try:
            plant.unwatch_candles(grid, basis)
        except PassingError:
            return


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a subscription begins: after a number, at an event time, or now (both None)."""

    seq: int | None = None
    time: int | None = None


async def open_subscription(
    id: Id, message: Subscribe, plant: StreamPlant, codec: Codec, run_in_thread: RunInThread
) -> Opened:
    """Check the message and make its subscription. Raises `ProtocolError`."""
    check_channel(message)
    origin = find_origin(message, plant)
    if origin.time is not None and _tops(message) is not None:
        said = "a sequence number, after which books that have changed since are sent as they are"
        raise ProtocolError("bad_from", f"from: allowed with depth and rate_ms is {said}")
    # The first use of a calendar imports its library and computes decades of sessions.
    slow = message.calendar is not None
    query = await asyncio.to_thread(find_query, message) if slow else find_query(message)
    selection = _select(message, plant)
    watched: list[tuple[Grid, str]] = []
    if isinstance(query, IndicatorQuery):
        await _prepare(query)
    try:
        await _watch(plant, query, watched)
        source = Source(plant.history, codec, _numbers(selection))
        start = await _start(message, origin, source, plant)
        defaults = await _find_defaults(query, selection, plant)
        reader = _reader(message, origin, query, selection, source, start)
        kind = _kind(message)
        subscription = kind(
            id,
            message.channel,
            selection,
            plant,
            codec,
            run_in_thread,
            seq=start.seq,
            cursor=start.cursor,
            reader=reader,
            query=query,
            defaults=defaults,
            announce=origin != Origin(),
            start=origin.time if query is None else None,
        )
    except BaseException as fault:
        unwatch(plant, watched)
        if isinstance(fault, TickplantError):
            raise ProtocolError("unavailable", str(fault)) from fault
        raise
    answer: dict[str, Any] = {
        "channel": message.channel,
        "symbols": selection.names,
        "seq": start.seq,
    }
    if query is not None:
        answer |= {"interval": str(query.grid.interval), "basis": query.basis}
    if isinstance(query, IndicatorQuery):
        answer["name"] = [one.label for one in query.indicators]
    return Opened(subscription, answer, watched)


def _select(message: Subscribe, plant: StreamPlant) -> Selection:
    if message.channel != STATUS:
        return Selection(message.symbols, plant.registry, venue=message.venue, kind=message.kind)
    for name in ("venue", "kind"):
        if getattr(message, name) is not None:
            raise ProtocolError("bad_symbols", f"{name}: is not allowed for the channel status")
    return Selection("*", plant.registry)


_KINDS: dict[str, type[Subscription]] = {
    STATUS: StatusSubscription,
    INDICATORS: IndicatorSubscription,
    BOOKS: BookSubscription,
}


def _kind(message: Subscribe) -> Callable[..., Subscription]:
    tops = _tops(message)
    if tops is None:
        return _KINDS.get(message.channel, Subscription)
    return partial(BookTopSubscription, tops)


def check_channel(message: Subscribe) -> None:
    """Refuse channels that are not there, and fields that the channel has no use for."""
    if message.channel not in CHANNELS:
        raise ProtocolError(
            "bad_channel",
            f"channel: {shorten(message.channel)} is not allowed; allowed is {', '.join(CHANNELS)}",
        )
    if message.snapshot and message.from_ is not None:
        raise ProtocolError("bad_snapshot", "snapshot: is allowed only without from")
    if message.channel != INDICATORS:
        _check_absent(message, ("name", *PARAMETERS), "bad_indicator", (INDICATORS,))
    if message.channel not in _OF_BARS:
        _check_absent(message, _BARS, "bad_grid", _OF_BARS)
    _check_tops(message)
    if message.channel == STATUS and (message.from_ is not None or message.snapshot):
        raise ProtocolError("bad_from", "from, snapshot: are not allowed for the channel status")


def _check_tops(message: Subscribe) -> None:
    """Check what makes a subscription to books one to their best levels."""
    if message.channel != BOOKS:
        _check_absent(message, _TOPS, "bad_depth", (BOOKS,))
    tops = _tops(message)
    if tops is None:
        return
    try:
        check_depth(tops.depth)
    except InvalidParameter as fault:
        raise ProtocolError("bad_depth", fault.detail) from None
    if not 0 <= tops.rate_s <= RATE_S_MAX:
        raise ProtocolError(
            "bad_depth",
            f"rate_ms: {message.rate_ms} is not allowed; allowed is 0 to {RATE_S_MAX * 1000:.0f}",
        )


def _tops(message: Subscribe) -> BookTops | None:
    """Return the best levels that are asked for, None where every step of the books is."""
    if message.depth is None and message.rate_ms is None:
        return None
    depth = DEPTH_DEFAULT if message.depth is None else message.depth
    return BookTops(depth, (message.rate_ms or 0.0) / 1000)


def _check_absent(
    message: Subscribe, names: Sequence[str], code: str, channels: Sequence[str]
) -> None:
    """Refuse what would change nothing, so that nobody takes it for heard."""
    for name in names:
        if getattr(message, name) is not None:
            said = f"is allowed only for the channel {' or '.join(channels)}"
            raise ProtocolError(code, f"{name}: {said}")


def find_origin(message: Subscribe, plant: StreamPlant) -> Origin:
    """Return where the subscription begins.

    An integer up to 10**15 is a sequence number, a larger one nanoseconds. Of an older run only
    the numbers that the run after it began with still mean the same events.
    """
    value = message.from_
    if value is None:
        return Origin()
    if isinstance(value, str) and _WHOLE.match(value):
        value = int(value)  # as in `as_of`, which is always a text
    if isinstance(value, int) and value <= SEQ_MAX:
        return Origin(seq=_known_seq(value, message.run, plant))
    try:
        time = parse_time(value, "from")
    except InvalidParameter as fault:
        raise ProtocolError("bad_from", fault.detail) from None
    if time > plant.clock():
        raise ProtocolError("from_in_future", f"from: {shorten(value)} has not come yet")
    return Origin(time=time)


def _known_seq(seq: int, run: int | None, plant: StreamPlant) -> int:
    if seq < 0:
        raise ProtocolError("bad_from", f"from: {seq} is not allowed; allowed is 0 or more")
    if run is not None and run != plant.run:
        base = plant.run_base(run + 1)
        if base is None:
            raise ProtocolError(
                "unknown_run",
                f"run: {run} is not known to this plant, which is "
                f"at run {plant.run}; subscribe without it, or from a time",
            )
        seq = min(seq, base)
    last = plant.hub.seq
    if seq > last:
        raise ProtocolError(
            "from_in_future", f"from: {seq} has not come yet; the last is {last}", seq=last
        )
    return seq


def find_query(message: Subscribe) -> CandleQuery | None:
    """Return which candles are asked for, None on the other channels."""
    if message.channel not in _OF_BARS:
        return None
    if message.interval is None:
        raise ProtocolError("bad_interval", "interval: is needed for bars, for example 1m")
    try:
        interval = parse_interval(message.interval)
    except InvalidParameter as fault:
        raise ProtocolError("bad_interval", fault.detail) from None
    if message.basis is not None and message.basis not in BASES:
        raise ProtocolError(
            "bad_basis",
            f"basis: {shorten(message.basis)} is not allowed; allowed is {', '.join(BASES)}",
        )
    try:
        grid = Grid.of(
            interval, message.timezone, message.day_start, message.calendar, message.session
        )
    except UserError as fault:
        raise ProtocolError("bad_grid", fault.detail) from None
    try:
        basis = check_activity(grid, message.basis)
    except InvalidParameter as fault:
        raise ProtocolError("bad_basis", fault.detail) from None
    if message.channel == CANDLES:
        return CandleQuery(grid, basis)
    return IndicatorQuery(grid, basis, _find_indicators(message))


def _find_indicators(message: Subscribe) -> tuple[Indicator, ...]:
    try:
        given = {name: getattr(message, name) for name in PARAMETERS}
        found = parse_indicators(message.name, given)
        check_basis(found, message.basis)
    except UserError as fault:
        raise ProtocolError("bad_indicator", fault.detail) from None
    return found


async def _prepare(query: IndicatorQuery) -> None:
    """Import the library in a thread: it takes long, and may be missing."""
    if all(one.kind.formula is None for one in query.indicators):
        return
    try:
        await asyncio.to_thread(talib)
    except UserError as fault:
        raise ProtocolError("bad_indicator", fault.detail) from None


def _give_back(plant: StreamPlant, what: tuple[Grid, str], done: asyncio.Future[None]) -> None:
    if not done.cancelled() and done.exception() is None:
        unwatch(plant, [what])


async def _watch(
    plant: StreamPlant, query: CandleQuery | None, watched: list[tuple[Grid, str]]
) -> None:
    """Have the plant publish these candles; `watched` gets what is to be given back."""
    for basis in query.bases if query is not None else ():
        assert query is not None
        what = (query.grid, basis)
        watching = asyncio.ensure_future(asyncio.to_thread(plant.watch_candles, *what))
        try:
            await asyncio.shield(watching)
        except asyncio.CancelledError:
            # The thread goes on without us, so what it begins is given back when it is done.
            watching.add_done_callback(partial(_give_back, plant, what))
            raise
        watched.append(what)


@dataclass(frozen=True, slots=True)
class _Start:
    seq: int
    cursor: Cursor | None = None


async def _start(message: Subscribe, origin: Origin, source: Source, plant: StreamPlant) -> _Start:
    if origin.seq is not None:
        # The best levels are those of now, whatever the client has.
        return _Start(origin.seq, plant.hub.tail() if _tops(message) is not None else None)
    table = BOOK if message.channel == BOOKS else message.channel
    if origin.time is None or table not in (*POSTED_TABLES, BOOK):
        tail = plant.hub.tail()
        return _Start(tail.seq, tail)
    upto = plant.hub.seq
    return _Start(await asyncio.to_thread(first_seq, source, table, origin.time, upto))


async def _find_defaults(
    query: CandleQuery | None, selection: Selection, plant: StreamPlant
) -> DefaultBases | None:
    """Look up the default bases; later trades are in the ring, or in what replaces it."""
    if query is None or query.basis is not None:
        return None
    defaults = DefaultBases(plant.history)
    numbers = [one.number for one in selection.instruments()]
    await asyncio.to_thread(defaults.look_up, numbers, NOW)
    return defaults


def _reader(
    message: Subscribe,
    origin: Origin,
    query: CandleQuery | None,
    selection: Selection,
    source: Source,
    start: _Start,
) -> Reader | None:
    if query is not None and (origin.time is not None or message.snapshot):
        return BarReader(
            source,
            query,
            selection.instruments(),
            start.seq,
            start=origin.time,
            limit=1 if message.snapshot else None,
        )
    tops = _tops(message)
    if tops is not None:
        assert start.cursor is not None
        return TopReader(
            source, selection.instruments(), start.cursor.seq, tops.depth, after=origin.seq
        )
    if message.channel == BOOKS and origin.seq is None:
        instruments = selection.instruments()
        return BookSnapshotReader(source, instruments, start.seq, live=origin.time is None)
    if message.snapshot:
        return SnapshotReader(source, message.channel, selection.instruments(), start.seq)
    return None


def _numbers(selection: Selection) -> tuple[int, ...] | None:
    return None if selection.numbers is None else tuple(sorted(selection.numbers))
