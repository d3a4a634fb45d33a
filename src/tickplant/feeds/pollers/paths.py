"""Paths into a JSON document: `data.prices[0].last`, with `{symbol}` for the name asked for."""

from __future__ import annotations

import re
from typing import Any

from tickplant.model.errors import ConfigError

MISSING = object()
"""What a path that leads nowhere gives; null is a value."""

Steps = tuple[str | int, ...]

_STEP = re.compile(r"(?:^|\.)([^.\[\]]+)|\[(-?\d+)\]|\[\"([^\"]*)\"\]")
ALLOWED = 'names with dots between and [0] for elements, such as data.prices[0].last or ["a.b"].c'


def parse_path(text: str, key: str) -> Steps:
    """Return the steps of a path; the empty text is the document. Raises `ConfigError`."""
    steps: list[str | int] = []
    at = 0
    while at < len(text):
        match = _STEP.match(text, at)
        if match is None:
            raise ConfigError(f"{key}: {text!r} is not allowed; allowed are {ALLOWED}")
        name, index, quoted = match.groups()
        steps.append(int(index) if index is not None else name if name is not None else quoted)
        at = match.end()
    return tuple(steps)


def look_up(document: Any, steps: Steps, native: str = "") -> Any:
    """Return what lies at a path, `MISSING` where there is nothing; `{symbol}` is `native`."""
    for step in steps:
        if isinstance(step, int):
            if not isinstance(document, list) or not -len(document) <= step < len(document):
                return MISSING
            document = document[step]
            continue
        name = step.replace("{symbol}", native)
        if not isinstance(document, dict) or name not in document:
            return MISSING
        document = document[name]
    return document
