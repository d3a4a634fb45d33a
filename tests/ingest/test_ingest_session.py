"""One connection without a network: how much is read ahead, and what a slow plant does to it."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from typing import Any

import msgspec

from tickplant.config import IngestSettings, Settings
from tickplant.gateway.ingest.feeds import PushedFeeds
from tickplant.gateway.ingest.session import Session
from tickplant.gateway.rest.bodies import BodyRoom
from tickplant.model.errors import LogUnavailable, Overloaded, Stopping
from tickplant.plant.hub import Hub
from tickplant.plant.submission import Receipt, Submission

NOW = 1_700_000_000_000_000_000


class SlowPlant:
    """Takes rows when it is let, and makes them durable when it is told."""

    def __init__(self, window: int) -> None:
        self.settings = Settings(ingest=IngestSettings(window=window))
        self.hub = Hub(1_000)
        self.run = 1
        self.tracer = None
        self.refusals: list[Exception] = []
        self.taken: list[Future[Receipt]] = []
        self.prices: list[list[float]] = []
        self.notes: list[Any] = []

    def clock(self) -> int:
        return NOW

    def submit(self, submission: Submission) -> Future[Receipt]:
        if self.refusals:
            raise self.refusals.pop(0)
        self.taken.append(Future())
        self.prices.append(submission.rows.column("price").to_pylist())
        return self.taken[-1]

    def settle(self, place: int, outcome: Exception | None = None) -> None:
        if outcome is not None:
            self.taken[place].set_exception(outcome)
        else:
            self.taken[place].set_result(Receipt(1, 0, (), place, place))

    def tell(self, note: Any) -> Future[int | None]:
        self.notes.append(note)
        return Future()

    def feeds(self) -> list[dict[str, Any]]:
        return []

    def feed_facts(self, name: str) -> dict[str, Any]:
        return {}


class FakeSocket:
    """Gives what a producer has sent, counts what was read, keeps what is answered."""

    def __init__(self, count: int) -> None:
        self.frames = [
            msgspec.json.encode(
                {"op": "rows", "seq": n, "table": "trades", "rows": [{"symbol": "A", "price": n}]}
            ).decode()
            for n in range(1, count + 1)
        ]
        self.read = 0
        self.sent: list[dict[str, Any]] = []
        self.closed: tuple[int, str] | None = None
        self.hears = asyncio.Event()

    async def receive(self) -> dict[str, Any]:
        if self.read == len(self.frames):
            await asyncio.get_running_loop().create_future()
        self.read += 1
        return {"type": "websocket.receive", "text": self.frames[self.read - 1]}

    async def send(self, message: dict[str, Any]) -> None:
        self.sent.append(msgspec.json.decode(message["text"]))
        self.hears.set()

    async def close(self, code: int, reason: str) -> None:
        self.closed = code, reason

    async def answers(self, count: int) -> list[tuple[str, int]]:
        """Return the answers once there are so many, the greeting not counted."""
        while len(self.sent) <= count:
            self.hears.clear()
            await self.hears.wait()
        return [(one["op"], one["seq"]) for one in self.sent[1:]]


def begin(plant: SlowPlant, socket: FakeSocket, room: int = 1 << 20) -> asyncio.Task[None]:
    made: Any = plant
    session = Session(
        socket,  # type: ignore[arg-type]
        made,
        PushedFeeds(made),
        BodyRoom(room),
        subprotocol=None,
        strict=False,
        in_thread=lambda work: asyncio.ensure_future(asyncio.to_thread(work)),
        stall_s=30.0,
    )
    return asyncio.create_task(session.run())


async def turns(count: int = 50) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait({task})


async def test_no_more_is_read_than_the_window_holds_and_each_answer_makes_room() -> None:
    plant, socket = SlowPlant(window=4), FakeSocket(10)
    task = begin(plant, socket)
    await turns()
    assert (socket.read, len(plant.taken)) == (4, 4)
    plant.settle(1)  # out of turn: the first one is not durable yet
    await turns()
    assert (socket.read, socket.sent[1:]) == (4, [])
    plant.settle(0)
    assert await socket.answers(2) == [("ack", 1), ("ack", 2)]
    await turns()
    assert socket.read == 6
    await end(task)


async def test_frames_wait_for_room_in_memory() -> None:
    plant, socket = SlowPlant(window=64), FakeSocket(10)
    task = begin(plant, socket, room=sum(map(len, socket.frames[:3])) + 5)
    await turns()
    assert (socket.read, len(plant.taken)) == (4, 3)  # the fourth is read and waits
    for place in range(3):
        plant.settle(place)
    assert await socket.answers(3) == [("ack", 1), ("ack", 2), ("ack", 3)]
    while len(plant.taken) < 6:  # noqa: ASYNC110 - it asks again after its own pause
        await asyncio.sleep(0.01)
    await end(task)


async def test_rows_that_the_plant_has_no_room_for_are_handed_in_again_in_order() -> None:
    plant, socket = SlowPlant(window=8), FakeSocket(3)
    plant.refusals = [Overloaded("full"), Overloaded("full")]
    task = begin(plant, socket)
    while len(plant.taken) < 3:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    assert plant.prices == [[1.0], [2.0], [3.0]]
    plant.settle(0)
    plant.settle(1, LogUnavailable("the disk refuses", retry_after_s=2.0))
    plant.settle(2)
    assert await socket.answers(3) == [("ack", 1), ("error", 2), ("ack", 3)]
    assert (socket.sent[2]["code"], socket.sent[2]["retry_after_s"]) == ("try_again", 2.0)
    await end(task)


async def test_a_plant_that_stops_closes_the_connection_for_a_restart() -> None:
    plant, socket = SlowPlant(window=8), FakeSocket(1)
    plant.refusals = [Stopping("the plant is stopping")]
    await begin(plant, socket)
    assert socket.closed == (1012, "the plant is stopping")
