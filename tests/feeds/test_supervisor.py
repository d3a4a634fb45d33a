"""A feed of the toy venue on a whole plant, in virtual time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from supervisor_kit import Scene, play, streams_of
from tickplant.feeds.supervisor.feed import VenueFeed
from tickplant.feeds.venues.contract import Frame, Limits, Rate, Stream, VitalSigns
from tickplant.model.errors import InvalidParameter
from tickplant.model.events import Flag
from toy_venue import UNDER_WAY_NS
from virtual_time import NOW

SECOND = 1_000_000_000


async def live(scene: Scene, count: int) -> None:
    await scene.until(lambda: scene.feed.board.counts(scene.loop.clock())["live"] == count)


async def begun(scene: Scene, connection: int) -> None:
    made = scene.server.connections
    await scene.until(lambda: connection in made and len(made[connection].streams) == 2)


def ids(scene: Scene, symbol: str, *, by_itself: bool = False) -> list[str]:
    rows = [r for r in scene.stored(symbol) if not (by_itself and r["flags"] & Flag.BACKFILLED)]
    return [row["id"] for row in rows]


def told(scene: Scene, symbol: str) -> list[str]:
    return [trade["id"] for trade in scene.server.truth if trade["symbol"] == symbol]


def test_what_a_venue_sends_is_stored_and_its_facts_are_known(tmp_path: Path) -> None:
    async def act(scene: Scene) -> None:
        await live(scene, 4)
        await scene.server.market(["A-USD", "B-USD"], 0.5, 5)
        scene.server.connections[1].push_text("no json")
        await scene.settle()
        for symbol in ("A-USD", "B-USD"):
            assert (
                ids(scene, symbol)
                == told(scene, symbol)
                == [f"{symbol}-{n + 1}" for n in range(10)]
            )
        assert scene.gaps() == []
        assert scene.plant.registry.resolve("ausd").tick_size == 0.01
        [refused] = scene.plant.history.quarantine().to_pylist()
        assert (refused["reason"], json.loads(refused["row"])) == ("not_json", {"frame": "no json"})
        assert scene.server.connections[1].sent[0] == {"op": "login", "secret": "hidden"}

    play(tmp_path, streams_of("A-USD", "B-USD"), act)


def test_a_cut_of_one_connection_is_a_gap_of_its_instruments_only(tmp_path: Path) -> None:
    async def act(scene: Scene) -> None:
        await live(scene, 6)
        assert [len(c.streams) for c in scene.server.connections.values()] == [2, 2, 2]
        await scene.server.market(["A-USD", "B-USD", "C-USD"], 0.5, 5)
        scene.server.refuse_connects = 2
        cut_at = scene.loop.clock()
        scene.server.connections[2].cut()
        await scene.server.market(["A-USD", "B-USD", "C-USD"], 0.5, 10)
        await scene.settle(20)
        [gap] = scene.gaps()
        assert (gap["symbol"], gap["cause"], gap["status"]) == ("B-USD", "disconnect", "repaired")
        # It was proven to live by its last heartbeat, and 3 pauses with 3 handshakes lie in it.
        assert cut_at - SECOND // 2 <= gap["start"] <= cut_at
        assert gap["end"] - cut_at == pytest.approx((0.375 + 0.75 + 1.5 + 0.03) * SECOND, abs=9e7)
        proven = gap["start"] + UNDER_WAY_NS
        missed = [t for t in scene.server.truth if proven < t["ts_event"] < gap["end"]]
        assert gap["events"] == sum(t["symbol"] == "B-USD" for t in missed) == 5
        assert ids(scene, "A-USD", by_itself=True) == told(scene, "A-USD")
        assert ids(scene, "B-USD") == told(scene, "B-USD")
        assert set(scene.states("B-USD", "5s")[1:-1]) <= {"complete", "quiet"}

    play(tmp_path, streams_of("A-USD", "B-USD", "C-USD"), act, limits=Limits(streams_max=2))


def test_revised_bars_go_out_with_a_repair(tmp_path: Path) -> None:
    async def act(scene: Scene) -> None:
        await live(scene, 2)
        await scene.server.market(["A-USD"], 0.5, 6)
        scene.server.connections[1].cut()
        scene.server.http_status = 503
        scene.server.trade("A-USD", 9.0)  # while nobody listens
        await scene.settle(30)
        before = scene.bars("A-USD", "5s")
        scene.server.http_status = 200
        await scene.until(lambda: scene.gaps()[0]["status"] == "repaired")
        await scene.settle()
        after = scene.bars("A-USD", "5s")
        broken = [n for n, bar in enumerate(before) if bar["state"] == "partial"][-1]
        assert after[broken]["state"] == "complete"
        assert after[broken]["high"] == 9.0 > before[broken]["high"]
        assert after[broken]["revision"] > before[broken]["revision"]

    play(tmp_path, streams_of("A-USD"), act)


def test_a_stalled_connection_is_replaced_and_a_quiet_one_is_not(tmp_path: Path) -> None:
    async def act(scene: Scene) -> None:
        await live(scene, 4)
        await scene.server.market(["A-USD", "B-USD"], 0.5, 2)
        await scene.settle(120)  # heartbeats only
        assert scene.server.made == 2
        assert scene.feed.board.counts(scene.loop.clock())["quiet"] == 4
        scene.server.connections[1].stalled = True
        await scene.until(lambda: scene.server.made == 3)
        assert scene.feed.board.lines[1].failed == 1
        await live(scene, 2)
        [gap] = await closed_gaps(scene)
        assert (gap["symbol"], gap["cause"]) == ("A-USD", "stall")

    play(tmp_path, streams_of("A-USD", "B-USD"), act, limits=Limits(streams_max=2))


async def closed_gaps(scene: Scene) -> list[dict[str, Any]]:
    await scene.settle()
    assert all(gap["end"] for gap in scene.gaps())
    return scene.gaps()


def test_pongs_prove_that_a_silent_connection_lives(tmp_path: Path) -> None:
    async def act(scene: Scene) -> None:
        scene.server.heartbeats = False
        await live(scene, 2)
        await scene.server.market(["A-USD"], 0.5, 2)
        await scene.settle(100)
        assert scene.server.made == 1
        mark = scene.plant.coverage.book.watermark_of(1)
        assert mark is not None
        assert scene.loop.clock() - mark < 6 * SECOND
        scene.server.answers_pings = False
        await scene.until(lambda: scene.server.made == 2)
        [gap] = await closed_gaps(scene)
        assert gap["cause"] == "stall"
        assert mark <= gap["start"] <= mark + 5 * SECOND

    play(tmp_path, streams_of("A-USD"), act, vital_signs=VitalSigns(None, 5.0, 5.0))


def test_a_connection_is_replaced_before_its_age_without_a_gap_or_a_double(tmp_path: Path) -> None:
    async def act(scene: Scene) -> None:
        await live(scene, 2)
        await scene.server.market(["A-USD"], 0.05, 20)
        await scene.settle(3)
        assert scene.server.made >= 3
        assert scene.gaps() == []
        assert ids(scene, "A-USD", by_itself=True) == told(scene, "A-USD")
        quotes = scene.plant.history.quotes(scene.plant.registry.resolve("A-USD"), limit=10_000)
        times = quotes["ts_event"].to_pylist()
        assert len(times) == len(set(times)) == len(told(scene, "A-USD"))
        assert scene.feed.board.lines[1].failed == 0

    play(tmp_path, streams_of("A-USD"), act, limits=Limits(age_s_max=8.0))


def test_what_is_left_out_on_both_connections_of_a_replacement_is_a_hole(tmp_path: Path) -> None:
    async def act(scene: Scene) -> None:
        await live(scene, 2)
        await scene.server.market(["A-USD"], 0.25, 2)
        scene.server.connections[1].push({"op": "bye"})
        await begun(scene, 2)
        scene.server.skips.add("A-USD")
        scene.server.trade("A-USD", 1.5)  # neither connection is told
        scene.server.skips.clear()
        await scene.until(lambda: len(scene.server.connections) == 1)
        await scene.server.market(["A-USD"], 0.25, 1)
        await scene.settle(10)
        [gap] = scene.gaps()
        assert (gap["cause"], gap["status"], gap["events"]) == ("sequence", "repaired", 1)
        assert ids(scene, "A-USD") == told(scene, "A-USD")

    play(tmp_path, streams_of("A-USD"), act)


@pytest.mark.parametrize("cuts", [1, 2])
def test_what_is_left_out_right_behind_a_reconnect_is_a_hole(tmp_path: Path, cuts: int) -> None:
    async def act(scene: Scene) -> None:
        await live(scene, 2)
        await scene.server.market(["A-USD"], 0.25, 2)
        for number in range(1, cuts + 1):
            scene.server.connections[number].cut()
            scene.server.trade("A-USD")  # while nobody listens
            await begun(scene, number + 1)
        await asyncio.sleep(1)
        scene.server.skip("A-USD")  # the first trade, and not the second
        await scene.server.market(["A-USD"], 0.25, 1)
        await scene.settle(40)
        *outages, hole = scene.gaps()
        assert [(gap["cause"], gap["status"]) for gap in outages] == [
            ("disconnect", "repaired")
        ] * cuts
        assert (hole["cause"], hole["status"]) == ("sequence", "repaired")
        assert hole["start"] >= outages[-1]["end"] - 1
        assert ids(scene, "A-USD") == told(scene, "A-USD")
        missed = [r for r in scene.stored("A-USD") if r["flags"] & Flag.BACKFILLED]
        assert len(missed) == cuts + 1
        assert hole["start"] <= missed[-1]["ts_event"] < hole["end"]

    play(tmp_path, streams_of("A-USD"), act)


def test_what_is_under_way_on_the_old_connection_is_waited_for(tmp_path: Path) -> None:
    async def act(scene: Scene) -> None:
        await live(scene, 2)
        old = scene.server.connections[1]
        await scene.server.market(["A-USD"], 0.25, 2)
        old.push({"op": "bye"})
        await asyncio.sleep(0)
        old.held = True  # what is sent from now on arrives late
        scene.server.trade("A-USD")
        scene.server.quote("A-USD")
        await begun(scene, 2)
        await asyncio.sleep(1)
        assert not old.closed
        old.release()
        await scene.until(lambda: old.closed)
        await scene.server.market(["A-USD"], 0.25, 1)
        await scene.settle(10)
        assert scene.gaps() == []
        assert ids(scene, "A-USD", by_itself=True) == told(scene, "A-USD")
        quotes = scene.plant.history.quotes(scene.plant.registry.resolve("A-USD"), limit=100)
        assert quotes.num_rows == len(told(scene, "A-USD"))

    play(tmp_path, streams_of("A-USD"), act)


def test_a_new_connection_that_lags_behind_the_old_one_doubles_nothing(tmp_path: Path) -> None:
    async def act(scene: Scene) -> None:
        await live(scene, 2)
        old = scene.server.connections[1]
        await scene.server.market(["A-USD"], 0.25, 1)
        old.push({"op": "bye"})
        await begun(scene, 2)
        await asyncio.sleep(0.01)  # it is confirmed
        new = scene.server.connections[2]
        new.held = True
        await scene.server.market(["A-USD"], 0.1, 0.5)  # which the old one delivers
        await scene.until(lambda: old.closed)
        new.release()
        await scene.server.market(["A-USD"], 0.25, 1)
        await scene.settle(5)
        assert scene.gaps() == []
        assert ids(scene, "A-USD", by_itself=True) == told(scene, "A-USD")
        quotes = scene.plant.history.quotes(scene.plant.registry.resolve("A-USD"), limit=100)
        assert quotes.num_rows == len(told(scene, "A-USD"))

    play(tmp_path, streams_of("A-USD"), act)


def test_an_old_connection_that_dies_before_the_new_one_begins_leaves_one_gap(
    tmp_path: Path,
) -> None:
    async def act(scene: Scene) -> None:
        await live(scene, 2)
        old = scene.server.connections[1]
        await scene.server.market(["A-USD"], 0.25, 2)
        old.push({"op": "bye"})
        old.close_s = 1.0  # so that the new one has begun when the old one is over
        await asyncio.sleep(0)
        old.cut()
        scene.server.trade("A-USD")  # while nobody listens
        await begun(scene, 2)
        scene.server.trade("A-USD")
        await scene.until(lambda: old.closed)
        await scene.server.market(["A-USD"], 0.25, 1)
        await scene.settle(10)
        [gap] = scene.gaps()
        assert (gap["cause"], gap["status"], gap["events"]) == ("disconnect", "repaired", 1)
        assert ids(scene, "A-USD") == told(scene, "A-USD")

    play(tmp_path, streams_of("A-USD"), act)


def test_an_old_connection_that_shows_no_life_any_more_leaves_a_hole(tmp_path: Path) -> None:
    async def act(scene: Scene) -> None:
        await live(scene, 2)
        old = scene.server.connections[1]
        await scene.server.market(["A-USD"], 0.25, 2)
        old.push({"op": "bye"})
        await asyncio.sleep(0)
        old.held = True
        scene.server.quote("A-USD")  # which no number tells and no history gives back
        dead_since = scene.loop.clock()
        await scene.until(lambda: old.closed)
        await scene.server.market(["A-USD"], 0.25, 1)
        await scene.settle(10)
        [gap] = [gap for gap in scene.gaps() if gap["cause"] == "stall"]
        assert gap["start"] <= dead_since < gap["end"] < dead_since + SECOND
        assert gap["symbol"] == "A-USD"

    play(tmp_path, streams_of("A-USD"), act)


def test_a_connection_that_carries_nothing_any_more_holds_up_no_other(tmp_path: Path) -> None:
    async def act(scene: Scene) -> None:
        await live(scene, 4)
        await scene.feed.remove(scene.feed.check(["B-USD"], ["trades", "quotes"]))
        await scene.until(lambda: len(scene.server.connections) == 1)
        await scene.settle(60)
        mark = scene.plant.coverage.book.watermark_of(1)
        assert scene.loop.clock() - mark < 6 * SECOND

    play(tmp_path, streams_of("A-USD", "B-USD"), act, limits=Limits(streams_max=2))


def test_a_replacement_that_fails_leaves_the_old_connection_alone(tmp_path: Path) -> None:
    async def act(scene: Scene) -> None:
        await live(scene, 2)
        scene.server.refuse_connects = 2
        scene.server.connections[1].push({"op": "bye"})
        await scene.server.market(["A-USD"], 0.25, 10)
        await scene.settle(3)
        assert (len(scene.server.attempts), scene.server.made) == (4, 2)
        assert scene.gaps() == []
        assert ids(scene, "A-USD", by_itself=True) == told(scene, "A-USD")

    play(tmp_path, streams_of("A-USD"), act)


def test_refused_streams_are_told_and_those_that_may_pass_are_tried_again(tmp_path: Path) -> None:
    async def act(scene: Scene) -> None:
        scene.server.refuse_streams = {("A-USD", "quotes"): False, ("B-USD", "trades"): True}
        scene.server.silent_streams = {("C-USD", "trades")}
        await scene.until(lambda: scene.shown("B-USD", "trades")["state"] == "refused")
        await scene.until(lambda: scene.shown("C-USD", "trades")["state"] == "refused")
        assert scene.shown("A-USD", "quotes")["reason"] == "no such"
        assert scene.shown("C-USD", "trades")["reason"] == "not confirmed within 5 s"
        assert scene.shown("A-USD", "trades")["state"] == "live"
        scene.server.refuse_streams = {}
        scene.server.silent_streams = set()
        await scene.until(lambda: scene.shown("B-USD", "trades")["state"] == "live", 60)
        await scene.until(lambda: scene.shown("C-USD", "trades")["state"] == "live", 60)
        assert scene.shown("A-USD", "quotes")["state"] == "refused"
        assert scene.server.made == 1

    play(tmp_path, streams_of("A-USD", "B-USD", "C-USD"), act)


def test_attempts_to_connect_are_limited_and_their_pauses_grow(tmp_path: Path) -> None:
    async def act(scene: Scene) -> None:
        scene.server.refuse_connects = 12
        await live(scene, 8)
        times = [(at - NOW) / 1e9 for at in scene.server.attempts]
        assert len(times) == 16
        for first, last in zip(times, times[4:], strict=False):
            assert last - first >= 10.0

    limits = Limits(streams_max=2, connects=Rate(4, 10.0))
    symbols = streams_of("A-USD", "B-USD", "C-USD", "D-USD")
    play(tmp_path, symbols, act, limits=limits)


def test_subscriptions_keep_to_batches_and_messages(tmp_path: Path) -> None:
    async def act(scene: Scene) -> None:
        await live(scene, 8)
        sent = scene.server.connections[1].sent
        assert [len(m["streams"]) for m in sent if m["op"] == "sub"] == [3, 3, 2]
        assert scene.loop.clock() - NOW >= SECOND  # four messages, of which two a second

    limits = Limits(batch_max=3, messages=Rate(2, 1.0))
    play(tmp_path, streams_of("A-USD", "B-USD", "C-USD", "D-USD"), act, limits=limits)


def test_symbols_come_and_go_while_others_are_untouched(tmp_path: Path) -> None:
    async def act(scene: Scene) -> None:
        await live(scene, 2)
        await scene.server.market(["A-USD", "B-USD"], 0.5, 5)
        await scene.feed.add(scene.feed.check(["b-usd"], ["trades", "quotes"]))
        await live(scene, 4)
        begun = scene.loop.clock()
        await scene.server.market(["A-USD", "B-USD"], 0.5, 10)
        await scene.feed.remove(scene.feed.check(["B-USD"], ["trades", "quotes"]))
        await scene.settle(2)
        ended = scene.loop.clock()
        await scene.server.market(["A-USD", "B-USD"], 0.5, 10)
        await scene.settle()
        assert scene.gaps() == []
        assert ids(scene, "A-USD") == told(scene, "A-USD")
        truth = [t for t in scene.server.truth if t["symbol"] == "B-USD"]
        assert ids(scene, "B-USD") == [t["id"] for t in truth if begun <= t["ts_event"] < ended]
        number = scene.plant.registry.resolve("B-USD").number
        known, _ = scene.plant.coverage.book.known(number)
        assert known.starts[0] == pytest.approx(begun, abs=1e8)
        assert known.ends[-1] <= ended
        assert (scene.feed.instruments, scene.server.made) == (1, 1)
        with pytest.raises(InvalidParameter, match="the nearest are D-USD"):
            scene.feed.check(["DD-USD"], ["trades"])
        with pytest.raises(InvalidParameter, match="of trades, quotes, book"):
            scene.feed.check(["A-USD"], ["stats"])

    play(tmp_path, streams_of("A-USD"), act)


def test_what_a_run_missed_while_the_plant_was_down_is_repaired(tmp_path: Path) -> None:
    truth: list[Any] = []

    async def first(scene: Scene) -> None:
        await live(scene, 2)
        await scene.server.market(["A-USD"], 0.5, 5)
        await scene.settle()
        truth.extend(scene.server.truth)

    async def second(scene: Scene) -> None:
        scene.server.truth = truth
        missed = {"symbol": "A-USD", "ts_event": NOW + 7 * SECOND, "price": 3.0, "size": 1.0}
        truth.append({**missed, "id": "A-USD-11"})
        scene.server.count("trades", "A-USD", 11)
        await live(scene, 2)
        await scene.server.market(["A-USD"], 0.5, 5)
        await scene.settle(5)
        [gap] = scene.gaps()
        assert (gap["cause"], gap["status"], gap["events"]) == ("restart", "repaired", 1)
        assert ids(scene, "A-USD") == [trade["id"] for trade in truth]

    play(tmp_path, streams_of("A-USD"), first)
    play(tmp_path, streams_of("A-USD"), second, begin_s=20.0)


@pytest.mark.parametrize(
    ("since", "history", "symbols", "why"),
    [
        (None, False, ("trades", "quotes"), "the venue has no history"),
        (2**62, True, ("trades",), "the venue's history reaches back to 2116"),
        (None, True, ("quotes",), "a history of trades only"),
    ],
)
def test_a_gap_that_cannot_be_repaired_says_why(
    tmp_path: Path, since: int | None, history: bool, symbols: Sequence[str], why: str
) -> None:
    async def act(scene: Scene) -> None:
        if scene.venue.history is not None:
            scene.venue.history.since = since
        await live(scene, len(symbols))
        scene.server.connections[1].cut()
        await scene.settle(5)
        [gap] = scene.gaps()
        assert gap["status"] == "unrepairable"
        assert why in gap["detail"]
        assert scene.runner.shown()[0]["repairs"]["unrepairable"] == 1

    play(tmp_path, streams_of("A-USD", channels=symbols), act, history=history)


def test_a_repair_that_fails_stays_open_and_is_tried_again(tmp_path: Path) -> None:
    async def act(scene: Scene) -> None:
        await live(scene, 2)
        scene.server.http_status = 400
        scene.server.connections[1].cut()
        await scene.settle(120)
        [gap] = scene.gaps()
        assert gap["status"] == "open"
        assert "HTTP status 400; tried " in gap["detail"]
        tries = scene.server.requests.count("/trades/A-USD")
        assert 3 <= tries <= 6
        scene.server.http_status = 200
        await scene.until(lambda: scene.gaps()[0]["status"] == "repaired", 300)

    play(tmp_path, streams_of("A-USD"), act)


def test_the_judgement_is_shown_told_and_secrets_are_not(tmp_path: Path) -> None:
    class Tap:
        seen: list[Any] = []  # noqa: RUF012 - one a test

        def opened(self, connection: int, at: int, url: str) -> None:
            self.seen.append(("opened", connection, url))

        def sent(self, connection: int, at: int, data: str | bytes | None) -> None:
            self.seen.append(("sent", connection, data))

        def received(self, connection: int, frames: Sequence[Frame]) -> None:
            self.seen.append(("received", connection, len(frames)))

        def answered(self, at: int, path: str, params: Any, status: int, body: bytes) -> None:
            self.seen.append(("answered", path, status))

        def closed(self, connection: int, at: int, reason: str) -> None:
            self.seen.append(("closed", connection, reason))

    tap = Tap()

    async def act(scene: Scene) -> None:
        await live(scene, 2)
        scene.server.connections[1].cut()
        await scene.until(lambda: scene.server.made == 2)
        await live(scene, 2)
        [shown] = scene.runner.shown()
        [line] = shown["connections"]
        assert (line["state"], line["opened"], line["failed"]) == ("live", 2, 1)
        assert shown["streams"]["live"] == 2
        text = scene.plant.metrics.render()[0].decode()
        scene.plant.list_feeds = scene.runner.shown
        text = scene.plant.metrics.render()[0].decode()
        assert 'tickplant_connection_up{feed="toy",line="1"} 1.0' in text
        assert 'tickplant_feed_streams{feed="toy",state="live"} 2.0' in text
        assert 'tickplant_feed_breaker{feed="toy",state="closed"} 1.0' in text
        assert "hidden" not in repr(shown) + repr(tap.seen) + repr(scene.feed)
        assert [entry for entry in tap.seen if entry[0] in ("opened", "closed")] == [
            ("opened", 1, "wss://toy.test/stream"),
            ("closed", 1, "closed"),
            ("opened", 2, "wss://toy.test/stream"),
        ]
        assert ("sent", 1, None) in tap.seen
        assert ("answered", "/listings", 200) in tap.seen

    notices = play(tmp_path, streams_of("A-USD"), act, tap=tap, notices=True)
    assert [(n["line"], n["state"]) for n in notices if n["state"]] == [
        (1, "waiting"), (1, "live"), (1, "down"), (1, "waiting"), (1, "live"),
    ]  # fmt: skip


def test_two_feeds_of_one_venue_share_its_limits(tmp_path: Path) -> None:
    async def act(scene: Scene) -> None:
        await live(scene, 2)
        other = VenueFeed(
            "other", scene.venue, [Stream("B-USD", "trades")], scene.world
        )  # fmt: skip
        scene.runner.add(other)
        await asyncio.sleep(30)
        assert other.board.counts(scene.loop.clock())["live"] == 0
        await scene.runner.remove("toy")
        await scene.until(lambda: other.board.counts(scene.loop.clock())["live"] == 1)

    play(tmp_path, streams_of("A-USD"), act, limits=Limits(connections_max=1))


def test_symbols_beyond_the_room_of_a_venue_are_refused(tmp_path: Path) -> None:
    async def act(scene: Scene) -> None:
        await live(scene, 4)
        assert scene.feed.board.counts(scene.loop.clock())["refused"] == 2
        assert "2 connections of 2" in scene.shown("C-USD", "trades")["reason"]

    limits = Limits(streams_max=2, connections_max=2)
    play(tmp_path, streams_of("A-USD", "B-USD", "C-USD"), act, limits=limits)
