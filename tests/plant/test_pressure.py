"""Levels, hysteresis and measures of load, under a clock that the test moves."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tickplant.config import BackpressureSettings
from tickplant.model.errors import ConfigError
from tickplant.plant.measures import (
    DISK_S_MAX,
    DiskWatch,
    Unanswered,
    process_bytes_max,
    resident_bytes,
)
from tickplant.plant.pressure import Level, Measure, Pressure

H, W, C, O = Level.HEALTHY, Level.WARNING, Level.CRITICAL, Level.OVERLOAD  # noqa: E741


class Now:
    def __init__(self) -> None:
        self.s = 100.0

    def __call__(self) -> float:
        return self.s


def of(share: float, name: str = "inbox") -> dict[str, Measure]:
    return {"memory": Measure(0.0, 5.0, "bytes"), name: Measure(share * 200, 200.0, "rows")}


def walk(pressure: Pressure, now: Now, *steps: tuple[float, float]) -> list[Level]:
    """Look after each (seconds, share) and return the levels."""
    levels = []
    for seconds, share in steps:
        now.s += seconds
        pressure.look(of(share))
        levels.append(pressure.level)
    return levels


def test_a_burst_is_no_load_and_what_stays_is() -> None:
    now = Now()
    pressure = Pressure(BackpressureSettings(), now)
    assert walk(pressure, now, (0, 1.0), (0.5, 1.0), (0.4, 0.1), (5, 0.1)) == [H] * 4
    assert walk(pressure, now, (0, 0.6), (1.0, 0.6)) == [H, W]
    assert walk(pressure, now, (0, 0.8), (1.0, 0.9)) == [W, C]
    assert walk(pressure, now, (0, 0.95), (1.0, 0.96)) == [C, O]
    assert pressure.changes == {"healthy": 0, "warning": 1, "critical": 1, "overload": 1}


def test_levels_are_skipped_both_ways() -> None:
    now = Now()
    pressure = Pressure(BackpressureSettings(), now)
    assert walk(pressure, now, (0, 1.2), (1, 1.2)) == [H, O]
    assert walk(pressure, now, (1, 0.1), (4.9, 0.1), (0.1, 0.1)) == [O, O, H]


def test_coming_down_stops_where_the_share_still_is() -> None:
    now = Now()
    pressure = Pressure(BackpressureSettings(), now)
    walk(pressure, now, (0, 1.0), (1, 1.0))
    # 0.62 is below 0.8 of 0.95, and not below 0.8 of 0.75.
    assert walk(pressure, now, (1, 0.62), (5, 0.62), (60, 0.62)) == [O, C, C]
    assert walk(pressure, now, (1, 0.45), (5, 0.45), (60, 0.45)) == [C, W, W]
    assert walk(pressure, now, (1, 0.39), (5, 0.39)) == [W, H]


def test_a_relapse_begins_the_wait_anew() -> None:
    now = Now()
    pressure = Pressure(BackpressureSettings(), now)
    walk(pressure, now, (0, 0.8), (1, 0.8))
    assert walk(pressure, now, (4, 0.1), (0.9, 0.65), (4.9, 0.1), (5, 0.1)) == [C, C, C, H]


def test_refusing_ends_before_the_level_does() -> None:
    now = Now()
    pressure = Pressure(BackpressureSettings(), now)
    walk(pressure, now, (0, 1.0), (1, 1.0))
    assert pressure.refuses
    walk(pressure, now, (0.1, 0.77))
    assert pressure.refuses
    walk(pressure, now, (0.1, 0.75))
    assert (pressure.level, pressure.refuses) == (O, False)
    walk(pressure, now, (0.1, 0.9))
    assert pressure.refuses


def test_the_largest_share_decides_and_is_named() -> None:
    now = Now()
    pressure = Pressure(BackpressureSettings(rise_s=0), now)
    change = pressure.look({"disk": Measure(9, 10, "bytes"), "inbox": Measure(100, 200, "rows")})
    assert change is not None
    assert (change.old, change.new, change.cause) == (H, C, "disk")
    assert str(change) == "disk: 9 of 10 bytes (90%)"
    now.s += 7
    shown = pressure.shown()
    assert (shown["level"], shown["since_s"], shown["cause"]) == ("critical", 7.0, "disk")
    assert shown["measures"]["inbox"] == {
        "value": 100, "bound": 200, "unit": "rows", "share": 0.5,
    }  # fmt: skip


@settings(max_examples=15, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0, 3), st.floats(0, 1.5)), max_size=25),
    st.floats(0, 3),
    st.floats(0, 8),
)
def test_a_level_is_what_was_seen_for_long_enough(
    steps: list[tuple[float, float]], rise_s: float, fall_s: float
) -> None:
    """Held against the history: up only by what stood, down only after what did not."""
    now = Now()
    options = BackpressureSettings(rise_s=rise_s, fall_s=fall_s)
    pressure = Pressure(options, now)
    thresholds = (0.0, options.warning, options.critical, options.overload)
    history: list[tuple[float, float]] = []
    for seconds, share in steps:
        before = pressure.level
        now.s += seconds
        pressure.look(of(share))
        history.append((now.s, share))
        after = pressure.level
        if after > before:
            run = _run(history, low=thresholds[after])
            assert run >= rise_s
        elif after < before:
            run = _run(history, high=0.8 * thresholds[before])
            assert run >= fall_s
            assert after == H or share >= 0.8 * thresholds[after]
        # What has stood so high for so long is never overlooked.
        for level in (W, C, O):
            if _run(history, low=thresholds[level]) >= rise_s:
                assert after >= level


def _run(history: list[tuple[float, float]], low: float = 0, high: float = 9) -> float:
    """Return for how long, up to now, every share was in a range; -1 where the last was not."""
    since = None
    for at, share in reversed(history):
        if not low <= share < high:
            break
        since = at
    return -1.0 if since is None else history[-1][0] - since


@pytest.mark.parametrize("given", [(0.8, 0.75, 0.95), (0.5, 0.5, 0.95), (0.5, 0.97, 0.95)])
def test_thresholds_that_do_not_grow_are_refused(given: tuple[float, float, float]) -> None:
    options = BackpressureSettings(*given)
    with pytest.raises(ConfigError, match="allowed are shares that grow"):
        Pressure(options, Now())


def test_the_age_of_what_waits_is_that_of_the_oldest() -> None:
    now = Now()
    waiting = Unanswered(now)
    assert waiting.oldest_s() == 0
    first = waiting.begin()
    now.s += 2
    second = waiting.begin()
    assert waiting.oldest_s() == 2
    waiting.end(first)
    waiting.end(first)
    now.s += 1
    assert waiting.oldest_s() == 1
    waiting.end(second)
    assert waiting.oldest_s() == 0


def test_a_disk_that_hangs_counts_as_full_and_holds_nobody_up() -> None:
    now, go, asked = Now(), threading.Event(), threading.Event()
    hanging = False

    def ask() -> tuple[int, int, int]:
        asked.set()
        if hanging:
            assert go.wait(20)
        return 400, 100, 1_000

    disk = DiskWatch(ask, now)
    assert disk.look().share == 0.25
    hanging = True
    now.s += 1
    asked.clear()
    assert disk.look().share == 0.25
    assert asked.wait(20)
    now.s += DISK_S_MAX - 0.1
    assert disk.look().share == 0.25
    now.s += 0.1
    assert disk.look() == Measure(DISK_S_MAX, DISK_S_MAX, "s without an answer")
    go.set()
    assert disk._thread is not None
    disk._thread.join(20)
    assert disk.look().share == 0.25


def test_a_disk_that_cannot_be_asked_is_no_measure() -> None:
    def ask() -> tuple[int, int, int]:
        raise OSError("gone")

    assert DiskWatch(ask, Now()).look().share == 0


def test_the_bound_of_the_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert process_bytes_max(3) == 3 << 20
    limit = tmp_path / "memory.max"
    monkeypatch.setattr("tickplant.plant.measures._CGROUPS", (str(tmp_path / "no"), str(limit)))
    limit.write_text("1073741824\n")
    assert process_bytes_max(0) == 1 << 30
    limit.write_text("max\n")
    assert process_bytes_max(0) == 0
    assert resident_bytes() > 10 << 20
