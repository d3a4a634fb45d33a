"""The rules of a settings file, which say which trades count, checked.

[conditions.venues]            venue = set; "*" is every venue that is not named
[conditions.sets.NAME]         like = a set to begin with, form = letters or bits
[conditions.sets.NAME.codes]   code = what it lets a trade update
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

from tickplant.model.conditions import (
    ALL,
    BITS,
    BUILT_IN,
    EVERYTHING,
    FORMS,
    LETTERS,
    OTHERS,
    VENUES,
    RuleSet,
    TradeRules,
    Update,
)
from tickplant.model.errors import ConfigError, shorten
from tickplant.model.instruments import VENUE_ALLOWED, is_venue

SECTION = "conditions"
SECTION_KEYS = (f"{SECTION}.venues", f"{SECTION}.sets")
CODE_MAX = 32

_WORDS = {str(one.name).lower(): int(one) for one in Update}
_SET_KEYS = ("like", "form", "codes")
_WORDS_ALLOWED = f"a list of {', '.join(_WORDS)}; the empty list updates nothing"


def parse_rules(tree: Any) -> TradeRules:
    """Return the rules of the section `conditions`, over the built-in ones.

    Raises `ConfigError`, which names the key, the value and what is allowed.
    """
    section = _table(tree, SECTION)
    _check_keys(section, ("venues", "sets"), SECTION)
    sets = dict(BUILT_IN)
    given = _table(section.get("sets", {}), f"{SECTION}.sets")
    for name in given:
        _add_set(name, given, sets, ())
    venues = dict(VENUES)
    for venue, name in _table(section.get("venues", {}), f"{SECTION}.venues").items():
        key = f"{SECTION}.venues.{venue}"
        if venue != OTHERS and not is_venue(venue):
            _refuse(key, venue, f"a venue, {VENUE_ALLOWED}, or {OTHERS} for every other one")
        venues[venue.upper()] = _known_set(name, sets, key)
    return TradeRules(venues, sets)


def _add_set(
    name: str, given: Mapping[str, Any], sets: dict[str, RuleSet], under: tuple[str, ...]
) -> None:
    """Put a set into `sets`, after the one that it is like."""
    key = f"{SECTION}.sets.{name}"
    if name in BUILT_IN:
        _refuse(key, name, f"a name other than those of the built-in sets {', '.join(BUILT_IN)}")
    if name in sets:
        return
    table = _table(given[name], key)
    _check_keys(table, _SET_KEYS, key)
    like = table.get("like", ALL)
    if like in (*under, name):
        _refuse(f"{key}.like", like, "a set that is not itself like this one")
    if isinstance(like, str) and like in given:
        _add_set(like, given, sets, (*under, name))
    base = sets[_known_set(like, {**sets, **given}, f"{key}.like")]
    form = table.get("form", base.form)
    if form not in FORMS:
        _refuse(f"{key}.form", form, " or ".join(FORMS))
    if form != base.form and base.codes:
        _refuse(f"{key}.form", form, f"{base.form}, as in the set {base.name} that it is like")
    codes = {
        _code(code, form, f"{key}.codes"): _bits(words, f"{key}.codes.{code}")
        for code, words in _table(table.get("codes", {}), f"{key}.codes").items()
    }
    sets[name] = RuleSet(name, {**base.codes, **codes}, form)


def _code(code: str, form: str, key: str) -> str:
    if form == LETTERS:
        if not code or len(code) > CODE_MAX or any(c.isspace() or c in ",;|" for c in code):
            _refuse(key, code, f"1 to {CODE_MAX} characters without blanks, ',', ';' or '|'")
        return code
    try:
        mask = int(code, 16)
    except ValueError:
        mask = 0
    if mask <= 0:
        _refuse(key, code, f"a hexadecimal number above 0, as the form is {BITS}")
    return f"{mask:x}"


def _bits(words: Any, key: str) -> int:
    if not isinstance(words, list):
        _refuse(key, words, _WORDS_ALLOWED)
    bits = 0
    for word in words:
        if not isinstance(word, str) or word not in _WORDS:
            _refuse(key, word, _WORDS_ALLOWED)
        bits |= _WORDS[word]
    return bits & EVERYTHING


def _known_set(name: Any, sets: Iterable[str], key: str) -> str:
    if not isinstance(name, str) or name not in sets:
        _refuse(key, name, f"one of the sets {', '.join(sets)}")
    return name


def _table(value: Any, key: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        _refuse(key, value, "a table")
    return value


def _check_keys(table: Mapping[str, Any], known: tuple[str, ...], prefix: str) -> None:
    for name in table:
        if name not in known:
            nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.0)
            raise ConfigError(
                f"{prefix}.{name}: no such setting; the nearest is {prefix}.{nearest[0]}"
            )


def _refuse(key: str, value: Any, allowed: str) -> NoReturn:
    raise ConfigError(
        f"{key}: {shorten(value) or 'an empty text'} is not allowed; allowed is {allowed}"
    )
