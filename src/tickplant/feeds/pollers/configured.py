"""The section `providers` of the settings file: HTTP providers by name, besides the built-in one.

[providers.NAME]            url, venue, price, time, …: the fields of `HttpJsonSettings`
[providers.NAME.names]      canonical symbol = the provider's spelling
[providers.NAME.headers]    header = value; {env:NAME} stands for an environment variable
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any

from tickplant.feeds.pollers.http_json import Get, HttpJson, HttpJsonSettings
from tickplant.feeds.pollers.jobs import Make
from tickplant.feeds.pollers.yahoo import NAME as YAHOO
from tickplant.feeds.pollers.yahoo import Yahoo
from tickplant.model.errors import ConfigError, shorten
from tickplant.model.instruments import VENUE_ALLOWED, is_venue

SECTION = "providers"
TIMEOUT_S_MAX = 120.0

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}\Z")
_FIELDS = {item.name: item for item in fields(HttpJsonSettings) if item.name != "name"}
_NEEDED = tuple(name for name, item in _FIELDS.items() if item.default is MISSING
                and item.default_factory is MISSING)  # fmt: skip
_TABLES = ("names", "headers")


def read_providers(tree: Any, get: Get, environ: Mapping[str, str]) -> dict[str, Make]:
    """Return the makers of all providers by name, `yahoo` among them.

    Raises `ConfigError`, which names the key, the value and what is allowed, for anything that the
    section says wrong; a provider that an extra brings is looked for when it is first asked.
    """
    makers: dict[str, Make] = {YAHOO: Yahoo}
    for name, table in _table(tree, SECTION).items():
        key = f"{SECTION}.{name}"
        if not _NAME.match(name) or name == YAHOO:
            allowed = "1 to 32 lower-case letters, digits, '_' or '-', and not yahoo"
            raise ConfigError(
                f"{key}: {name!r} cannot be the name of a provider; allowed are {allowed}"
            )
        made = HttpJson(_settings(name, _table(table, key), key), get, environ)
        makers[name] = lambda made=made: made  # type: ignore[misc]
    return makers


def _settings(name: str, table: Mapping[str, Any], key: str) -> HttpJsonSettings:
    for word in table:
        if word not in _FIELDS:
            nearest = difflib.get_close_matches(word, _FIELDS, n=1, cutoff=0.0)[0]
            raise ConfigError(f"{key}.{word}: no such setting; the nearest is {key}.{nearest}")
    for word in _NEEDED:
        if word not in table:
            raise ConfigError(f"{key}.{word}: is needed")
    values = {word: _value(f"{key}.{word}", word, value) for word, value in table.items()}
    return HttpJsonSettings(name=name, **values)


def _value(key: str, word: str, value: Any) -> Any:
    if word in _TABLES:
        texts = {name: _text(f"{key}.{name}", text) for name, text in _table(value, key).items()}
        return {name.upper(): text for name, text in texts.items()} if word == "names" else texts
    if word == "lower_case":
        if not isinstance(value, bool):
            _refuse(key, value, "true or false")
        return value
    if word == "timeout_s":
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not 0 < value <= TIMEOUT_S_MAX:
            _refuse(key, value, f"seconds above 0, up to {TIMEOUT_S_MAX:g}")
        return float(value)
    text = _text(key, value)
    if word == "venue" and not is_venue(text):
        _refuse(key, text, VENUE_ALLOWED)
    return text


def _table(value: Any, key: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        _refuse(key, value, f"a table, [{key}]")
    table: Mapping[str, Any] = value
    return table


def _text(key: str, value: Any) -> str:
    if not isinstance(value, str):
        _refuse(key, value, "a text")
    return str(value)


def _refuse(key: str, value: Any, allowed: str) -> None:
    raise ConfigError(f"{key}: {shorten(value)} is not allowed; allowed is {allowed}")
