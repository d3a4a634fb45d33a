"""Write the dashboards for Grafana: `python tools/dashboards.py`.

The panels stand in `dashboard_panels.py` and `load_panels.py` as data.
`ops/dashboards` is what Grafana provisions from.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

TOOLS = Path(__file__).resolve().parent
if str(TOOLS) not in sys.path:
    sys.path.insert(0, str(TOOLS))

from dashboard_panels import BOARDS, Board, Panel  # noqa: E402
from load_panels import LOAD  # noqa: E402

FOLDER = TOOLS.parent / "ops" / "dashboards"
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_ACROSS = 4
_HEIGHT = 7


def page(board: Board) -> str:
    """Return a dashboard as JSON."""
    document = {
        "uid": board.uid,
        "title": board.title,
        "tags": ["tickplant"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "15s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": [{"name": "datasource", "type": "datasource",
                                 "query": "prometheus"}]},
        "panels": _panels(board),
    }  # fmt: skip
    return json.dumps(document, indent=1) + "\n"


def _panels(board: Board) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = []
    top = 0
    for title, panels in board.rows.items():
        place = {"x": 0, "y": top, "w": 24, "h": 1}
        made.append({"id": len(made) + 1, "type": "row", "title": title, "gridPos": place})
        top += 1
        for first in range(0, len(panels), _ACROSS):
            line = panels[first : first + _ACROSS]
            width = 24 // len(line)
            for column, panel in enumerate(line):
                place = {"x": column * width, "y": top, "w": width, "h": _HEIGHT}
                made.append(_panel(panel, len(made) + 1, place))
            top += _HEIGHT
    return made


def _panel(panel: Panel, number: int, place: dict[str, int]) -> dict[str, Any]:
    targets = [
        {"refId": chr(ord("A") + at), "expr": expr, "legendFormat": legend, "datasource": _SOURCE}
        for at, (legend, expr) in enumerate(panel.queries.items())
    ]
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "gridPos": place,
        "datasource": _SOURCE,
        "fieldConfig": {"defaults": {"unit": panel.unit}, "overrides": []},
        "options": {},
        "targets": targets,
    }


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    for one in (*BOARDS, LOAD):
        (FOLDER / f"{one.uid}.json").write_text(page(one), "utf-8")
        print(f"ops/dashboards/{one.uid}.json")
