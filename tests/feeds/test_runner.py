import asyncio
import json
import logging
from collections.abc import Callable
from concurrent.futures import Future

import pyarrow as pa
import pytest

from log_kit import lines_of
from tickplant.feeds import runner as runner_module
from tickplant.feeds.contract import FeedState, Sink
from tickplant.feeds.runner import FeedRunner
from tickplant.feeds.sink import PlantSink
from tickplant.model.errors import LogUnavailable, Overloaded, Stopping
from tickplant.model.events import INCOMING, TRADES
from tickplant.plant.feed_notes import Alive, Finished, Hole, Lost, Note
from tickplant.plant.submission import Receipt, Submission

NOW = 1_700_000_000_000_000_000


def trades(rows: int, ts_event: int = NOW) -> Submission:
    columns = [
        pa.array([ts_event] * rows, field.type) if field.name == "ts_event"
        else pa.nulls(rows, field.type)
        for field in INCOMING[TRADES]
    ]  # fmt: skip
    batch = pa.RecordBatch.from_arrays(columns, schema=INCOMING[TRADES])
    return Submission(TRADES, batch, feed="test")


def receipt(submission: Submission) -> Receipt:
    return Receipt(submission.rows.num_rows, 0, (), 1, submission.rows.num_rows)


class FakePlant:
    """Takes submissions and leaves their futures to the test; `refusals` are raised first."""

    def __init__(self, *, durable: bool = True) -> None:
        self.durable = durable
        self.taken: list[tuple[Submission, Future[Receipt]]] = []
        self.refusals: list[Exception] = []

    def submit(self, submission: Submission) -> Future[Receipt]:
        if self.refusals:
            raise self.refusals.pop(0)
        future: Future[Receipt] = Future()
        self.taken.append((submission, future))
        if self.durable:
            future.set_result(receipt(submission))
        return future


class ScriptedFeed:
    """Runs one step of its script a start: rows to submit, then the exception to raise, or None."""

    venue = "TEST"
    kind = "scripted"
    instruments = 3

    def __init__(self, *script: tuple[int, BaseException | None], name: str = "scripted") -> None:
        self.name = name
        self.script = list(script)

    async def run(self, sink: Sink) -> None:
        rows, fault = self.script.pop(0)
        if rows:
            await sink.submit(trades(rows))
        if fault is not None:
            raise fault


class ForeverFeed(ScriptedFeed):
    """Submits once and then waits to be cancelled; a `stubborn` one refuses the first time."""

    stubborn = False

    async def run(self, sink: Sink) -> None:
        await sink.submit(trades(1))
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                if not self.stubborn:
                    raise
                self.stubborn = False


class Sleeper:
    def __init__(self) -> None:
        self.slept: list[float] = []
        self.now = NOW

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += int(seconds * 1e9)
        await asyncio.sleep(0)

    def clock(self) -> int:
        return self.now


def runner(plant: FakePlant, sleeper: Sleeper, *feeds: ScriptedFeed) -> FeedRunner:
    return FeedRunner(
        feeds, plant.submit, clock=sleeper.clock, sleep=sleeper.sleep, jitter=lambda: 1.0,
        backoff_s=0.5, backoff_s_max=4.0,
    )  # fmt: skip


async def until(condition: Callable[[], object]) -> None:
    while not condition():  # noqa: ASYNC110 - what is waited for has no event to offer
        await asyncio.sleep(0)


async def test_a_failing_feed_is_started_again_with_growing_capped_pauses() -> None:
    plant, sleeper = FakePlant(), Sleeper()
    feed = ScriptedFeed(*[(0, OSError("cut"))] * 6, (5, None))
    owner = runner(plant, sleeper, feed)
    owner.start()
    await until(lambda: owner.states[0].state == "finished")
    assert sleeper.slept == [0.5, 1.0, 2.0, 4.0, 4.0, 4.0]
    assert owner.states[0].restarts == 6
    assert owner.states[0].events == 5


async def test_pauses_are_jittered_between_half_and_whole() -> None:
    plant, sleeper = FakePlant(), Sleeper()
    chances = iter([0.0, 0.5])
    owner = FeedRunner(
        [ScriptedFeed((0, OSError()), (0, OSError()), (0, None))], plant.submit,
        clock=sleeper.clock, sleep=sleeper.sleep, jitter=lambda: next(chances), backoff_s=1.0,
    )  # fmt: skip
    owner.start()
    await until(lambda: owner.states[0].state == "finished")
    assert sleeper.slept == [0.5, 1.5]


