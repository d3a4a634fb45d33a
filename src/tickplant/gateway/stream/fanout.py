"""Live subscriptions that want the same are served together: one frame, one write each.

    hub rings ──► tick: up to the end of the ring as it is now
                    groups at the same place ──► `Portions`: what each is sent
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
from collections.abc import Callable, Hashable

from tickplant.gateway.stream.frames import Frame, Outlet
from tickplant.gateway.stream.portions import Portions, Wishes
from tickplant.gateway.stream.subscription import Subscription
from tickplant.observe.streamed import StreamCounts
from tickplant.plant.hub import Cursor, Hub, Lagged

_LOG = logging.getLogger(__name__)

SLICE = 128
"""Members that are written to before the loop has its turn."""

REST_S = 0.01
"""A shorter tick is followed by a rest as long as it took; see `rest_s`."""

REST_SHARE = 2
REST_S_MAX = 0.05

PREPARE_AFTER_ROWS = 200_000
"""Rows behind which a second of processor time pays that makes encoding them cheaper."""


def rest_s(took_s: float) -> float:
    """Return how long to rest after a tick: what arrives meanwhile leaves together.

    One that took long, for hundreds of groups, is followed by half of that, in which requests
    and producers have the loop.
    """
    return min(max(took_s, 0.0005), max(REST_S, took_s / REST_SHARE), REST_S_MAX)


class Group:
    """Subscriptions that want the same and stand at the same place, `cursor`."""

    def __init__(self, key: Hashable, cursor: Cursor, seq: int) -> None:
        self.key = key
        self.cursor = cursor
        self.seq = seq
        self.members: dict[Subscription, Outlet] = {}

    @property
    def lead(self) -> Subscription:
        """One of the members."""
        return next(iter(self.members))


class Fanout:
    """The groups of one event loop. On that loop only.

    Its task runs while somebody attends. `prepare` is called once, and must not block, after so
    many rows of the hub that it is worth while to have what writes events quicker.
    """

    def __init__(
        self, hub: Hub, counts: StreamCounts, prepare: Callable[[], object] | None = None
    ) -> None:
        self._hub = hub
        self._counts = counts
        self._prepare = prepare
        self._prepare_at = hub.rows + PREPARE_AFTER_ROWS
        self._groups: dict[Hashable, Group] = {}
        self._waiting: set[Outlet] = set()
        self._rung = asyncio.Event()
        self._attending = 0
        self._task: asyncio.Task[None] | None = None
        self._upto = hub.end
        self._wishes: Wishes | None = None  # of all groups, for as long as they are the same

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
            self._wishes = None
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
            self._wishes = None

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
            for outlet in tuple(self._waiting):
                outlet.wake()
            # Sessions that were woken have their turn before the next tick moves the end.
            await asyncio.sleep(rest_s(loop.time() - began))

    async def tick(self) -> None:
        """Bring every group up to the end of the ring, those that stand furthest back first."""
        self._upto = self._hub.end
        if self._prepare is not None and self._hub.rows >= self._prepare_at:
            self._prepare()
            self._prepare = None
        while behind := [g for g in self._groups.values() if g.cursor.position < self._upto]:
            place = min(group.cursor.position for group in behind)
            here = [group for group in behind if group.cursor.position == place]
            portions = Portions(here[0].cursor, self._upto, self._wishes_of(here))
            left = SLICE
            for group in here:
                if group.members:
                    left -= len(group.members)
                    await self._turn(group, portions)
                if left <= 0:
                    await asyncio.sleep(0)  # the other connections' turn
                    left = SLICE
            portions.close()

    def _wishes_of(self, groups: list[Group]) -> Wishes:
        if len(groups) < len(self._groups):
            return Wishes(groups)
        if self._wishes is None or self._wishes.have_grown():
            self._wishes = Wishes(groups)
        return self._wishes

    async def _turn(self, group: Group, portions: Portions) -> None:
        """Send a group what comes next in the ring."""
        lead = group.lead
        taken, after = portions.taken, portions.after
        if isinstance(taken, Lagged):
            self._dissolve(group, group.cursor)
            return
        try:
            seq = lead.reached_by(taken, after.seq, group.seq)
            events = portions.events_of(lead)
            frames = lead.frames_of(events, seq)
        except Exception:
            # Each goes on by itself, and tells its own client where that fails, too.
            _LOG.exception("subscriptions to %s failed together", lead.channel)
            self._dissolve(group, group.cursor)
            return
        group.seq = seq
        before, group.cursor = group.cursor, after.copy()
        if not frames:
            for one in group.members:
                one.seq = seq
            return
        written = await self._write(group, before, frames)
        self._counts.sent(lead.channel, written * len(events), written * len(frames))
        self._counts.took(0.0, written * len(frames))

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
