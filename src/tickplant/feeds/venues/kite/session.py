"""One connection to Kite: what is asked for, by modes, and what comes of it.

    subscribe ─► tokens, then the mode that the channels of each need ─► first packet: confirmed

    trades ─► `quote` (or `ltp`)       quotes, book, stats ─► `full`

Kite confirms nothing. It sends an instrument that was asked for at once, whole; so a stream is
confirmed by the first packet of its instrument in the mode that was asked for. Packets of another
mode were on their way before, or are those that come between a subscription and its mode: they are
left out, as they tell no time where the others do. What cannot be asked for (an instrument that is
not in Kite's list, the book of an index) is refused with the next frame, as a session speaks when
it hears something.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec
import numpy as np
import pyarrow as pa

from tickplant.feeds.venues.contract import (
    BadFrame,
    Channel,
    Confirmed,
    Dial,
    Frame,
    Heartbeat,
    Outgoing,
    Received,
    Refused,
    Said,
    Stream,
)
from tickplant.feeds.venues.kite import wire
from tickplant.feeds.venues.kite.accounts import Seat, Seats
from tickplant.feeds.venues.kite.depth import DepthTeller
from tickplant.feeds.venues.kite.parse import Packets, parse
from tickplant.feeds.venues.kite.slots import Slots
from tickplant.feeds.venues.kite.stats import StatTeller
from tickplant.feeds.venues.kite.trades import TradeTeller

OF_INDEX: tuple[Channel, ...] = ("trades", "stats")
"""What there is of an index: it has no orders."""


class KiteSession:
    """A `Session` of Zerodha Kite. `token_of` gives an instrument's token, None where unknown."""

    def __init__(
        self,
        url: str,
        seats: Seats,
        token_of: Callable[[str], int | None],
        trades_mode: wire.Mode,
    ) -> None:
        self._url = url
        self._seats = seats
        self._seat: Seat | None = seats.take()
        self._token_of = token_of
        self._trades_mode = trades_mode
        self._slots = Slots()
        self._pending: dict[int, dict[Stream, None]] = {}  # by slot
        self._said: list[Said] = []
        self._trades = TradeTeller()
        self._depth = DepthTeller()
        self._stats = StatTeller()

    def dial(self) -> Dial:
        """Return where to connect; what is shown of it names the account by its place."""
        assert self._seat is not None
        return wire.dial(self._url, self._seat.account, self._seat.place)

    def ended(self, status: int | None) -> None:
        """Note that the connection is over, or was refused with an HTTP status."""
        seat, self._seat = self._seat, None
        if seat is not None:
            self._seats.give(seat, status)

    def opening(self) -> Sequence[Outgoing]:
        """Return nothing: the address holds who we are."""
        return ()

    # -- what is asked for -------------------------------------------------------------------------

    def subscribe(self, streams: Sequence[Stream]) -> Sequence[Outgoing]:
        """Return requests for the instruments that are new, and for the modes that change."""
        new: set[int] = set()
        touched: dict[int, None] = {}
        for stream in streams:
            slot = self._slot_for(stream)
            if slot is None:
                continue
            if not self._slots.channels(slot):
                new.add(self._slots.tokens[slot])
                self._forget([slot])
            self._slots.want(slot, stream.channel)
            self._pending.setdefault(slot, {})[stream] = None
            touched[slot] = None
        asked = [wire.subscribe(new)] if new else []
        return [*asked, *self._modes(touched, again=True)]

    def unsubscribe(self, streams: Sequence[Stream]) -> Sequence[Outgoing]:
        """Return requests to end instruments, and to get less of those that go on."""
        over: set[int] = set()
        touched: dict[int, None] = {}
        for stream in streams:
            token = self._token_of(stream.symbol)
            slot = None if token is None else self._slots.slot(token)
            if slot is None:
                continue
            self._slots.want(slot, stream.channel, False)
            self._pending.get(slot, {}).pop(stream, None)
            if self._slots.channels(slot):
                touched[slot] = None
            else:
                over.add(self._slots.tokens[slot])
                self._slots.set_mode(slot, None)
                touched.pop(slot, None)
        self._said.append(Confirmed(tuple(streams), ends=True))
        asked = [wire.unsubscribe(over)] if over else []
        return [*asked, *self._modes(touched)]

    def _slot_for(self, stream: Stream) -> int | None:
        """Return the slot of a stream's instrument; None, and say so, where it cannot be had."""
        token = self._token_of(stream.symbol)
        reason = None
        if token is None:
            reason = "it is not in Kite's list of instruments"
        elif token & 0xFF == wire.INDICES and stream.channel not in OF_INDEX:
            reason = f"an index has no {stream.channel}"
        if reason is not None or token is None:
            self._said.append(Refused((stream,), f"{stream.symbol}: {reason}"))
            return None
        slot = self._slots.take(stream.symbol, token)
        for teller in (self._trades, self._depth, self._stats):
            teller.grow(len(self._slots))
        return slot

    def _forget(self, slots: list[int]) -> None:
        for teller in (self._trades, self._depth, self._stats):
            teller.forget(np.array(slots, np.int64))

    def _modes(self, slots: Iterable[int], *, again: bool = False) -> list[Outgoing]:
        """Return requests for the modes of instruments, where they change or are asked `again`."""
        by_mode: dict[wire.Mode, list[int]] = {}
        for slot in slots:
            mode = self._mode_of(slot)
            if again or self._slots.mode(slot) != mode:
                self._slots.set_mode(slot, mode)
                by_mode.setdefault(mode, []).append(self._slots.tokens[slot])
        return [wire.set_mode(mode, tokens) for mode, tokens in sorted(by_mode.items())]

    def _mode_of(self, slot: int) -> wire.Mode:
        return self._trades_mode if self._slots.channels(slot) == ("trades",) else "full"

    # -- what comes --------------------------------------------------------------------------------

    def receive(self, frames: Sequence[Frame]) -> Received:
        """Return what frames came to."""
        parsed = parse(frames)
        said, self._said = self._said, []
        if parsed.heard:
            said.append(Heartbeat())
        packets = self._of_mode(parsed.packets)
        self._confirm(packets.values(), said)
        bad = [*parsed.bad, *self._read_texts(parsed.texts, said)]
        rows: dict[str, pa.RecordBatch] = {}
        books, full = None, packets.get(wire.FULL.itemsize)
        trades = self._trades.tell(packets, self._slots)
        if trades is not None:
            rows["trades"] = trades
        if full is not None:
            quotes, books = self._depth.tell(full, self._slots)
            if quotes is not None:
                rows["quotes"] = quotes
        stats = self._stats.tell(packets, self._slots)
        if stats is not None:
            rows["stats"] = stats
        return Received(rows, books, said, bad)

    def _of_mode(self, packets: Mapping[int, Packets]) -> dict[int, Packets]:
        """Return the packets of the mode that is asked for of their instrument."""
        found = {}
        for mode, kinds in wire.KINDS.items():
            for kind in kinds:
                mine = packets.get(kind.itemsize)
                if mine is not None:
                    keep = self._slots.in_mode(self._slots.find(mine.tokens), mode)
                    mine = mine if keep.all() else mine.kept(keep)
                    if len(mine):
                        found[kind.itemsize] = mine
        return found

    def _confirm(self, packets: Iterable[Packets], said: list[Said]) -> None:
        if not self._pending:
            return
        done: list[Stream] = []
        for mine in packets:
            for slot in dict.fromkeys(self._slots.find(mine.tokens).tolist()):
                done += self._pending.pop(slot, {})
        if done:
            said.append(Confirmed(tuple(done)))

    def _read_texts(self, texts: Iterable[Frame], said: list[Said]) -> Iterable[BadFrame]:
        """Read frames of text; an error refuses what is not confirmed, or is kept as it came."""
        bad = []
        for frame in texts:
            try:
                message = wire.decode_message(frame.data)
            except (msgspec.MsgspecError, ValueError, RecursionError) as fault:
                detail = f"{type(fault).__name__}: {fault}"
                bad.append(BadFrame("trades", "frame_unreadable", detail, frame.data))
                continue
            if message.type != "error":
                continue
            reason = message.text()
            waiting = tuple(stream for streams in self._pending.values() for stream in streams)
            if waiting:
                said.append(Refused(waiting, reason, passing=True))
                self._pending.clear()
            else:
                bad.append(BadFrame("trades", "venue_error", reason, frame.data))
        return bad