async def test_a_feed_that_ran_long_begins_with_the_shortest_pause_again() -> None:
    plant, sleeper = FakePlant(), Sleeper()

    class LongFeed(ScriptedFeed):
        async def run(self, sink: Sink) -> None:
            if len(self.script) == 2:
                sleeper.now += 10 * 10**9
            await super().run(sink)

    feed = LongFeed((0, OSError()), (0, OSError()), (0, OSError()), (0, None))
    owner = runner(plant, sleeper, feed)
    owner.start()
    await until(lambda: owner.states[0].state == "finished")
    assert sleeper.slept == [0.5, 1.0, 0.5]


async def test_one_feed_failing_leaves_the_others_alone() -> None:
    plant, sleeper = FakePlant(), Sleeper()
    bad = ScriptedFeed(*[(0, OSError("cut"))] * 1_000_000, name="bad")
    good = ForeverFeed(name="good")
    owner = runner(plant, sleeper, bad, good)
    owner.start()
    await until(lambda: owner.states[0].restarts > 20)
    assert [state.state for state in owner.states] == ["waiting", "connected"]
    assert owner.shown()[0]["error"] == "OSError: cut"
    assert await owner.stop() == []
    assert [state.state for state in owner.states] == ["stopped", "stopped"]


async def test_stopping_names_the_feed_that_does_not_stop() -> None:
    plant, sleeper = FakePlant(), Sleeper()
    stubborn = ForeverFeed(name="stubborn")
    stubborn.stubborn = True
    owner = runner(plant, sleeper, stubborn, ForeverFeed(name="obedient"))
    owner.start()
    await until(lambda: len(plant.taken) == 2)
    assert await owner.stop(timeout_s=0.05) == ["stubborn"]
    assert [state.state for state in owner.states] == ["connected", "stopped"]
    assert await owner.stop(timeout_s=5.0) == []


async def test_what_is_shown_has_the_fields_of_v1_feeds() -> None:
    plant, sleeper = FakePlant(), Sleeper()
    owner = runner(plant, sleeper, ForeverFeed(name="one"))
    owner.start()
    await until(lambda: plant.taken)
    sleeper.now += 10**9
    (shown,) = owner.shown()
    await owner.stop()
    assert shown == {
        "id": "one", "venue": "TEST", "kind": "scripted", "state": "connected", "instruments": 3,
        "events": 1, "events_per_s": pytest.approx(0.951, abs=0.001),
        "last_event": "2023-11-14T22:13:20Z", "lag": 0.0, "restarts": 0, "error": None,
    }  # fmt: skip


async def test_two_feeds_of_one_name_are_a_bug() -> None:
    with pytest.raises(AssertionError, match="same"):
        runner(FakePlant(), Sleeper(), ScriptedFeed(name="same"), ScriptedFeed(name="same"))


def sink(plant: FakePlant, sleeper: Sleeper, rows_max: int = 10) -> tuple[PlantSink, FeedState]:
    state = FeedState("test", "TEST", "scripted")
    made = PlantSink(
        plant.submit, state, clock=sleeper.clock, sleep=sleeper.sleep, rows_max=rows_max
    )
    return made, state


async def test_the_sink_holds_the_feed_back_until_the_disk_has_caught_up() -> None:
    plant = FakePlant(durable=False)
    held, _ = sink(plant, Sleeper())
    await held.submit(trades(6))
    second = asyncio.ensure_future(held.submit(trades(6)))
    for _ in range(20):
        await asyncio.sleep(0)
    assert not second.done()
    assert len(plant.taken) == 1
    first, future = plant.taken[0]
    future.set_result(receipt(first))
    await second
    assert len(plant.taken) == 2


async def test_a_submission_larger_than_the_bound_still_passes_alone() -> None:
    plant = FakePlant(durable=False)
    held, _ = sink(plant, Sleeper())
    await held.submit(trades(1_000))
    assert len(plant.taken) == 1


async def test_a_refusal_is_tried_again_after_the_time_it_names() -> None:
    plant, sleeper = FakePlant(), Sleeper()
    plant.refusals = [Overloaded("full", retry_after_s=0.25), LogUnavailable("disk full")]
    held, state = sink(plant, sleeper)
    await held.submit(trades(3))
    assert sleeper.slept == [0.25, 1.0]
    assert state.events == 3
    assert len(plant.taken) == 1


async def test_a_submission_that_did_not_become_durable_fails_the_next_one() -> None:
    plant = FakePlant(durable=False)
    held, state = sink(plant, Sleeper())
    await held.submit(trades(1))
    plant.taken[0][1].set_exception(LogUnavailable("no answer in 10 s"))
    await asyncio.sleep(0)
    with pytest.raises(LogUnavailable):
        await held.submit(trades(1))
    assert state.events == 1


