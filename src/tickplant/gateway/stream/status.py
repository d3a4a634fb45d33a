"""The channel `status`: the plant's state at once, and again whenever it has changed.

The plant is asked in a thread, once a second while anybody listens, so that a plant whose disk
hangs holds up nobody.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any

from tickplant.gateway.stream.frames import Frame
from tickplant.gateway.stream.ports import StreamPlant
from tickplant.gateway.stream.subscription import Subscription
from tickplant.model.times import format_time
from tickplant.plant.encoded import Events
from tickplant.plant.published import Published

_LOG = logging.getLogger(__name__)

LOOK_EVERY_S = 1.0


class StatusSubscription(Subscription):
    """A subscription to `status`, once it has joined a `StatusWatch`: its state, then notices."""

    shares = False
    _watch: StatusWatch | None = None
    _notices: tuple[Mapping[str, Any], ...] = ()
    _told: dict[str, Any] | None = None

    def join(self, watch: StatusWatch) -> None:
        """Tell the state that `watch` knows, and what it becomes."""
        self._watch = watch

    def close(self) -> None:
        """Leave the watch."""
        super().close()
        if self._watch is not None:
            self._watch.leave(self)

    def step(self, upto: int | None = None) -> list[Frame]:
        """Return the frames that are ready; see `Subscription.step`."""
        frames = super().step(upto)
        frames += [self._codec.notice(notice) for notice in self._notices]
        self._notices = ()
        event = None if self._watch is None else self._watch.event
        if event is None or event is self._told:
            return frames
        self._told = event
        return [*self._data(self._codec.bundle([self._codec.encode(event)])), *frames]

    def _events(self, taken: list[Published]) -> Events:
        """Keep the notices, which are messages of their own."""
        mine = [entry for entry in taken if entry.topic in self.topics]
        # A judgement of a feed has no number of its own; one that comes twice is the same again.
        new = [e.message for e in mine if e.seq_last > self.floor or _is_judgement(e)]
        self._notices += tuple(message for message in new if message and "op" in message)
        return super()._events([e for e in mine if e.message is None or "op" not in e.message])


def _is_judgement(entry: Published) -> bool:
    return entry.message is not None and entry.message.get("op") == "feed"


class StatusWatch:
    """The plant's state, for all connections of one event loop.

    `event` is what subscribers are told, another object after each change. The task that looks for
    changes runs while there are listeners.
    """

    def __init__(self, plant: StreamPlant, *, every_s: float = LOOK_EVERY_S) -> None:
        self.event: dict[str, Any] | None = None
        self._plant = plant
        self._every_s = every_s
        self._known: tuple[str, str, bool, str] | None = None
        self._listeners: dict[StatusSubscription, Callable[[], object]] = {}
        self._task: asyncio.Task[None] | None = None

    async def join(self, subscription: StatusSubscription, wake: Callable[[], object]) -> None:
        """Look now; from now on call `wake` after each change, until the subscription leaves."""
        await self._look()
        # No await from here on, so that a cancelled join leaves nothing behind.
        subscription.join(self)
        self._listeners[subscription] = wake
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())

    def leave(self, subscription: StatusSubscription) -> None:
        """Forget a subscription; the last one ends the looking. Idempotent."""
        self._listeners.pop(subscription, None)
        if not self._listeners and self._task is not None:
            self._task.cancel()
            self._task = None

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._every_s)
            try:
                await self._look()
            except Exception:
                _LOG.exception("the state of the plant could not be read")

    async def _look(self) -> None:
        known = await asyncio.to_thread(self._ask)
        if known == self._known:
            return
        self._known = known
        load, state, ready, reason = known
        self.event = {
            "ts": format_time(self._plant.clock()),
            "state": state,
            "ready": ready,
            "reason": reason,
            "backpressure": load,
            "run": self._plant.run,
        }
        for wake in tuple(self._listeners.values()):
            wake()

    def _ask(self) -> tuple[str, str, bool, str]:
        return (self._plant.load_level, self._plant.state, *self._plant.readiness())
