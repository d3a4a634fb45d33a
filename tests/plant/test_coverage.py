"""A feed is cut, stalled, restarted, rewound, overloaded, repaired: every bar and gap says so."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from plant_kit import NOW, WAIT_S, Clock, open_plant, submit
from tickplant.candles.grid import Grid
from tickplant.candles.interval import parse_interval
from tickplant.compose import open_folder
from tickplant.model.errors import NotFound
from tickplant.plant.feed_notes import (
    Alive,
    Begun,
    Complete,
    Finished,
    Hole,
    Lost,
    Note,
    Repair,
    Subscribed,
)
from tickplant.plant.history import History
from tickplant.plant.plant import Plant
from tickplant.store.contract import NOW as TODAY
from tickplant.store.contract import AsOf

SECOND = 10**9
MINUTE = 60 * SECOND
BASE = NOW // (60 * MINUTE) * 60 * MINUTE - 60 * MINUTE
GRID = Grid(parse_interval("1m"))
EXAMPLES = int(os.environ.get("COVERAGE_EXAMPLES", "14"))
"""Random histories; a long run takes a few seconds each."""


def at(minute: float) -> int:
    return BASE + round(minute * 60) * SECOND


def say(plant: Plant, note: Note) -> int | None:
    return plant.tell(note).result(WAIT_S)


def tick(plant: Plant, *minutes: float, symbol: str = "A", feed: str = "venue") -> int:
    count = len(minutes)
    times = [at(minute) for minute in minutes]
    got = submit(plant, symbol=[symbol] * count, ts_event=times, price=[1.0] * count, feed=feed)
    assert got.seq_last is not None
    return got.seq_last


def bars(history: History, symbol: str = "A", **query: Any) -> dict[int, tuple[str, float]]:
    """Return (state, covered part) of every bar from the first minute on, empty ones too."""
    instrument = history.registry.resolve(symbol)
    query = {"fill": "null", "start": BASE, "basis": "trade", **query}
    rows = history.candles(instrument, GRID, **query).table.to_pylist()
    return {
        (row["start"] - BASE) // MINUTE: (row["state"], round(row["coverage"], 6)) for row in rows
    }


def gaps(history: History, **query: Any) -> list[tuple[Any, ...]]:
    """Return (cause, status, start, end) in minutes of the entries of the ledger."""
    rows = history.gaps(**query).to_pylist()
    return [(r["cause"], r["status"], minutes(r["start"]), minutes(r["end"])) for r in rows]


def minutes(ts: int | None) -> float | None:
    return None if ts is None else (ts - BASE) / MINUTE


class Listener:
    """Keeps the last update of each bar, as a subscriber of the stream would."""

    def __init__(self, plant: Plant) -> None:
        plant.watch_candles(GRID, "trade")
        self.plant = plant
        self.cursor = plant.hub.attach(plant.hub.seq)
        self.bars: dict[tuple[int, int], dict[str, Any]] = {}
        self.notices: list[dict[str, Any]] = []

    def hear(self) -> None:
        assert self.cursor is not None
        self.plant.drain()
        while entries := self.cursor.take(10_000):
            for entry in entries:
                if entry.channel == "status":
                    self.notices.append(dict(entry.message))
                elif entry.channel == "candles":
                    for row in entry.rows.to_pylist():
                        self.bars[row["instrument"], row["start"]] = row

    def agrees(self) -> None:
        """Check that what was heard last of every bar is what history says."""
        self.hear()
        for (number, start), heard in self.bars.items():
            instrument = self.plant.registry.number(number)
            query = {"basis": "trade", "start": start, "end": start + 1}
            table = self.plant.history.candles(instrument, GRID, **query).table
            assert [{"instrument": number, **row} for row in table.to_pylist()] == [heard]


def test_a_market_that_is_only_quiet_makes_no_gap(tmp_path: Path) -> None:
    with open_plant(tmp_path) as plant:
        listener = Listener(plant)
        say(plant, Begun("venue", start=at(0)))
        tick(plant, 0.5, 1.5)
        tick(plant, 1.5, symbol="B")
        for second in range(90, 300, 5):
            say(plant, Alive("venue", at(second / 60)))
        assert bars(plant.history) == {
            0: ("complete", 1.0), 1: ("complete", 1.0), 2: ("quiet", 1.0), 3: ("quiet", 1.0),
            4: ("forming", 1.0),
        }  # fmt: skip
        assert gaps(plant.history) == []
        assert not listener.notices
        listener.agrees()


def test_one_instruments_events_prove_the_others_quiet(tmp_path: Path) -> None:
    with open_plant(tmp_path) as plant:
        listener = Listener(plant)
        say(plant, Begun("venue"))
        tick(plant, 0)
        tick(plant, 0.5, symbol="B")
        tick(plant, 5.5, symbol="B")
        assert bars(plant.history)[0] == ("complete", 1.0)
        assert bars(plant.history)[3] == ("quiet", 1.0)
        assert bars(plant.history)[5] == ("forming", 1.0)
        listener.agrees()
        assert len(listener.bars) == 3


def test_a_feed_that_is_cut(tmp_path: Path) -> None:
    with open_plant(tmp_path) as plant:
        listener = Listener(plant)
        say(plant, Begun("venue", start=at(0)))
        tick(plant, 0.5, 1.25)
        id = say(plant, Lost("venue", "disconnect", "OSError: cut"))
        assert gaps(plant.history) == [("disconnect", "open", 1.25, None)]
        assert bars(plant.history) == {0: ("complete", 1.0), 1: ("forming", 1.0)}
        say(plant, Lost("venue", "stall"))  # it is away already
        say(plant, Begun("venue"))
        tick(plant, 4.5, 6)
        assert gaps(plant.history) == [("disconnect", "open", 1.25, 4.5)]
        shown = {
            0: ("complete", 1.0), 1: ("partial", 0.25), 2: ("gap", 0.0), 3: ("gap", 0.0),
            4: ("partial", 0.5), 5: ("quiet", 1.0), 6: ("forming", 1.0),
        }  # fmt: skip
        assert bars(plant.history) == shown
        listener.agrees()
        told = [(n["op"], n["id"], n["status"], n["end"] is None) for n in listener.notices]
        assert told == [("gap", id, "open", True), ("gap", id, "open", False)]
        [entry] = plant.history.gaps().to_pylist()
        row = plant.history.candles(plant.registry.resolve("A"), GRID, start=BASE).table.to_pylist()
        assert [bar["revision"] for bar in row[:3]] == [2, entry["changed"], entry["changed"]]
        assert entry["detail"] == "OSError: cut"


@pytest.mark.parametrize("cause", ["stall", "overload", "disconnect"])
def test_each_cause_is_told(tmp_path: Path, cause: str) -> None:
    with open_plant(tmp_path) as plant:
        say(plant, Begun("venue"))
        tick(plant, 1)
        say(plant, Lost("venue", cause))
        say(plant, Alive("venue", at(3)))
        assert gaps(plant.history) == [(cause, "open", 1.0, 3.0)]


def test_a_feed_that_resumes_where_it_was_cut_has_missed_nothing(tmp_path: Path) -> None:
    with open_plant(tmp_path) as plant:
        say(plant, Begun("venue"))
        tick(plant, 0, 1)
        say(plant, Lost("venue", "disconnect"))
        say(plant, Begun("venue", start=at(0.5)))
        tick(plant, 1.5, 3)
        assert gaps(plant.history) == [("disconnect", "repaired", 1.0, 1.0)]
        assert bars(plant.history)[1] == ("complete", 1.0)
        assert bars(plant.history)[2] == ("quiet", 1.0)


def test_what_comes_late_does_not_end_a_gap(tmp_path: Path) -> None:
    with open_plant(tmp_path) as plant:
        say(plant, Begun("venue"))
        tick(plant, 0, 2)
        say(plant, Lost("venue", "disconnect"))
        tick(plant, 1.5)
        assert gaps(plant.history) == [("disconnect", "open", 2.0, None)]
        tick(plant, 1.75, 4.5)
        assert gaps(plant.history) == [("disconnect", "open", 2.0, 4.5)]


def test_a_feed_that_is_rewound_is_late_and_nothing_else(tmp_path: Path) -> None:
    with open_plant(tmp_path) as plant:
        listener = Listener(plant)
        say(plant, Begun("venue"))
        tick(plant, 0, 5)
        before = bars(plant.history)
        tick(plant, 2.5)
        tick(plant, 3.5)
        assert gaps(plant.history) == []
        assert {**before, 2: ("complete", 1.0), 3: ("complete", 1.0)} == bars(plant.history)
        listener.agrees()


def test_a_hole_in_the_middle_revises_its_bars_and_a_repair_mends_them(tmp_path: Path) -> None:
    with open_plant(tmp_path) as plant:
        listener = Listener(plant)
        say(plant, Begun("venue", start=at(0)))
        tick(plant, 0.5, 1.5, 2.5, 3.5)
        tick(plant, 0.5, 3.5, symbol="B")
        seen = plant.seq_last
        id = say(plant, Hole("venue", at(1.25), at(2.75), "sequence", detail="7 to 9"))
        assert id == seen + 1
        missing = bars(plant.history)
        assert missing[1] == ("partial", 0.25)
        assert missing[2] == ("partial", 0.25)
        assert bars(plant.history, "B")[2] == ("partial", 0.25)
        listener.agrees()
        say(plant, Repair("venue", id, "repairing"))
        tick(plant, 2.25)
        assert bars(plant.history) == missing
        say(plant, Repair("venue", id, "repaired", events=1))
        assert set(bars(plant.history).values()) == {("complete", 1.0), ("forming", 1.0)}
        assert bars(plant.history, "B")[2] == ("quiet", 1.0)
        listener.agrees()
        assert [n["status"] for n in listener.notices] == ["open", "repairing", "repaired"]
        [entry] = plant.history.gaps().to_pylist()
        assert (entry["status"], entry["events"], entry["detail"]) == ("repaired", 1, "7 to 9")
        bar = plant.history.candles(plant.registry.resolve("A"), GRID, start=at(1), limit=1)
        assert bar.table["revision"].to_pylist() == [entry["changed"]]
        # What was known before is still there.
        whole = bars(plant.history, as_of=AsOf(seq_max=seen))
        assert whole[1] == whole[2] == ("complete", 1.0)
        assert bars(plant.history, as_of=AsOf(seq_max=id)) == missing
        assert gaps(plant.history, as_of=AsOf(seq_max=id)) == [("sequence", "open", 1.25, 2.75)]


def test_a_hole_of_one_instrument_is_not_one_of_the_others(tmp_path: Path) -> None:
    with open_plant(tmp_path) as plant:
        say(plant, Begun("venue", start=at(0)))
        tick(plant, 0.5, 2.5)
        tick(plant, 0.5, 2.5, symbol="B")
        hole = Hole("venue", at(1), at(2), "sequence", symbols=[("B", "ORIGIN")])
        id = say(plant, hole)
        assert bars(plant.history)[1] == ("quiet", 1.0)
        assert bars(plant.history, "B")[1] == ("gap", 0.0)
        number = plant.registry.resolve("A").number
        assert gaps(plant.history, instrument=number) == []
        say(plant, Repair("venue", id or 0, "unrepairable", detail="too old"))
        assert gaps(plant.history, status="unrepairable") == [("sequence", "unrepairable", 1, 2)]
        assert bars(plant.history, "B")[1] == ("gap", 0.0)


def test_a_gap_that_is_not_there_cannot_be_repaired(tmp_path: Path) -> None:
    with open_plant(tmp_path) as plant, pytest.raises(NotFound, match="names no gap of the feed"):
        say(plant, Repair("venue", 7, "repaired"))


def test_a_feed_that_finishes_covers_to_its_end(tmp_path: Path) -> None:
    with open_plant(tmp_path) as plant:
        say(plant, Begun("venue"))
        tick(plant, 0, 2.5)
        say(plant, Finished("venue"))
        assert gaps(plant.history) == []
        say(plant, Begun("venue"))
        tick(plant, 4, 5)
        assert gaps(plant.history) == [("restart", "open", 2.5, 4.0)]


def test_subscriptions_begin_and_end(tmp_path: Path) -> None:
    name = [("A", "ORIGIN")]
    with open_plant(tmp_path) as plant:
        say(plant, Begun("venue", start=at(0), symbols=[("B", "ORIGIN")]))
        tick(plant, 0.5, symbol="B")
        say(plant, Subscribed("venue", name, at(1.5)))
        tick(plant, 2.5)
        say(plant, Subscribed("venue", name, at(3.5), ends=True))
        tick(plant, 6, symbol="B")
        tick(plant, 3.25, symbol="C", feed="push")  # not its own
        shown = bars(plant.history, end=at(7))
        assert shown[0] == ("gap", 0.0)
        assert shown[1] == ("partial", 0.5)
        assert shown[2] == ("complete", 1.0)
        assert shown[3] == ("forming", 1.0)  # nobody says any more what comes
        assert bars(plant.history, "B")[3] == ("quiet", 1.0)


@pytest.mark.parametrize("crash", [False, True])
@pytest.mark.parametrize("archive", [False, True])
def test_a_restart_is_a_gap_from_where_the_log_proves_to_where_it_goes_on(
    tmp_path: Path, crash: bool, archive: bool
) -> None:
    with open_plant(tmp_path) as plant:
        say(plant, Begun("venue", start=at(0)))
        tick(plant, 0.5, 1.25)
        tick(plant, 0.75, symbol="P", feed="push")
        if archive:
            plant.store.checkpoint(plant.catalog.encode())
        if crash:
            plant._end_coverage = lambda: None  # type: ignore[method-assign]
    with open_plant(tmp_path) as plant:
        listener = Listener(plant)
        say(plant, Begun("venue"))
        tick(plant, 3.5, 5)
        tick(plant, 2.5, symbol="P", feed="push")
        shown = {
            0: ("complete", 1.0), 1: ("partial", 0.25), 2: ("gap", 0.0), 3: ("partial", 0.5),
            4: ("quiet", 1.0), 5: ("forming", 1.0),
        }  # fmt: skip
        pushed = {0: ("partial", 0.0), 1: ("gap", 0.0), 2: ("forming", 0.0)}
        known = [("restart", "open", 1.25, 3.5), ("restart", "open", 0.75, 2.5)]
        assert (bars(plant.history), bars(plant.history, "P")) == (shown, pushed)
        assert gaps(plant.history) == known
        listener.agrees()
        plant.store.checkpoint(plant.catalog.encode())
        plant.store.compact()
        assert (bars(plant.history), gaps(plant.history)) == (shown, known)
    history = open_folder(tmp_path).history
    assert (bars(history), bars(history, "P"), gaps(history)) == (shown, pushed, known)
    history.store.close()


def test_a_gap_that_lasts_is_repaired_when_it_has_an_end(tmp_path: Path) -> None:
    with open_plant(tmp_path) as plant:
        listener = Listener(plant)
        say(plant, Begun("venue", start=at(0)))
        tick(plant, 0.25)
        say(plant, Lost("venue", "disconnect"))
        id = plant.history.gaps()["id"][0].as_py()
        say(plant, Repair("venue", id, "repaired"))
        listener.agrees()
        assert bars(plant.history) == {0: ("forming", 1.0)}
        tick(plant, 1.75)
        assert gaps(plant.history) == [("disconnect", "repaired", 0.25, 1.75)]
        assert bars(plant.history)[0] == ("complete", 1.0)
        listener.agrees()


def test_an_open_gap_survives_a_restart_and_ends_once(tmp_path: Path) -> None:
    with open_plant(tmp_path) as plant:
        say(plant, Begun("venue"))
        tick(plant, 0, 1)
        say(plant, Lost("venue", "disconnect"))
    with open_plant(tmp_path) as plant:
        assert gaps(plant.history) == [("disconnect", "open", 1.0, None)]
        say(plant, Begun("venue"))
        say(plant, Alive("venue", at(4)))
        assert gaps(plant.history) == [("disconnect", "open", 1.0, 4.0)]


def test_pushed_rows_cover_what_lies_between_them(tmp_path: Path) -> None:
    with open_plant(tmp_path) as plant:
        listener = Listener(plant)
        tick(plant, 1.5, 4.25, feed="push")
        assert bars(plant.history) == {
            0: ("gap", 0.0), 1: ("partial", 0.5), 2: ("quiet", 1.0), 3: ("quiet", 1.0),
            4: ("forming", 1.0),
        }  # fmt: skip
        tick(plant, 0.25, feed="push")  # a backfill
        assert bars(plant.history)[0] == ("partial", 0.75)
        assert bars(plant.history)[1] == ("complete", 1.0)
        assert gaps(plant.history) == []
        listener.agrees()


def test_a_backfill_behind_a_restart_shortens_its_gap(tmp_path: Path) -> None:
    with open_plant(tmp_path) as plant:
        tick(plant, 0, 1, feed="push")
    with open_plant(tmp_path) as plant:
        listener = Listener(plant)
        tick(plant, 5, feed="push")
        assert gaps(plant.history) == [("restart", "open", 1.0, 5.0)]
        tick(plant, 3, feed="push")
        assert gaps(plant.history) == [("restart", "open", 1.0, 3.0)]
        tick(plant, 0.5, feed="push")  # late, and no proof of what came between
        assert gaps(plant.history) == [("restart", "open", 1.0, 3.0)]
        assert bars(plant.history)[2] == ("gap", 0.0)
        assert bars(plant.history)[4] == ("quiet", 1.0)
        listener.agrees()


def test_runs_that_import_older_and_newer_days_cover_those_and_no_more(tmp_path: Path) -> None:
    for run in ((10, 12), (2, 4), (6, 7), (20, 21)):
        with open_plant(tmp_path) as plant:
            tick(plant, *run, feed="import")
            known = bars(plant.history)
            told = gaps(plant.history)
    covered = {minute for minute, (state, _) in known.items() if state in ("quiet", "complete")}
    assert covered == {2, 3, 10, 11, 20}
    assert told == [("restart", "open", 12.0, 20.0)]


def test_what_is_declared_complete_is_covered_from_end_to_end(tmp_path: Path) -> None:
    with open_plant(tmp_path) as plant:
        listener = Listener(plant)
        tick(plant, 1.25, 3.5, feed="import")
        assert bars(plant.history) == {
            0: ("gap", 0.0), 1: ("partial", 0.75), 2: ("quiet", 1.0), 3: ("forming", 1.0),
        }  # fmt: skip
        declared = Complete("import", [("A", "ORIGIN"), ("NOBODY", "ORIGIN")], at(0), at(6))
        say(plant, declared)
        whole = {
            0: ("quiet", 1.0), 1: ("complete", 1.0), 2: ("quiet", 1.0), 3: ("complete", 1.0),
            4: ("quiet", 1.0), 5: ("quiet", 1.0),
        }  # fmt: skip
        assert {start: bar for start, bar in bars(plant.history).items() if start < 6} == whole
        listener.agrees()
        assert {row["state"] for row in listener.bars.values()} == {"complete"}
        seq = plant.seq_last
        say(plant, declared)
        say(plant, Complete("import", [("A", "ORIGIN")], at(2), at(4)))
        assert plant.seq_last == seq
        assert [instrument.symbol for instrument in plant.registry] == ["A"]
        assert gaps(plant.history) == []
    history = open_folder(tmp_path).history
    assert {start: bar for start, bar in bars(history).items() if start < 6} == whole
    history.store.close()


def test_two_feeds_of_an_instrument_cover_for_each_other(tmp_path: Path) -> None:
    with open_plant(tmp_path) as plant:
        listener = Listener(plant)
        for feed in ("one", "two"):
            say(plant, Begun(feed, start=at(0)))
            tick(plant, 0.5, feed=feed)
        say(plant, Lost("one", "disconnect"))
        tick(plant, 2.5, feed="two")
        say(plant, Lost("two", "disconnect"))
        say(plant, Begun("one", start=at(2)))
        tick(plant, 5, feed="one")
        assert set(bars(plant.history).values()) == {
            ("complete", 1.0), ("quiet", 1.0), ("forming", 1.0)
        }  # fmt: skip
        listener.agrees()


def test_lateness_holds_the_watermark_back(tmp_path: Path) -> None:
    with open_plant(tmp_path, coverage__lateness_s=90) as plant:
        listener = Listener(plant)
        say(plant, Begun("venue", start=at(0)))
        tick(plant, 0.5)
        tick(plant, 2.25, symbol="B")
        assert bars(plant.history) == {0: ("forming", 1.0)}
        tick(plant, 2.75, symbol="B")
        assert bars(plant.history)[0] == ("complete", 1.0)
        listener.agrees()


def test_what_is_asked_for_before_anything_is_known(tmp_path: Path) -> None:
    with open_plant(tmp_path) as plant:
        assert gaps(plant.history) == []
        assert say(plant, Lost("venue", "disconnect")) is None
        tick(plant, 0.5)
        assert plant.feed_facts("venue") == {
            "watermark": None, "covered_since": None, "gaps_open": 0
        }  # fmt: skip
        say(plant, Begun("venue"))
        tick(plant, 1)
        facts = plant.feed_facts("venue")
        assert facts["covered_since"] == facts["watermark"] is not None


def test_gaps_are_read_by_pages_and_filters(tmp_path: Path) -> None:
    with open_plant(tmp_path, Clock()) as plant:
        say(plant, Begun("venue"))
        tick(plant, 0)
        for minute in range(1, 8, 2):
            say(plant, Hole("venue", at(minute), at(minute + 1), "sequence"))
        first = plant.history.gaps(limit=3)
        rest = plant.history.gaps(limit=3, after=first["id"][-1].as_py())
        assert (first.num_rows, rest.num_rows) == (3, 1)
        assert gaps(plant.history, start=at(2), end=at(5.5)) == [
            ("sequence", "open", 3, 4), ("sequence", "open", 5, 6)
        ]  # fmt: skip
        assert gaps(plant.history, status="repaired") == []
        assert gaps(plant.history, feed=99) == []
        assert gaps(plant.history, as_of=TODAY) == gaps(plant.history)


spots = st.integers(0, 40).map(lambda quarter: quarter / 4)
names = st.sampled_from(["A", "B"])
moves = st.one_of(
    st.tuples(st.just("tick"), spots, names, st.sampled_from(["venue", "other", "push"])),
    st.tuples(st.just("begun"), st.sampled_from(["venue", "other"])),
    st.tuples(st.just("lost"), st.sampled_from(["venue", "other"])),
    st.tuples(st.just("lost-alone"), spots, names),
    st.tuples(st.just("delivered"), spots, names, st.booleans()),
    st.tuples(st.just("begun-named"), spots, st.sampled_from([("A",), ("A", "B")])),
    st.tuples(st.just("alive"), spots, st.sampled_from(["venue", "other"])),
    st.tuples(st.just("hole"), spots, spots, st.one_of(st.none(), names)),
    st.tuples(st.just("repair"), st.integers(0, 9), st.sampled_from(["repaired", "unrepairable"])),
    st.tuples(st.just("complete"), spots, spots, names, st.sampled_from(["venue", "push"])),
    st.tuples(st.just("restart"), st.booleans()),
    st.tuples(st.just("archive")),
)


def move(plant: Plant, step: tuple[Any, ...]) -> None:
    match step:
        case "tick", minute, symbol, feed:
            tick(plant, minute, symbol=symbol, feed=feed)
        case "begun", feed:
            say(plant, Begun(feed))
        case "lost", feed:
            say(plant, Lost(feed, "disconnect"))
        case "lost-alone", minute, symbol:
            say(plant, Lost("venue", "stall", None, [(symbol, "ORIGIN")], at(minute)))
        case "delivered", minute, symbol, ends:
            say(plant, Subscribed("venue", [(symbol, "ORIGIN")], at(minute), ends))
        case "begun-named", minute, symbols:
            named = [(symbol, "ORIGIN") for symbol in symbols]
            waiting = [(symbol, "ORIGIN") for symbol in ("A", "B") if symbol not in symbols]
            say(plant, Begun("venue", at(minute), named, waiting))
        case "alive", minute, feed:
            say(plant, Alive(feed, at(minute)))
        case "hole", one, other, symbol:
            start, end = sorted((at(one), at(other)))
            symbols = None if symbol is None else [(symbol, "ORIGIN")]
            say(plant, Hole("venue", start, end + 1, "sequence", symbols))
        case "complete", one, other, symbol, feed:
            start, end = sorted((at(one), at(other)))
            say(plant, Complete(feed, [(symbol, "ORIGIN")], start, end + 1))
        case "repair", place, status:
            mine = [g for g in plant.history.gaps().to_pylist() if g["feed"] > 0]
            if mine:
                gap = mine[place % len(mine)]
                say(plant, Repair(plant.feed_name(gap["feed"]), gap["id"], status))
        case ("archive",):
            plant.store.checkpoint(plant.catalog.encode())
            plant.store.compact()


def every_bar(history: History, one: Any, as_of: AsOf = TODAY) -> list[dict[str, Any]]:
    query = {"fill": "null", "basis": "trade", "start": BASE, "as_of": as_of}
    rows: list[dict[str, Any]] = history.candles(one, GRID, **query).table.to_pylist()
    return rows


@pytest.mark.timeout(20 * EXAMPLES)
@settings(max_examples=EXAMPLES, deadline=None)
@given(steps=st.lists(moves, min_size=1, max_size=14))
@example([
    ("tick", 0.0, "B", "venue"), ("begun", "venue"), ("tick", 0.25, "A", "venue"),
    ("delivered", 0.0, "B", False),
])  # fmt: skip
@example([
    ("begun", "venue"), ("tick", 0.0, "A", "venue"), ("tick", 0.25, "A", "venue"),
    ("delivered", 0.0, "A", True),
])  # fmt: skip
@example([
    ("begun-named", 0.0, ("A",)), ("tick", 0.25, "A", "venue"), ("lost", "venue"),
    ("begun-named", 0.0, ("A",)),
])  # fmt: skip
@example([
    ("begun", "venue"), ("tick", 3.0, "A", "venue"), ("tick", 5.0, "B", "venue"),
    ("delivered", 3.25, "A", True),
])  # fmt: skip
@example([
    ("tick", 1.0, "A", "venue"), ("begun", "venue"), ("hole", 0.0, 1.0, None),
    ("tick", 0.0, "A", "venue"),
])  # fmt: skip
def test_live_history_as_of_and_what_a_folder_says_agree(steps: list[tuple[Any, ...]]) -> None:
    seen: list[tuple[int, Any, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        pending = [*steps, ("restart", False)]
        while pending:
            with open_plant(Path(folder), Clock(), log__sync="none") as plant:
                listener = Listener(plant)
                while pending and pending[0][0] != "restart":
                    move(plant, pending.pop(0))
                    listener.agrees()
                    shown = {i.symbol: every_bar(plant.history, i) for i in plant.registry}
                    seen.append((plant.seq_last, shown, gaps(plant.history)))
                if pending.pop(0)[1]:
                    plant._end_coverage = lambda: None  # type: ignore[method-assign]
        history = open_folder(Path(folder)).history
        for seq, bars_then, gaps_then in seen:
            as_of = AsOf(seq_max=seq)
            assert gaps(history, as_of=as_of) == gaps_then
            for symbol, rows in bars_then.items():
                assert every_bar(history, history.registry.resolve(symbol), as_of) == rows
        history.store.close()
