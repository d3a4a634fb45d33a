"""The section of the settings page on which trades count: keys, built-in sets, venues."""

from __future__ import annotations

from collections.abc import Iterator

from pages.text import code, table
from tickplant.model.conditions import BUILT_IN, FORMS, VENUES, Update

_INTRO = """## [conditions]

Which trades count, by venue and sale condition: tables of the file that no variable and no flag can
hold. [Choose which trades count](../how-to/trade-conditions.md) has examples.
"""
_WORDS = ", ".join(str(one.name).lower() for one in Update)
_KEYS = (
    ("conditions.venues.VENUE", "the name of a set",
     'The set that a venue uses; `"*"` is every venue that is not named.'),
    ("conditions.sets.NAME.like", "the name of a set", "The set to begin with. Default: `all`."),
    ("conditions.sets.NAME.form", " or ".join(FORMS),
     "How codes are written. Default: as in `like`."),
    ("conditions.sets.NAME.codes.CODE", f"a list of {_WORDS}",
     "What a trade with this code updates."),
)  # fmt: skip


def section() -> str:
    """Return the section."""
    keys = ((code(key), allowed, meaning) for key, allowed, meaning in _KEYS)
    return "\n".join(
        (
            _INTRO,
            table(("key", "allowed", "meaning"), keys),
            "What the codes of the built-in sets leave to a trade:\n",
            table(("set", "leaves", "to codes"), _sets()),
            "The sets that venues use where nothing else is set:\n",
            table(("set", "venues"), _venues()),
        )
    )


def _sets() -> Iterator[tuple[str, str, str]]:
    for one in BUILT_IN.values():
        leaves: dict[int, list[str]] = {}
        for name, bits in sorted(one.codes.items()):
            leaves.setdefault(bits, []).append(code(name))
        for bits, codes in leaves.items():
            words = [str(update.name).lower() for update in Update if bits & update]
            yield code(one.name), ", ".join(words) or "nothing", " ".join(codes)
        if not leaves:
            yield code(one.name), "everything", "all"


def _venues() -> Iterator[tuple[str, str]]:
    names: dict[str, list[str]] = {}
    for venue, name in VENUES.items():
        names.setdefault(name, []).append(code(venue))
    for name, venues in names.items():
        yield code(name), " ".join(venues)
