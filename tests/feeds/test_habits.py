"""Streams that fall silent alone on a connection that lives: their habits, and what is done."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from supervisor_kit import Scene, play, streams_of
from tickplant.feeds.supervisor.habits import LONGER, SILENT_MIN, Habits
from tickplant.feeds.supervisor.rhythm import BEATS_MIN
from tickplant.feeds.venues.contract import VitalSigns
from tickplant.model.events import Flag

SECOND = 1_000_000_000
HOUR = 3_600
MONDAY = 19_675 * 24 * HOUR
Loud = Callable[[int], bool]


class Tried:
    """Habits of a few streams, fed a beat a second."""

    def __init__(self, *loud: Loud, start: int = MONDAY) -> None:
        self.habits = Habits()
        self.habits.grow(len(loud))
        self.loud, self.now = list(loud), start
        self.odd: list[tuple[int, int]] = []

    def play(self, seconds: int) -> None:
        none = np.zeros(self.habits.size, np.bool_)
        for _ in range(seconds):
            self.now += 1
            heard = np.array([loud(self.now) for loud in self.loud])
            self.habits.beat(self.now * SECOND, heard, ~heard, none)
            odd = np.flatnonzero(self.habits.odd()).tolist()
            self.odd += [(self.now, place) for place in odd]


def always(at: int) -> bool:
    return True


def never(at: int) -> bool:
    return False


def test_a_silence_is_odd_by_its_odds_its_length_and_what_was_seen() -> None:
    rare = random.Random(3)
    tried = Tried(always, lambda at: at % 20 == 0, lambda at: rare.random() < 0.003, never)
    tried.play(BEATS_MIN + 1200)
    assert tried.odd == []  # whoever is often silent is not odd for being so
    began, tried.loud = tried.now, [never] * 4
    tried.play(700)
    first = dict(reversed([(place, at - began) for at, place in tried.odd]))
    assert first[0] == SILENT_MIN + 1
    share = 90 / (BEATS_MIN + 1200)
    assert first[1] == pytest.approx(-20 / math.log1p(-share), rel=0.2)
    assert first[1] > LONGER * 19
    assert set(first) == {0, 1}


def test_little_that_is_known_accuses_nobody() -> None:
    tried = Tried(always)
    tried.play(BEATS_MIN // 2)
    tried.loud = [never]
    tried.play(BEATS_MIN // 2 - 1)
    assert tried.odd == []


def test_whoever_slows_down_by_and_by_is_not_odd_and_each_look_asks_for_more_patience() -> None:
    pauses = [round(1.5**n) for n in range(1, 16)]
    beats = {MONDAY + 900 + sum(pauses[:n]) for n in range(1, 16)}
    tried = Tried(lambda at: at <= MONDAY + 900 or at in beats)
    tried.play(900 + sum(pauses))
    assert tried.odd == []
    strict = Tried(always)
    strict.play(900)
    strict.loud = [never]
    strict.play(SILENT_MIN + 2)
    assert strict.odd
    strict.habits.excuse(0)
    strict.odd.clear()
    strict.play(4 * SILENT_MIN - SILENT_MIN - 2)
    assert strict.odd == []
    strict.play(2)
    assert strict.odd
    strict.habits.renew(0)
    assert not strict.habits.odd().any()


def test_hours_have_habits_of_their_own_that_fade() -> None:
    """One closes a quarter of an hour after the hour, as it does every week; the other does not."""
    week, open_s = 7 * 24 * HOUR, BEATS_MIN + 300
    tried = Tried(lambda at: (at - MONDAY) % week < open_s, always)
    for number in range(2):
        tried.now = MONDAY + number * week
        tried.habits.beat(tried.now * SECOND, *_flags(cut=True))
        tried.play(open_s + 300)
        tried.habits.beat((tried.now + HOUR) * SECOND, *_flags(cut=True))
        found = {place for _, place in tried.odd}
        assert found == ({0} if number == 0 else set())  # what is known after a week
        tried.odd.clear()
    tried.now = MONDAY + 2 * week
    tried.habits.beat(tried.now * SECOND, *_flags(cut=True))
    tried.play(100)
    tried.loud[1] = never
    tried.play(SILENT_MIN + 2)
    assert {place for _, place in tried.odd} == {1}


def _flags(*, cut: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    none = np.zeros(2, np.bool_)
    return none, none, np.full(2, cut)


def test_places_are_kept_when_there_are_more_and_forgotten_when_asked() -> None:
    tried = Tried(always, always)
    tried.play(BEATS_MIN + 60)
    tried.habits.grow(3)
    assert tried.habits.size == 4
    tried.habits.forget(0)
    tried.loud = [never] * 4
    tried.play(SILENT_MIN + 2)
    assert {place for _, place in tried.odd} == {1}


# -- on a whole feed ---------------------------------------------------------------------------

ALIVE = VitalSigns(1.0, None, 5.0)
NAMES = ("A-USD", "B-USD", "C-USD")


async def known(scene: Scene, *symbols: str, streams: int = 0) -> None:
    """Have everything trade for a while, and its habits known as those of who is never silent."""
    made = scene.server.connections
    await scene.until(lambda: 1 in made and len(made[1].streams) == (streams or len(symbols)))
    await trade(scene, 3, *symbols, quotes=streams > 0)
    habits, now = scene.feed.vigil.habits, scene.loop.clock()
    none = np.zeros(habits.size, np.bool_)
    for _ in range(BEATS_MIN):
        habits.beat(now, ~none, none, none)


async def trade(scene: Scene, seconds: int, *symbols: str, quotes: bool = False) -> None:
    for n in range(seconds):
        for symbol in symbols:
            scene.server.trade(symbol, 1.0 + n / 1000)
            if quotes:
                scene.server.quote(symbol, 1.0 + n / 1000)
        await asyncio.sleep(1)


def test_a_subscription_that_the_venue_has_lost_is_a_gap_and_asked_for_again(
    tmp_path: Path,
) -> None:
    async def act(scene: Scene) -> None:
        await known(scene, *NAMES[:2])
        died = scene.loop.clock()
        scene.server.connections[1].deaf.add(("A-USD", "trades"))
        scene.server.http_status = 503
        await trade(scene, SILENT_MIN + 15, *NAMES[:2])
        assert scene.gaps() == []  # why it is silent could not be asked
        scene.server.http_status = 200
        before = len(scene.server.requests)
        await trade(scene, 65, *NAMES[:2])
        await scene.settle(5)
        [gap] = scene.gaps()
        assert (gap["symbol"], gap["cause"], gap["status"]) == ("A-USD", "stall", "repaired")
        truth = [t for t in scene.server.truth if t["symbol"] == "A-USD"]
        brought = [r["id"] for r in scene.stored("A-USD") if r["flags"] & Flag.BACKFILLED]
        assert died - 4 * SECOND < gap["start"] < died < gap["end"] < died + 140 * SECOND
        missed = [t for t in truth if died <= t["ts_event"] < gap["end"]]
        assert brought == [t["id"] for t in missed]
        assert gap["events"] == len(brought) >= SILENT_MIN
        assert [r["id"] for r in scene.stored("A-USD")] == [t["id"] for t in truth]
        assert set(scene.states("A-USD", "5s")[1:-1]) == {"complete"}
        assert scene.server.made == 1  # the connection was left as it is
        assert scene.shown("A-USD", "trades")["state"] == "live"
        # Once whether there are any, once for them; and nothing of who is heard of.
        assert scene.server.requests[before:] == ["/trades/A-USD"] * 2

    told = play(tmp_path, streams_of(*NAMES[:2], channels=["trades"]), act,
                vital_signs=ALIVE, notices=True)  # fmt: skip
    stalled = [one for one in told if one["streams"]["stalled"]]
    assert (stalled[0]["state"], stalled[0]["streams"]["live"]) == ("live", 1)
    assert "the venue's history has trades since" in stalled[0]["reason"]


def test_who_is_quiet_leaves_no_trace_and_is_asked_for_ever_more_rarely(tmp_path: Path) -> None:
    async def act(scene: Scene) -> None:
        await known(scene, "A-USD", streams=2)
        await trade(scene, 5, "A-USD")  # its quotes have ended before
        await asyncio.sleep(4 * SILENT_MIN + 5)
        assert scene.gaps() == []
        assert scene.shown("A-USD", "trades")["state"] == "quiet"
        asked = scene.server.requests.count("/trades/A-USD")
        assert asked == 4  # for each after a minute, and after four
        await trade(scene, 2, "A-USD")
        assert scene.shown("A-USD", "trades")["state"] == "live"

    play(tmp_path, streams_of("A-USD"), act, vital_signs=ALIVE)


def test_quotes_that_end_while_trades_go_on_are_dead(tmp_path: Path) -> None:
    async def act(scene: Scene) -> None:
        await known(scene, "A-USD", streams=2)
        await trade(scene, SILENT_MIN + 5, "A-USD")
        [gap] = scene.gaps()
        assert gap["cause"] == "stall"
        sent = scene.server.connections[1].sent
        asked = {"op": "sub", "streams": [["A-USD", "quotes"]]}
        assert sent[-2:] == [asked | {"op": "unsub"}, asked]

    play(tmp_path, streams_of("A-USD"), act, vital_signs=ALIVE)


def test_without_a_history_who_is_silent_alone_is_dead_and_a_market_that_closes_is_not(
    tmp_path: Path,
) -> None:
    names = ("A-USD", "B-USD", "C-USD", "D-USD")

    async def act(scene: Scene) -> None:
        await known(scene, *names)
        died = scene.loop.clock()
        await trade(scene, SILENT_MIN + 5, *names[1:])
        await scene.settle(5)
        [gap] = scene.gaps()
        assert (gap["symbol"], gap["cause"], gap["status"]) == ("A-USD", "stall", "unrepairable")
        assert died - 4 * SECOND < gap["start"] < died < gap["end"] < died + 70 * SECOND
        for closed in range(2, len(names)):  # one after the other, as each had its last trade
            await trade(scene, 3, *names[closed:])
        await asyncio.sleep(5 * SILENT_MIN)  # that of A-USD becomes odd once more
        assert len(scene.gaps()) == 1

    told = play(tmp_path, streams_of(*names, channels=["trades"]), act,
                vital_signs=ALIVE, history=False, notices=True)  # fmt: skip
    stalled = [one for one in told if one["streams"]["stalled"]]
    assert "others went on" in stalled[0]["reason"]


def test_one_that_is_still_silent_on_a_new_subscription_is_said_to_be_dead_once(
    tmp_path: Path,
) -> None:
    async def act(scene: Scene) -> None:
        await known(scene, "A-USD")
        await asyncio.sleep(5 * SILENT_MIN + 10)
        assert [gap["cause"] for gap in scene.gaps()] == ["stall"]
        assert scene.shown("A-USD", "trades")["state"] == "quiet"

    play(tmp_path, streams_of("A-USD", channels=["trades"]), act, vital_signs=ALIVE, history=False)
