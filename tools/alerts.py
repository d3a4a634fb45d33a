"""Write the alert rules for Prometheus: `python tools/alerts.py`.

The rules stand in `alert_rules.py` as data; this makes YAML of them. Every text is written as a
JSON string, which YAML reads as it is.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

TOOLS = Path(__file__).resolve().parent
if str(TOOLS) not in sys.path:
    sys.path.insert(0, str(TOOLS))

from alert_rules import EVERY_S, GROUPS, Alert, faster  # noqa: E402

FILE = TOOLS.parent / "ops" / "alerts" / "tickplant.rules.yml"
RUNBOOKS = "docs/runbooks"
_HEAD = """\
# Written by tools/alerts.py; do not edit. What each alert means and what to do about it stands
# in docs/runbooks; docs/how-to/monitor.md says how to load this file.
groups:
"""


def page(factor: float = 1.0) -> str:
    """Return the file; with a factor, that for a time which passes so many times as fast."""
    every = f"{EVERY_S}s" if factor == 1 else f"{round(1_000 * EVERY_S / factor)}ms"
    groups = "".join(
        f"  - name: {name}\n    interval: {every}\n    rules:\n"
        + "".join(_rule(one if factor == 1 else faster(one, factor)) for one in alerts)
        for name, alerts in GROUPS.items()
    )
    return _HEAD + groups


def _rule(alert: Alert) -> str:
    texts = {
        "summary": alert.summary,
        "description": alert.description,
        "runbook_url": f"{RUNBOOKS}/{alert.name}.md",
    }
    lines = [
        f"      - alert: {alert.name}",
        f"        expr: {json.dumps(alert.expr)}",
        *([f"        for: {alert.lasting}"] if alert.lasting else []),
        "        labels:",
        f"          severity: {alert.severity}",
        "        annotations:",
        *(f"          {name}: {json.dumps(text)}" for name, text in texts.items()),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    FILE.parent.mkdir(parents=True, exist_ok=True)
    FILE.write_text(page(), "utf-8")
    print(FILE.relative_to(TOOLS.parent))
