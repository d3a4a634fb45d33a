"""Small helpers that every generated page uses."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Sequence

PARAGRAPH = re.compile(r"\n\s*\n")


def head(title: str, source: str, intro: str) -> str:
    """Return the beginning of a page: title, where it comes from, introduction."""
    note = f"<!-- Written by `make docs` from {source}; do not edit. -->"
    return f"# {title}\n\n{note}\n\n{intro.strip()}\n"


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table; cells may hold any text on one line."""
    lines = [_line(columns), _line(["---"] * len(columns))]
    lines += [_line([cell(text) for text in row]) for row in rows]
    return "\n".join(lines) + "\n"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def cell(text: str) -> str:
    """Return text as it may stand in a table."""
    return " ".join(text.replace("|", "\\|").split())


def code(text: object) -> str:
    """Return text set as code."""
    return f"`{text}`"


def flow(text: str) -> str:
    """Return text whose paragraphs are one line each; indented drawings stay as they are."""
    parts = PARAGRAPH.split(inspect.cleandoc(text))
    return "\n\n".join(part if _drawn(part) else " ".join(part.split()) for part in parts)


def _drawn(part: str) -> bool:
    return part.startswith((" ", "- ", "* ")) or "\n    " in part


def anchor(title: str) -> str:
    """Return the fragment by which a heading is linked to."""
    kept = re.sub(r"[^\w\- ]", "", title.lower())
    return kept.replace(" ", "-")
