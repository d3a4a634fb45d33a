"""The Markdown files of the repository, cut into headings, links and code blocks."""

from __future__ import annotations

import re
import runpy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
NAMES = [file.relative_to(ROOT).as_posix() for file in FILES]
TOOL = runpy.run_path(str(ROOT / "tools" / "reference.py"))
PAGES: dict[str, Callable[[], str]] = TOOL["PAGES"]

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.M)


class Block(NamedTuple):
    """A fenced block: its language and its text."""

    language: str
    text: str


def read(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


def blocks(text: str) -> list[Block]:
    return [Block(*found) for found in _FENCE.findall(text)]


def prose(text: str) -> str:
    """Return text without its fenced blocks."""
    return _FENCE.sub("", text)


def links(text: str) -> list[str]:
    return _LINK.findall(prose(text))


def anchors(text: str) -> set[str]:
    """Return the fragments of the headings, as code hosts make them."""
    titles = [re.sub(r"[`*]", "", title) for title in _HEADING.findall(prose(text))]
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def section(text: str, title: str) -> str:
    """Return what stands under a heading of the second level."""
    after = text.split(f"\n## {title}\n", 1)[1]
    return after.split("\n## ", 1)[0]


def spans(text: str) -> Iterator[str]:
    """Yield what is set as code within the lines of the prose."""
    yield from re.findall(r"`([^`\n]+)`", prose(text))
