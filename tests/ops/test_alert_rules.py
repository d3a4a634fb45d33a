"""The alert rules: each fires, and resolves; what they ask for exists; each has a runbook.

`promtool` judges them (Debian package `prometheus`); `ops/install-tools.sh` installs it.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from alert_cases import CASES, GOOD, MORE, STEP_S, Case

from prom_kit import judge
from tickplant.observe.seed_names import NAMES

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tools"))

import alerts  # noqa: E402
from alert_rules import GROUPS  # noqa: E402
from pages.metrics import families  # noqa: E402

RULES = {alert.name: alert for group in GROUPS.values() for alert in group}
FIRING = 'max by (alertname) (ALERTS{alertstate="firing"})'
OF_PROMETHEUS = {"up": {"job", "instance"}, "process_resident_memory_bytes": {"job", "instance"}}
EVERYWHERE = {"job", "instance", "le"}


def duration_s(text: str) -> int:
    return int(text[:-1]) * {"s": 1, "m": 60}[text[-1]] if text else 0


def scene(title: str, case: Case, alert: str) -> dict[str, Any]:
    """Return a test of promtool: not yet, then firing alone, then resolved."""
    ends_s = (case.bad - 1) * STEP_S
    looks = [(ends_s, [alert]), (ends_s + GOOD * STEP_S, [])]
    if case.lasts_s:
        looks.insert(0, (case.lasts_s - STEP_S, []))
    return {
        "name": title,
        "interval": f"{STEP_S}s",
        "input_series": [
            {"series": line.series, "values": line.values(case.bad, GOOD)} for line in case.lines
        ],
        "promql_expr_test": [look(at_s, names) for at_s, names in looks],
    }


def look(at_s: int, names: list[str]) -> dict[str, Any]:
    expected = [{"labels": f'{{alertname="{name}"}}', "value": 1} for name in sorted(names)]
    return {"expr": FIRING, "eval_time": f"{at_s}s", "exp_samples": expected}


def healthy() -> dict[str, Any]:
    """Return a test in which every series of every case is good for half an hour."""
    lines = {line.series: line for case in CASES.values() for line in case.lines}
    return {
        "name": "a healthy plant",
        "interval": f"{STEP_S}s",
        "input_series": [
            {"series": line.series, "values": line.values(0, 120)} for line in lines.values()
        ],
        "promql_expr_test": [look(at_s, []) for at_s in (600, 1785)],
    }


def test_every_alert_fires_alone_and_resolves(tmp_path: Path) -> None:
    tests = [scene(name, case, name) for name, case in CASES.items()]
    tests += [scene(title, case, name) for title, (name, case) in MORE.items()]
    file = tmp_path / "test.yml"
    document = {
        "rule_files": [str(alerts.FILE)],
        "evaluation_interval": f"{STEP_S}s",
        "tests": [*tests, healthy()],
    }
    file.write_text(json.dumps(document), "utf-8")
    ran = judge(file)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_there_is_a_case_of_every_alert_with_the_time_that_it_must_last() -> None:
    lasting = {name: duration_s(alert.lasting) for name, alert in RULES.items()}
    assert {name: case.lasts_s for name, case in CASES.items()} == lasting


def test_the_file_is_what_the_tool_writes() -> None:
    assert alerts.FILE.read_text("utf-8") == alerts.page(), "run `python tools/alerts.py`"


def selectors(expr: str) -> list[tuple[str, set[str]]]:
    """Return the metrics of an expression, each with the labels that it is asked by."""
    found = re.findall(r"\b([a-z_:]+)\b(?:\{([^}]*)\})?(?!\s*\()", expr)
    asked = [(name, set(re.findall(r"(\w+)\s*[=!]", inner))) for name, inner in found]
    return [(name, labels) for name, labels in asked if "_" in name or name == "up"]


@pytest.mark.parametrize("name", RULES)
def test_every_metric_and_label_is_declared(name: str) -> None:
    declared: dict[str, set[str]] = {k: set(v) for k, _, v, _ in families()}
    expr = re.sub(r'"[^"]*"', '""', RULES[name].expr)
    grouped = {
        label.strip() for by in re.findall(r"by \(([^)]*)\)", expr) for label in by.split(",")
    }
    body = re.sub(r"by \([^)]*\)", "", expr)
    known: set[str] = set(EVERYWHERE)
    asked = [one for one in selectors(body) if one[0] != "histogram_quantile"]
    assert asked
    for metric, labels in asked:
        family = re.sub(r"_(bucket|sum|count)\Z", "", metric)
        has = OF_PROMETHEUS.get(metric) or declared.get(metric) or declared.get(family)
        assert has is not None or metric in declared or family in declared, metric
        known |= has or set()
        assert labels <= EVERYWHERE | (has or set()), (metric, labels)
    shown = set(re.findall(r"\$labels\.(\w+)", RULES[name].description))
    assert grouped | shown <= known


def test_the_check_of_metrics_sees_them() -> None:
    expr = 'sum by (le) (rate(a_bucket{x="1",le!="2"}[1m])) > up and tickplant_b == 0'
    assert selectors(re.sub(r"by \([^)]*\)", "", expr)) == [
        ("a_bucket", {"x", "le"}), ("up", set()), ("tickplant_b", set()),
    ]  # fmt: skip
    assert set(NAMES) <= {name for name, *_ in families()}


@pytest.mark.parametrize("name", RULES)
def test_every_alert_has_a_runbook_that_says_what_to_do(name: str) -> None:
    text = (ROOT / "docs" / "runbooks" / f"{name}.md").read_text("utf-8")
    assert text.startswith(f"# {name}\n")
    for title in ("What it means", "What to look at", "What to do"):
        assert len(text.partition(f"\n## {title}\n")[2].partition("\n## ")[0].split()) >= 12, title


def test_every_runbook_has_an_alert_and_stands_in_the_list() -> None:
    pages = {page.stem for page in (ROOT / "docs" / "runbooks").glob("*.md")} - {"README"}
    assert pages == set(RULES)
    listed = (ROOT / "docs" / "runbooks" / "README.md").read_text("utf-8")
    assert set(re.findall(r"\]\((\w+)\.md\)", listed)) == pages
