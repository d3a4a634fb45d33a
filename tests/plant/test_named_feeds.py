"""Feeds that name what they are subscribed to: they are back when they say so."""

from __future__ import annotations

from pathlib import Path

import pytest

from plant_kit import open_plant, submit
from tickplant.candles.grid import Grid
from tickplant.candles.interval import parse_interval
from tickplant.compose import open_folder
from tickplant.plant.feed_notes import Alive, Begun, Lost, Subscribed
from tickplant.plant.history import History
from tickplant.store.contract import NOW as TODAY
from tickplant.store.contract import AsOf

NOW = 1_699_995_600_000_000_000
MINUTE = 60_000_000_000
NAMED = (("A", "ORIGIN"),)


def test_rows_before_the_subscription_do_not_end_a_gap(tmp_path: Path) -> None:
    """Quotes may be in force again while trades are not: what is missing then is missing."""
    with open_plant(tmp_path) as plant:
        plant.tell(Begun("venue", start=NOW, symbols=NAMED)).result(20)
        submit(plant, symbol=["A"], ts_event=[NOW + MINUTE], price=[1.0], feed="venue")
        plant.tell(Lost("venue", "disconnect", start=NOW + MINUTE)).result(20)
        submit(plant, symbol=["A"], ts_event=[NOW + 2 * MINUTE], price=[1.0], feed="venue")
        plant.drain()
        assert [gap["end"] for gap in plant.history.gaps().to_pylist()] == [None]
        plant.tell(Begun("venue", start=NOW + 3 * MINUTE, symbols=NAMED)).result(20)
        (gap,) = plant.history.gaps().to_pylist()
        assert (gap["start"], gap["end"]) == (NOW + MINUTE, NOW + 3 * MINUTE)


def test_rows_before_the_subscription_open_no_gap_after_a_restart(tmp_path: Path) -> None:
    """The feed's own gap tells of the restart, from where the feed had come to where it begins."""
    for run in (0, 10):
        with open_plant(tmp_path) as plant:
            ahead = [NOW + run * MINUTE]
            submit(plant, symbol=["A"], ts_event=ahead, price=[1.0], feed="venue")
            begun = NOW + (run + 1) * MINUTE
            plant.tell(Begun("venue", start=begun, symbols=NAMED)).result(20)
            lost = begun + MINUTE
            plant.tell(Lost("venue", "disconnect", start=lost)).result(20)
            plant.tell(Begun("venue", start=lost + MINUTE, symbols=NAMED)).result(20)
            plant.tell(Alive("venue", lost + 2 * MINUTE)).result(20)
            gaps = plant.history.gaps().to_pylist()
    cut = ("disconnect", 2, 3), ("restart", 4, 11), ("disconnect", 12, 13)
    shown = [(g["cause"], *((g[t] - NOW) // MINUTE for t in ("start", "end"))) for g in gaps]
    assert (shown, {gap["instrument"] for gap in gaps}) == ([*cut], {0})


def test_what_comes_ahead_of_a_subscription_covers_nothing(tmp_path: Path) -> None:
    """Venues begin with the last trades there were, which may lie before a restart."""
    shown = []
    for run in (0, 10):
        with open_plant(tmp_path) as plant:
            if run:
                ahead = [NOW + minute * MINUTE for minute in (1, run)]
                submit(plant, symbol=["A"] * 2, ts_event=ahead, price=[1.0] * 2, feed="venue")
                shown.append(states(plant.history))
            plant.tell(Begun("venue", start=NOW + run * MINUTE, symbols=NAMED)).result(20)
            plant.tell(Alive("venue", NOW + (run + 3) * MINUTE)).result(20)
            plant.drain()
            shown.append(states(plant.history))
            seq = plant.seq_last
    history = open_folder(tmp_path).history
    shown.append(states(history, AsOf(seq_max=seq)))
    history.store.close()
    assert shown[0] == ["quiet"] * 3
    assert shown[1] == ["quiet", "complete", "quiet", *["gap"] * 7]
    assert shown[2] == shown[3] == [*shown[1], "complete", "quiet", "quiet"]


@pytest.mark.parametrize("ends", [False, True])
def test_a_subscription_changes_what_is_known_though_the_feed_comes_no_further(
    tmp_path: Path, ends: bool
) -> None:
    with open_plant(tmp_path) as plant:
        plant.tell(Begun("venue", start=NOW, symbols=NAMED)).result(20)
        plant.tell(Alive("venue", NOW + 3 * MINUTE)).result(20)
        other = [("A" if ends else "B", "ORIGIN")]
        seq = plant.seq_last
        plant.tell(Subscribed("venue", other, NOW + MINUTE, ends)).result(20)
        plant.drain()
        changes = plant.history.coverage_changes(seq, plant.seq_last)
        number = plant.registry.resolve(other[0][0]).number
        assert changes.numbers() == [number]
        before, now = changes.of(number)
        passed = [(NOW + MINUTE, NOW + 3 * MINUTE)] if ends else []
        assert before.changed(now, seq) == passed


def states(history: History, as_of: AsOf = TODAY) -> list[str]:
    grid, of = Grid(parse_interval("1m")), history.registry.resolve("A")
    span = {"start": NOW, "end": NOW + 20 * MINUTE, "as_of": as_of}
    bars = history.candles(of, grid, fill="null", basis="trade", **span).table
    return [state for state in bars["state"].to_pylist() if state != "forming"]


@pytest.mark.parametrize("cause", ["disconnect", "stall"])
def test_what_comes_back_later_was_missed_for_the_same_cause(tmp_path: Path, cause: str) -> None:
    both, a, b = (("A", "ORIGIN"), ("B", "ORIGIN")), NAMED, (("B", "ORIGIN"),)
    with open_plant(tmp_path) as plant:
        plant.tell(Begun("venue", start=NOW, symbols=both)).result(20)
        plant.tell(Alive("venue", NOW + MINUTE)).result(20)
        plant.tell(Lost("venue", cause, start=NOW + MINUTE)).result(20)
        plant.tell(Begun("venue", start=NOW + 2 * MINUTE, symbols=a, waiting=b)).result(20)
        plant.tell(Subscribed("venue", b, NOW + 3 * MINUTE)).result(20)
        gaps = plant.history.gaps().to_pylist()
    shown = [(g["cause"], *((g[t] - NOW) // MINUTE for t in ("start", "end"))) for g in gaps]
    assert shown == [(cause, 1, 2), (cause, 2, 3)]
