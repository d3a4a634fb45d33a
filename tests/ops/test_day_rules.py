"""The parts of the day in ten minutes (`make day`): faster rules, and the judge of what fired."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from day_watch import Firing, Log, Phase, judge

from prom_kit import promtool

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tools"))

import alerts  # noqa: E402
from alert_rules import GROUPS, faster  # noqa: E402

RULES = {alert.name: alert for group in GROUPS.values() for alert in group}
PHASES = [
    Phase("feed dead", 10, 50, frozenset({"FeedDown"})),
    Phase("disk full", 100, 150, frozenset({"LogUnavailable"}), frozenset({"ArchiveFailing"})),
]


def test_faster_rules_have_shorter_times_and_the_same_thresholds() -> None:
    slow = faster(RULES["LogFsyncSlow"], 10)
    assert "[6000ms]" in slow.expr
    assert slow.expr.endswith("> 0.25")
    assert slow.lasting == "30000ms"
    assert faster(RULES["GapOpenTooLong"], 10).expr == "tickplant_gaps_open_seconds_max > 90"
    assert faster(RULES["HighMemoryUsage"], 10).expr == RULES["HighMemoryUsage"].expr
    assert faster(RULES["DamageFound"], 10).lasting == ""


def test_promtool_takes_the_faster_rules(tmp_path: Path) -> None:
    file = tmp_path / "rules.yml"
    file.write_text(alerts.page(15), "utf-8")
    ran = subprocess.run(
        [promtool(), "check", "rules", file], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert f"{len(RULES)} rules found" in ran.stdout


def lived(*looks: tuple[float, set[str]]) -> Log:
    log = Log()
    for at_s, names in looks:
        log.look(at_s, names)
    return log


def test_an_alert_that_fires_in_its_fault_and_resolves_is_right() -> None:
    log = lived((20, {"FeedDown"}), (53, set()), (101, {"LogUnavailable"}), (160, set()))
    rows, stray = judge(PHASES, log)
    assert [(row.alert, row.fired_s, row.resolved_s, row.ok) for row in rows] == [
        ("FeedDown", 10, 3, True), ("LogUnavailable", 1, 10, True),
    ]  # fmt: skip
    assert stray == []


def test_an_alert_that_never_fires_or_never_resolves_is_wrong() -> None:
    rows, _ = judge(PHASES, lived((120, {"LogUnavailable"})))
    assert [(row.alert, row.ok) for row in rows] == [("FeedDown", False), ("LogUnavailable", False)]


def test_an_alert_that_nothing_explains_is_told_of() -> None:
    log = lived((5, {"FeedDown"}), (20, {"FeedDown", "LogUnavailable"}), (30, set()))
    _, stray = judge(PHASES, log)
    assert stray == [Firing("FeedDown", 5, 30), Firing("LogUnavailable", 20, 30)]


def test_what_may_come_is_shown_where_it_came() -> None:
    log = lived((20, {"FeedDown"}), (40, set()), (110, {"LogUnavailable", "ArchiveFailing"}),
                (170, set()))  # fmt: skip
    rows, stray = judge(PHASES, log)
    assert [row.alert for row in rows] == ["FeedDown", "LogUnavailable", "ArchiveFailing"]
    assert stray == []
