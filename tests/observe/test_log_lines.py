"""Log lines: what the work belongs to, what is said again and again, streams that are gone."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tickplant.observe.context import bind, bind_all, bound
from tickplant.observe.logs import ACCESS, COUNTS, LineHandler, make_formatter
from tickplant.observe.repetition import OTHER, Repetition


class Machine:
    """A log under a clock that stands still; `later` runs the timers that are due."""

    def __init__(self, **options: Any) -> None:
        self.now = 0.0
        self.timers: list[tuple[float, Callable[[], None]]] = []
        self.stream = io.StringIO()
        repetition = Repetition(lambda: self.now, burst=2, window_s=10.0, **options)
        self.handler = LineHandler(
            make_formatter(human=False),
            self.stream,
            schedule=lambda s, act: self.timers.append((self.now + s, act)),
            repetition=repetition,
        )
        self.log = logging.Logger("plant", logging.DEBUG)
        self.log.addHandler(self.handler)

    def later(self, seconds: float) -> None:
        self.now += seconds
        due = [act for at, act in self.timers if at <= self.now]
        self.timers = [timer for timer in self.timers if timer[0] > self.now]
        for act in due:
            act()

    @property
    def messages(self) -> list[str]:
        return [json.loads(line)["message"] for line in self.stream.getvalue().splitlines()]


def test_the_same_over_and_over_is_written_twice_and_summed_up_by_itself() -> None:
    machine, before = Machine(), COUNTS.held_back
    for number in range(100):
        machine.log.warning("feed %s failed", f"f-{number}")
    assert machine.messages == ["feed f-0 failed", "feed f-1 failed"]
    assert COUNTS.held_back - before == 98
    machine.later(9.0)
    assert len(machine.messages) == 2
    machine.later(1.0)
    assert machine.messages[2:] == ["98 more within 10 s of: feed %s failed"]
    machine.later(30.0)
    assert len(machine.messages) == 3
    assert not machine.timers
    machine.log.warning("feed %s failed", "again")
    assert machine.messages[3:] == ["feed again failed"]


def test_a_flood_that_lasts_is_summed_up_window_by_window() -> None:
    machine = Machine()
    for _ in range(30):
        machine.log.warning("the disk refuses")
        machine.later(1.0)
    written = machine.messages
    assert written.count("the disk refuses") == 6
    assert written.count("8 more within 10 s of: the disk refuses") >= 2
    machine.handler.close()
    told = sum(int(line.split()[0]) for line in machine.messages if " more within " in line)
    assert told + 6 == 30


def test_levels_loggers_and_messages_are_told_apart() -> None:
    machine = Machine()
    for _ in range(5):
        machine.log.warning("one")
        machine.log.error("one")
        machine.log.warning("other")
    assert sorted(machine.messages) == ["one"] * 4 + ["other"] * 2


def test_the_access_log_is_not_thinned_out() -> None:
    machine = Machine()
    access = logging.Logger(ACCESS)
    access.addHandler(machine.handler)
    for _ in range(50):
        access.info("%s %s", "GET", "/v1/latest")
    assert machine.messages == ["GET /v1/latest"] * 50


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 3)), max_size=80))
def test_nothing_is_forgotten_and_kinds_are_bounded(steps: list[tuple[int, int]]) -> None:
    """Whatever comes, what is written and what is summed up make what was said."""
    now = 0.0
    repetition = Repetition(lambda: now, burst=2, window_s=5.0, kinds_max=4)
    written = told = 0
    for kind, seconds in steps:
        now += seconds
        written += repetition.admit(kind)
        told += sum(one.count for one in repetition.take_over())
        assert len(repetition) <= 5  # and the one that others share
    told += sum(one.count for one in repetition.take_over(all_of_them=True))
    assert written + told == len(steps)


def test_what_does_not_fit_shares_one_count() -> None:
    repetition = Repetition(lambda: 0.0, burst=1, kinds_max=2)
    assert [repetition.admit(kind) for kind in "abcdc"] == [True, True, True, False, False]
    assert [one.kind for one in repetition.take_over(all_of_them=True)] == [OTHER]


def test_a_line_tells_what_the_work_belongs_to() -> None:
    machine = Machine()
    token = bind_all({"request": "r-1"})
    with token:
        bind(feed="binance")
        machine.log.info("took %d rows", 3, extra={"rows": 3})
    machine.log.info("alone")
    first, second = (json.loads(line) for line in machine.stream.getvalue().splitlines())
    assert (first["request"], first["feed"], first["rows"]) == ("r-1", "binance", 3)
    assert "request" not in second
    assert list(first)[:4] == ["ts", "level", "logger", "message"]


async def test_tasks_inherit_what_they_belong_to_and_do_not_mix() -> None:
    seen: list[dict[str, object]] = []

    async def inner() -> None:
        await asyncio.sleep(0)
        seen.append(dict(bound()))

    async def work(name: str) -> None:
        bind(request=name)
        await asyncio.gather(inner(), inner())

    await asyncio.gather(work("a"), work("b"))
    assert sorted(str(one["request"]) for one in seen) == ["a", "a", "b", "b"]
    assert bound() == {}


@pytest.mark.parametrize("kind", ["closed", "broken", "none"])
def test_a_stream_that_is_gone_loses_the_line_in_silence(
    kind: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Broken(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError(32, "Broken pipe")

    stream: io.StringIO | None = Broken() if kind == "broken" else io.StringIO()
    if kind == "closed":
        assert stream is not None
        stream.close()
    handler = LineHandler(make_formatter(human=True), None if kind == "none" else stream)
    if kind == "none":
        monkeypatch.setattr("sys.stderr", None)
    log = logging.Logger("plant")
    log.addHandler(handler)
    before = COUNTS.lost
    log.error("nobody hears")
    assert COUNTS.lost == before + 1
    assert "Logging error" not in capsys.readouterr().err


def test_lines_go_to_the_standard_error_of_the_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = io.StringIO(), io.StringIO()
    monkeypatch.setattr("sys.stderr", old)
    log = logging.Logger("plant")
    log.addHandler(LineHandler(make_formatter(human=False)))
    log.info("one")
    old.close()
    monkeypatch.setattr("sys.stderr", new)
    log.info("two")
    assert json.loads(new.getvalue())["message"] == "two"


def test_a_line_of_json_is_one_line_whatever_is_in_it() -> None:
    machine = Machine()
    machine.log.info("a\nb\ud800 %s", {"x": b"\xff\x00", "o": object}, extra={"y": {1: {2, 3}}})
    (line,) = machine.stream.getvalue().splitlines()
    assert json.loads(line)["y"] == {"1": [2, 3]}