async def test_a_feed_that_waits_for_room_hears_of_the_failure() -> None:
    plant = FakePlant(durable=False)
    held, _ = sink(plant, Sleeper())
    await held.submit(trades(10))
    waiting = asyncio.ensure_future(held.submit(trades(1)))
    await asyncio.sleep(0)
    plant.taken[0][1].set_exception(LogUnavailable("no answer in 10 s"))
    with pytest.raises(LogUnavailable):
        await waiting


async def test_lag_is_the_age_of_the_youngest_event_when_it_was_submitted() -> None:
    plant, sleeper = FakePlant(), Sleeper()
    held, state = sink(plant, sleeper)
    await held.submit(trades(2, NOW - 1_500_000_000))
    assert state.lag_s == 1.5
    assert state.last_event == NOW - 1_500_000_000


class Told:
    """Keeps what the plant is told of feeds; the answer is always 7."""

    def __init__(self) -> None:
        self.notes: list[Note] = []

    def tell(self, note: Note) -> Future[int | None]:
        self.notes.append(note)
        future: Future[int | None] = Future()
        future.set_result(7)
        return future

    @property
    def kinds(self) -> list[str]:
        return [type(note).__name__ for note in self.notes]


def telling(told: Told, sleeper: Sleeper, *feeds: ScriptedFeed, **options: float) -> FeedRunner:
    return FeedRunner(
        feeds, FakePlant().submit, clock=sleeper.clock, sleep=sleeper.sleep, tell=told.tell,
        jitter=lambda: 1.0, **options,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("fault", "cause"),
    [
        (OSError("cut"), "disconnect"),
        (Overloaded("too much"), "overload"),
        (LogUnavailable("the disk is full"), "overload"),
    ],
)
async def test_the_plant_is_told_what_a_failing_feed_has_lost(fault: Exception, cause: str) -> None:
    told, sleeper = Told(), Sleeper()
    owner = telling(told, sleeper, ScriptedFeed((2, fault), (3, None)))
    owner.start()
    await until(lambda: owner.states[0].state == "finished")
    assert told.kinds == ["Begun", "Lost", "Begun", "Finished"]
    assert told.notes[1] == Lost("scripted", cause, f"{type(fault).__name__}: {fault}")


class LivelyFeed(ScriptedFeed):
    """Says that it is alive, once or often, then nothing more; with rows it sends no heartbeat."""

    async def run(self, sink: Sink) -> None:
        heartbeats, fault = self.script.pop(0)
        if fault is not None:
            return
        for number in range(heartbeats):
            await sink.say(Alive(self.name, NOW + number * 10**9))
        if not heartbeats:
            await sink.submit(trades(1))
        await asyncio.Event().wait()


async def test_a_feed_that_sends_heartbeats_and_falls_silent_has_stalled() -> None:
    told, sleeper = Told(), Sleeper()
    owner = telling(told, sleeper, LivelyFeed((3, None), (0, OSError())), stall_s=20.0)
    owner.start()
    await until(lambda: owner.states[0].state == "finished")
    assert told.kinds == ["Begun", "Alive", "Alive", "Alive", "Lost", "Finished"]
    assert told.notes[4] == Lost("scripted", "stall", "Stalled: nothing was heard of it for 20 s")
    assert owner.states[0].restarts == 1


class HangingFeed(ScriptedFeed):
    """Sends a heartbeat and hangs: for some time in `close`, when it should end; then it sends."""

    def __init__(self) -> None:
        super().__init__(name="hanging")
        self.close = asyncio.Event()
        self.refused: list[Exception] = []

    async def run(self, sink: Sink) -> None:
        await sink.say(Alive(self.name, NOW))
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await self.close.wait()
            try:
                await sink.submit(trades(1))
            except Stopping as fault:
                self.refused.append(fault)


async def test_a_stalled_feed_that_will_not_end_is_noted_and_heard_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(runner_module, "CLOSE_S_MAX", 0.0)
    told, sleeper, feed = Told(), Sleeper(), HangingFeed()
    owner = telling(told, sleeper, feed, stall_s=20.0)
    owner.start()
    await until(lambda: owner.states[0].restarts == 1)
    assert told.kinds[:3] == ["Begun", "Alive", "Lost"]
    assert isinstance(told.notes[2], Lost)
    assert told.notes[2].cause == "stall"
    feed.close.set()
    await until(lambda: feed.refused)
    await owner.stop()


