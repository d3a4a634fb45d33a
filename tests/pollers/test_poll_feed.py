import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from tickplant.feeds.breaker import Breaker
from tickplant.feeds.pollers.poller import PollFeed, ProviderDown
from tickplant.feeds.pollers.provider import Answer, Price, ProviderFault
from tickplant.feeds.pollers.yahoo import Yahoo
from tickplant.plant.feed_notes import Alive, Begun, Hole, Note, Subscribed
from tickplant.plant.submission import Submission

NOW = 1_700_000_000_000_000_000
S = 1_000_000_000


class Time:
    """A clock that moves when somebody sleeps."""

    def __init__(self) -> None:
        self.now = NOW
        self.slept: list[float] = []

    def __call__(self) -> int:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += round(seconds * S)
        await asyncio.sleep(0)


class Script:
    """A provider that answers what its script says, then ends the test's run."""

    name, venue = "script", "SCRIPT"

    def __init__(
        self, *answers: Answer | Exception, takes: Callable[[], None] | None = None
    ) -> None:
        self.answers = list(answers)
        self.takes = takes

    async def fetch(self, symbols: Sequence[str]) -> Answer:
        if self.takes is not None:
            self.takes()
        if not self.answers:
            raise asyncio.CancelledError
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


class Sink:
    def __init__(self) -> None:
        self.said: list[Note] = []
        self.rows: list[tuple[str, dict[str, Any]]] = []

    async def submit(self, submission: Submission) -> None:
        rows = submission.rows.to_pylist()
        self.rows += [(submission.table, row) for row in rows]

    async def say(self, note: Note) -> int | None:
        self.said.append(note)
        return None


def feed_of(script: Script, time: Time, breaker: Breaker | None = None) -> PollFeed:
    made = breaker or Breaker(time)
    return PollFeed("job", script, ["A", "B"], 10.0, breaker=made, clock=time, sleep=time.sleep)


async def run(feed: PollFeed, ends: type[BaseException] = asyncio.CancelledError) -> Sink:
    sink = Sink()
    with pytest.raises(ends):
        await feed.run(sink)
    return sink


def prices(at: int | None = None, *, faults: dict[str, str] | None = None) -> Answer:
    told = [Price(s, price=1.5, ts_event=at) for s in "AB" if s not in (faults or {})]
    return Answer(told, faults or {})


async def test_each_poll_submits_prices_and_says_that_it_lives() -> None:
    time = Time()
    sink = await run(feed_of(Script(prices(NOW - S), prices(NOW + 3 * S)), time))
    names = [("A", "SCRIPT"), ("B", "SCRIPT")]
    assert sink.said == [
        Begun("job", NOW, names), Alive("job", NOW), Alive("job", NOW + 10 * S)
    ]  # fmt: skip
    assert [(table, row["symbol"], row["ts_event"]) for table, row in sink.rows] == [
        ("trades", "A", NOW - S), ("trades", "B", NOW - S),
        ("trades", "A", NOW + 3 * S), ("trades", "B", NOW + 3 * S),
    ]  # fmt: skip
    assert time.slept == [10.0, 10.0]


async def test_the_same_state_has_the_same_key_and_another_one_another() -> None:
    same = Price("A", price=1.5, ts_event=NOW)
    answers = [Answer([same]), Answer([same]), Answer([Price("A", price=1.6, ts_event=NOW)]),
               Answer([Price("A", price=1.5)])]  # fmt: skip
    sink = await run(feed_of(Script(*answers), Time()))
    keys = [row["key"] for _, row in sink.rows]
    assert keys[0] == keys[1] != keys[2]
    assert keys[3] is None


async def test_quotes_come_before_trades() -> None:
    both = Price("A", price=1.5, bid_price=1.4, ask_price=1.6, ask_size=7)
    sink = await run(feed_of(Script(Answer([both])), Time()))
    assert [table for table, _ in sink.rows] == ["quotes", "trades"]
    assert sink.rows[0][1]["ask_size"] == 7


async def test_a_slow_provider_does_not_make_polls_pile_up() -> None:
    time = Time()

    def take_23_s() -> None:
        time.now += 23 * S

    await run(feed_of(Script(prices(), prices(), takes=take_23_s), time))
    assert time.slept == [7.0, 7.0]


async def test_a_symbol_that_is_not_answered_for_is_not_covered_until_it_is() -> None:
    gone = prices(faults={"B": "unknown"})
    feed = feed_of(Script(prices(), gone, gone, prices()), Time())
    sink = await run(feed)
    b = [("B", "SCRIPT")]
    notes = [note for note in sink.said if isinstance(note, Subscribed | Hole)]
    assert notes[:2] == [
        Subscribed("job", b, NOW + 10 * S, ends=True), Subscribed("job", b, NOW + 30 * S)
    ]  # fmt: skip
    hole = notes[2]
    assert isinstance(hole, Hole)
    assert (hole.start, hole.end, hole.symbols) == (NOW + 10 * S, NOW + 30 * S, b)
    assert feed.count.faults == {}


async def test_a_fault_ends_the_run_and_is_counted() -> None:
    feed = feed_of(Script(prices(), ProviderFault("it is down")), Time())
    await run(feed, ProviderDown)
    assert (feed.count.polls, feed.count.failures, feed.count.error) == (2, 1, "it is down")


async def test_the_breaker_keeps_a_provider_that_is_down_from_being_asked() -> None:
    time = Time()
    breaker = Breaker(time, failures_max=3, rest_s=60)
    script = Script(*[ProviderFault("down")] * 4, prices())
    feed = feed_of(script, time, breaker)
    for _ in range(3):
        await run(feed, ProviderDown)
    await run(feed, ProviderDown)  # open: not asked
    assert (feed.count.polls, breaker.state) == (3, "open")
    time.now += 60 * S
    assert breaker.state == "half_open"
    await run(feed, ProviderDown)  # the one attempt fails: open again at once
    assert (feed.count.polls, breaker.state) == (4, "open")
    time.now += 60 * S
    await run(feed)
    assert (feed.count.polls, breaker.state) == (6, "closed")


async def test_a_provider_that_names_a_pause_gets_it() -> None:
    time = Time()
    feed = feed_of(Script(ProviderFault("slow down", retry_after_s=5), prices()), time)
    await run(feed, ProviderDown)
    await run(feed, ProviderDown)
    assert feed.count.polls == 1
    time.now += 5 * S
    await run(feed)
    assert feed.count.polls == 3


async def test_yahoo_answers_with_what_its_chart_says() -> None:
    said = {
        "BTC-USD": {"regularMarketPrice": 64250.5, "regularMarketTime": 1_700_000_000},
        "EURUSD=X": {"regularMarketPrice": 1.0852, "regularMarketTime": 1_700_000_001},
        "NOPE": {},
    }
    answer = await Yahoo(said.__getitem__).fetch(["BTC-USD", "EURUSD", "NOPE", "GONE"])
    assert list(answer.prices) == [
        Price("BTC-USD", price=64250.5, ts_event=1_700_000_000 * S),
        Price("EURUSD", price=1.0852, ts_event=1_700_000_001 * S),
    ]
    assert "names no price" in answer.faults["NOPE"]
    assert "KeyError" in answer.faults["GONE"]
    with pytest.raises(ProviderFault, match="names no price"):
        await Yahoo(said.__getitem__).fetch(["NOPE"])
