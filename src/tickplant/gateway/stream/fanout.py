"""Live subscriptions that want the same are served together: one frame, one write each.

    hub rings ──► tick: up to the end of the ring as it is now
                    groups at the same place ──► rows of each ──► rows of any, encoded once
                    each group ──► its events ──► one frame
                                                    member ready ──► written to its transport
                                                    not ready ─────► leaves with its own place

A subscription joins a group once it is live, has nothing left to read and stands where the group
stands, and from then on costs one write a tick. It leaves when its client has not taken what was
written before: then its own session goes on from its own place, waits for its own client, and joins
again when it has caught up. So no client is waited for by another.

A tick that took long is followed by a rest, in which more arrives that leaves together.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Hashable

import numpy as np
from numpy.typing import NDArray

from tickplant.gateway.stream.frames import Frame, Outlet
from tickplant.gateway.stream.subscription import TURN_ROWS, Subscription, Wanted
from tickplant.observe.streamed import StreamCounts
from tickplant.plant.hub import Cursor, Hub, Lagged
from tickplant.plant.published import Published

_LOG = logging.getLogger(__name__)

SLICE = 128
"""Members that are written to before the loop has its turn."""

REST_S_MAX = 0.01

Taken = list[Published]


class Group:
    """Subscriptions that want the same and stand at the same place, `cursor`."""

    def __init__(self, key: Hashable, cursor: Cursor, seq: int) -> None:
        self.key = key
        self.cursor = cursor
        self.seq = seq
        self.members: dict[Subscription, Outlet] = {}


class Fanout:
    """The groups of one event loop. On that loop only.

    Its task runs while somebody attends.
    """

    def __init__(self, hub: Hub, counts: StreamCounts) -> None:
        self._hub = hub
        self._counts = counts
        self._groups: dict[Hashable, Group] = {}
        self._waiting: set[Outlet] = set()
        self._rung = asyncio.Event()
        self._attending = 0
        self._task: asyncio.Task[None] | None = None
        self._upto = hub.end
        self._read: tuple[Taken | Lagged, Cursor] | None = None
        self._merged: list[tuple[Published, Taken]] = []
        self._wanted: dict[Hashable, Wanted] = {}
        self._events: dict[Hashable, list[bytes]] = {}

    def attend(self, more: int) -> None:
        """Count a session that began or, with -1, ended; the last one ends the task."""
        waker = self._hub.waker(asyncio.get_running_loop())
        waker.attend(more)
        self._attending += more
        if self._attending and self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())
            waker.add(self._rung.set)
            self._rung.set()
        elif not self._attending and self._task is not None:
            waker.discard(self._rung.set)
            self._task.cancel()
            self._task = None

    @property
    def upto(self) -> int:
        """How far in the ring the present tick goes; who reads on its own stops here, too."""
        return self._upto

    def listen(self, outlet: Outlet) -> None:
        """Wake a session at each tick: it has subscriptions that stand on their own."""
        self._waiting.add(outlet)

    def ignore(self, outlet: Outlet) -> None:
        """Wake it no more."""
        self._waiting.discard(outlet)

    def join(self, one: Subscription, outlet: Outlet) -> bool:
        """Take in a subscription that stands where its group stands; say whether it does."""
        key, cursor = one.shared_key, one.cursor
        if key is None or cursor is None or outlet.wire is None or not outlet.wire.ready():
            return False
        if outlet.pending:
            return False
        group = self._groups.get(key)
        if group is None:
            if cursor.position < self._upto:
                return False  # a tick has passed meanwhile, and the next may be long in coming
            group = self._groups[key] = Group(key, cursor.copy(), one.seq)
        elif group.cursor.position != cursor.position or group.seq != one.seq:
            return False
        group.members[one] = outlet
        one.group = group
        return True

    def leave(self, one: Subscription, cursor: Cursor | None = None) -> None:
        """Let a subscription go on by itself, from where it stands. Idempotent."""
        group, one.group = one.group, None
        if group is None:
            return
        one.cursor = group.cursor.copy() if cursor is None else cursor
        group.members.pop(one, None)
        if not group.members:
            self._groups.pop(group.key, None)

    # -- the tick ----------------------------------------------------------------------------------

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._rung.wait()
            self._rung.clear()
            began = loop.time()
            try:
                await self.tick()
            except Exception:
                _LOG.exception("a tick of the stream failed; each subscription goes on by itself")
                for group in tuple(self._groups.values()):
                    self._dissolve(group, group.cursor)
                self._forget()
            for outlet in tuple(self._waiting):
                outlet.wake()
            # Sessions that were woken have their turn before the next tick moves the end.
            await asyncio.sleep(min(max(loop.time() - began, 0.0005), REST_S_MAX))

    async def tick(self) -> None:
        """Bring every group up to the end of the ring, those that stand furthest back first."""
        self._upto = self._hub.end
        while behind := [g for g in self._groups.values() if g.cursor.position < self._upto]:
            place = min(group.cursor.position for group in behind)
            here = [group for group in behind if group.cursor.position == place]
            self._prepare(here)
            for group in here:
                if group.members:
                    await self._turn(group)
            for merged, entries in self._merged:
                merged.split(entries)
            self._forget()

    def _forget(self) -> None:
        """Let go of what was shared at the last place of the ring."""
        self._read = None
        self._merged = []
        self._wanted.clear()
        self._events.clear()

    def _prepare(self, groups: list[Group]) -> None:
        """Read what comes next for groups at the same place, and encode what any of them wants."""
        taken = self._take(groups[0].cursor.copy())
        if isinstance(taken, Lagged):
            return
        self._merged = _merge(taken)
        entries = [merged for merged, _ in self._merged]
        union = _Union()
        for group in groups:
            lead = next(iter(group.members))
            if lead.wish_key in self._wanted:
                continue
            try:
                self._wanted[lead.wish_key] = wanted = lead.wanted(entries)
                union.add(lead, wanted)
            except Exception:
                # Each goes on by itself, and tells its own client where that fails, too.
                _LOG.exception("subscriptions to %s failed together", lead.channel)
                self._dissolve(group, group.cursor)
        try:
            union.encode()
        except Exception:
            _LOG.exception("what is wanted could not be encoded at once")

    async def _turn(self, group: Group) -> None:
        """Send a group what comes next in the ring, `TURN_ROWS` at most."""
        before = group.cursor.copy()
        lead = next(iter(group.members))
        try:
            taken = self._take(group.cursor)
            if isinstance(taken, Lagged):
                self._dissolve(group, before)
                return
            seq = lead.reached_by(taken, group.cursor.seq, group.seq)
            events = self._events_of(lead)
            frames = lead.frames_of(events, seq)
        except Exception:
            # Each goes on by itself, and tells its own client where that fails, too.
            _LOG.exception("subscriptions to %s failed together", lead.channel)
            self._dissolve(group, before)
            return
        group.seq = seq
        if not frames:
            for one in group.members:
                one.seq = seq
            return
        written = await self._write(group, before, frames)
        self._counts.sent(lead.channel, written * len(events), written * len(frames))
        self._counts.took(0.0, written * len(frames))

    def _take(self, cursor: Cursor) -> Taken | Lagged:
        """Read on; the groups that stand at the same place read once."""
        if self._read is None:
            taken = cursor.take(TURN_ROWS, self._upto)
            self._read = taken, cursor.copy()
            return taken
        taken, after = self._read
        cursor.move_to(after)
        return taken

    def _events_of(self, lead: Subscription) -> list[bytes]:
        """Return the events of a turn; groups that differ only in their `id` share them."""
        key = lead.wish_key
        events = self._events.get(key)
        if events is None:
            events = self._events[key] = lead.encoded(self._wanted[key])
        return events

    async def _write(self, group: Group, before: Cursor, frames: list[Frame]) -> int:
        """Write frames to the members that are ready; return to how many."""
        now = asyncio.get_running_loop().time()
        written = 0
        for place, (one, outlet) in enumerate(tuple(group.members.items())):
            if place % SLICE == SLICE - 1:
                await asyncio.sleep(0)  # the other connections' turn
            if one.group is not group:
                continue  # gone meanwhile
            try:
                took = outlet.write_at_once(frames, now)
            except Exception:
                _LOG.exception("a connection could not be written to")
                took = False  # its own session will find out what is wrong with it
            if took:
                one.seq = group.seq
                written += 1
            if not took or outlet.pending:
                self.leave(one, group.cursor.copy() if took else before.copy())
                outlet.wake()
        return written

    def _dissolve(self, group: Group, cursor: Cursor) -> None:
        for one, outlet in tuple(group.members.items()):
            self.leave(one, cursor.copy())
            outlet.wake()


class _Union:
    """The rows that any of some subscriptions wants, so that they are encoded in one go."""

    def __init__(self) -> None:
        self._parts: dict[Hashable, tuple[Subscription, Published, NDArray[np.bool_]]] = {}

    def add(self, lead: Subscription, wanted: Wanted) -> None:
        """Take in what a subscription wants."""
        for entry, rows in wanted:
            key = id(entry), lead.codec_name
            if key not in self._parts:
                self._parts[key] = lead, entry, np.zeros(entry.count, np.bool_)
            self._parts[key][2][slice(None) if rows is None else rows] = True

    def encode(self) -> None:
        """Encode them all."""
        for lead, entry, rows in self._parts.values():
            lead.encode(entry, np.flatnonzero(rows))


def _merge(taken: Taken) -> list[tuple[Published, Taken]]:
    """Return one entry for each topic, with those that it was made of."""
    topics: dict[Hashable, Taken] = {}
    for entry in taken:
        # Notices have no rows to be put together.
        topics.setdefault(entry.topic if entry.rows is not None else entry.position, []).append(
            entry
        )
    return [
        (entries[0], []) if len(entries) == 1 else (Published.merged(entries), entries)
        for entries in topics.values()
    ]