class HeldFeed(ScriptedFeed):
    """Sends a heartbeat and rows, over and over, as fast as the plant takes them."""

    async def run(self, sink: Sink) -> None:
        for step in range(self.script.pop(0)[0]):
            await sink.say(Alive(self.name, NOW + step * 10**9))
            await sink.submit(trades(150_000))
        await asyncio.Event().wait()


async def test_a_feed_that_the_plant_holds_back_has_not_stalled() -> None:
    told, sleeper, plant = Told(), Sleeper(), FakePlant(durable=False)
    owner = FeedRunner(
        [HeldFeed((3, None), (0, None))], plant.submit, clock=sleeper.clock, sleep=sleeper.sleep,
        tell=told.tell, jitter=lambda: 1.0, stall_s=20.0,
    )  # fmt: skip
    owner.start()
    await until(lambda: sleeper.now > NOW + 500 * 10**9)
    assert told.kinds == ["Begun", "Alive", "Alive"]
    for _ in range(2):
        submission, future = plant.taken[-1]
        future.set_result(receipt(submission))
        await until(lambda: plant.taken[-1][1] is not future or "Lost" in told.kinds)  # noqa: B023
    await until(lambda: "Lost" in told.kinds)
    assert told.kinds == ["Begun", "Alive", "Alive", "Alive", "Lost"]
    assert len(plant.taken) == 3
    await owner.stop()


async def test_a_feed_without_heartbeats_may_be_silent() -> None:
    told, sleeper = Told(), Sleeper()
    owner = telling(told, sleeper, LivelyFeed((0, None)), stall_s=20.0)
    owner.start()
    await until(lambda: sleeper.now > NOW + 500 * 10**9)
    assert told.kinds == ["Begun"]
    assert owner.states[0].restarts == 0
    assert await owner.stop() == []


async def test_heartbeats_that_bring_a_feed_on_by_little_are_not_passed_on() -> None:
    told, sleeper = Told(), Sleeper()
    state = FeedState("scripted", "TEST", "scripted")
    sink = PlantSink(
        FakePlant().submit, state, clock=sleeper.clock, sleep=sleeper.sleep, tell=told.tell
    )
    for step in range(10):
        await sink.say(Alive("scripted", NOW + step * 50_000_000))
    assert [note.ts - NOW for note in told.notes if isinstance(note, Alive)] == [0, 250_000_000]
    assert await sink.say(Hole("scripted", NOW, NOW + 1, "sequence")) == 7


async def test_feeds_are_added_and_removed_while_others_run() -> None:
    told, sleeper = Told(), Sleeper()
    owner = telling(told, sleeper, ForeverFeed(name="first"))
    owner.add(ForeverFeed(name="early"))
    owner.start()
    owner.add(ForeverFeed(name="late"))
    with pytest.raises(AssertionError, match="late"):
        owner.add(ForeverFeed(name="late"))
    await until(lambda: all(state.events == 1 for state in owner.states))
    assert [state.name for state in owner.states] == ["first", "early", "late"]
    await owner.remove("early")
    assert told.notes[-1] == Finished("early")
    assert [shown["id"] for shown in owner.shown()] == ["first", "late"]
    assert [state.state for state in owner.states] == ["connected", "connected"]
    owner.add(ForeverFeed(name="early"))
    await until(lambda: owner.states[-1].events == 1)
    assert await owner.stop() == []


async def test_a_feed_that_watches_over_itself_does_not_stall_here() -> None:
    told, sleeper = Told(), Sleeper()
    feed = LivelyFeed((1, None))
    feed.self_watched = True  # type: ignore[attr-defined]
    owner = telling(told, sleeper, feed, stall_s=20.0)
    owner.start()
    await until(lambda: told.kinds == ["Begun", "Alive"])
    for _ in range(20):
        await asyncio.sleep(0)
    assert told.kinds == ["Begun", "Alive"]
    assert sleeper.slept == []
    assert await owner.stop() == []


async def test_what_is_logged_of_a_feed_names_it() -> None:
    class Noisy(ScriptedFeed):
        async def run(self, sink: Sink) -> None:
            # A task that the feed made belongs to it as well.
            task = asyncio.create_task(asyncio.to_thread(logging.getLogger("venue").info, "heard"))
            await task
            await super().run(sink)

    feeds = [Noisy((0, None), name="one"), Noisy((0, None), name="two")]
    with lines_of("venue") as written:
        own = runner(FakePlant(), Sleeper(), *feeds)
        own.start()
        await until(lambda: all(state.state == "finished" for state in own.states))
    lines = [json.loads(line) for line in written.getvalue().splitlines()]
    assert sorted(line["feed"] for line in lines) == ["one", "two"]
