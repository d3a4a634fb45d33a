"""Feeds as they are configured: tables of the file and texts of the command line, checked.

    [[feeds]]                              --feed "binance:BTC-USDT,ETH-USDT;channels=trades"
    venue = "binance"
    symbols = ["BTC-USDT", "ETH-USDT"]     the same: venue:symbol,symbol;key=value;…
    channels = ["trades"]

A value `env:NAME` of a secret is that of an environment variable. Everything that is wrong is a
`ConfigError` which names the key, what was seen and what is allowed, and never shows a secret.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn
from urllib.parse import urlsplit

from tickplant.feeds.supervisor.names import is_name
from tickplant.feeds.supervisor.tap import shown_url
from tickplant.feeds.venues.catalogue import KNOWN, KnownVenue, known_venue
from tickplant.feeds.venues.contract import CHANNELS, Channel, Stream
from tickplant.feeds.venues.options import Account, VenueOptions
from tickplant.model.errors import ConfigError, InvalidParameter, shorten
from tickplant.model.instruments import SYMBOL_ALLOWED
from tickplant.observe.redact import keep_secret

SECRETS = ("key", "secret", "token", "password")
GENERAL = (
    "venue", "symbols", "channels", "name", "url", "http_url", "capture", *SECRETS, "accounts",
)  # fmt: skip
ENV = "env:"
TEXT_ALLOWED = (
    "VENUE:SYMBOL,SYMBOL;key=value;…, such as binance:BTC-USDT,ETH-USDT;channels=trades,book; "
    f"venues are {', '.join(KNOWN)}"
)

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}\Z")
_NAME_ALLOWED = "1 to 64 letters, digits, '_', '.' or '-'"
_SCHEMES = {"url": ("ws", "wss", "http", "https"), "http_url": ("http", "https")}


@dataclass(frozen=True, slots=True)
class FeedPlan:
    """One feed as it is to be made; no secret is shown of it.

    `capture` is the folder that its frames are kept in, empty for that of the plant, None for no
    such folder.
    """

    name: str
    venue: KnownVenue
    streams: tuple[Stream, ...]
    channels: tuple[Channel, ...]
    options: VenueOptions
    capture: str | None = None


def read_feeds(
    tables: Iterable[Mapping[str, Any]], environ: Mapping[str, str], *, taken: Sequence[str] = ()
) -> list[FeedPlan]:
    """Return the feeds of these tables; `taken` are names that others have."""
    plans: list[FeedPlan] = []
    for place, table in enumerate(tables, 1):
        where = f"feeds[{place}]"
        names = [*taken, *(plan.name for plan in plans)]
        plans.append(_read_feed(dict(table), where, environ, names))
    return plans


def parse_feed(text: str) -> dict[str, Any]:
    """Return a text of the command line as such a table. Raises `InvalidParameter`."""
    head, *options = text.split(";")
    venue, colon, symbols = head.partition(":")
    if not colon or not venue.strip():
        raise InvalidParameter("--feed", text, TEXT_ALLOWED, where="option")
    table: dict[str, Any] = {"venue": venue.strip()}
    known = KNOWN.get(venue.strip().lower())
    if known is not None and known.required and ":" in symbols:  # ccxt:EXCHANGE:SYMBOL,…
        table[known.required[0]], _, symbols = symbols.partition(":")
    table["symbols"] = _parts(symbols)
    for option in filter(None, map(str.strip, options)):
        key, equals, value = option.partition("=")
        if not equals or key.strip() in ("venue", "symbols", "accounts"):
            raise InvalidParameter("--feed", _without_value(text), TEXT_ALLOWED, where="option")
        table[key.strip()] = _parts(value) if key.strip() == "channels" else value.strip()
    return table


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _without_value(text: str) -> str:
    """Return a text of the command line up to its options, which may hold secrets."""
    return text.partition(";")[0] + ";…"


def _read_feed(
    table: dict[str, Any], where: str, environ: Mapping[str, str], names: Sequence[str]
) -> FeedPlan:
    venue = _venue(table, where)
    known = (*GENERAL, *venue.keys)
    for key in table:
        if key not in known:
            nearest = difflib.get_close_matches(key, known, n=1, cutoff=0.0)[0]
            raise ConfigError(
                f"{where}.{shorten(key)}: no such key of a feed of {venue.name}; the nearest is "
                f"{nearest}"
            )
    for key in venue.required:
        if key not in table:
            raise ConfigError(f"{where}.{key}: is needed for a feed of {venue.name}")
    channels = _channels(table.get("channels", list(venue.channels)), where)
    symbols = _symbols(table.get("symbols", []), where)
    options = VenueOptions(
        url=_url(table, "url", where),
        http_url=_url(table, "http_url", where),
        accounts=_accounts(table, where, environ),
        extra={key: table[key] for key in venue.keys if key in table},
    )
    streams = tuple(Stream(symbol, channel) for symbol in symbols for channel in channels)
    capture = _capture(table.get("capture"), where)
    return FeedPlan(_name(table, venue, where, names), venue, streams, channels, options, capture)


def _venue(table: Mapping[str, Any], where: str) -> KnownVenue:
    name = table.get("venue")
    if not isinstance(name, str):
        raise ConfigError(f"{where}.venue: is needed; known are {', '.join(KNOWN)}")
    try:
        return known_venue(name)
    except ConfigError as fault:
        raise ConfigError(f"{where}.{fault.detail}") from None


def _name(table: Mapping[str, Any], venue: KnownVenue, where: str, names: Sequence[str]) -> str:
    given = table.get("name")
    if given is None:
        extra = table.get("exchange")
        base = venue.name if extra is None else f"{venue.name}-{extra}"
        free = (base if n == 1 else f"{base}-{n}" for n in range(1, len(names) + 2))
        given = next(name for name in free if name not in names)
    if not isinstance(given, str) or not _NAME.match(given):
        _refuse(f"{where}.name", given, _NAME_ALLOWED)
    if given in names:
        _refuse(f"{where}.name", given, f"a name that no other feed has; taken are {names}")
    return str(given)


def _symbols(given: Any, where: str) -> list[str]:
    if not isinstance(given, list):
        _refuse(f"{where}.symbols", given, "a list of symbols")
    for symbol in given:
        if not isinstance(symbol, str) or not is_name(symbol.strip()):
            _refuse(f"{where}.symbols", symbol, SYMBOL_ALLOWED)
    return list(dict.fromkeys(symbol.strip().upper() for symbol in given))


def _channels(given: Any, where: str) -> tuple[Channel, ...]:
    if not isinstance(given, list) or not given:
        _refuse(f"{where}.channels", given, f"a list of {', '.join(CHANNELS)}")
    found: list[Channel] = []
    for name in given:
        channel = next((one for one in CHANNELS if one == name), None)
        if channel is None:
            near = difflib.get_close_matches(str(name), CHANNELS, n=1, cutoff=0.0)[0]
            _refuse(f"{where}.channels", name, f"{', '.join(CHANNELS)}; the nearest is {near}")
        found.append(channel)
    return tuple(dict.fromkeys(found))


def _capture(given: Any, where: str) -> str | None:
    if given in (None, False, "false"):
        return None
    if given in (True, "true"):
        return ""
    if not isinstance(given, str) or not given.strip():
        _refuse(f"{where}.capture", given, "true, false, or a folder")
    return str(given)


def _url(table: Mapping[str, Any], key: str, where: str) -> str | None:
    given = table.get(key)
    if given is None:
        return None
    allowed = f"an address that begins with {', '.join(f'{s}://' for s in _SCHEMES[key])}"
    try:
        parts = urlsplit(given) if isinstance(given, str) else None
        good = parts is not None and parts.scheme in _SCHEMES[key] and bool(parts.hostname)
        _ = parts.port if parts is not None else None
    except ValueError:
        good = False
    if not good:
        _refuse(f"{where}.{key}", shown_url(given) if isinstance(given, str) else "?", allowed)
    return str(given)


def _accounts(
    table: Mapping[str, Any], where: str, environ: Mapping[str, str]
) -> tuple[Account, ...]:
    """Return the account of the feed itself, and those of its list `accounts`."""
    tables = [table] if any(name in table for name in SECRETS) else []
    listed = table.get("accounts", [])
    if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
        raise ConfigError(f"{where}.accounts: is not allowed; allowed is a list of tables")
    for one in listed:
        for key in one:
            if key not in SECRETS:
                nearest = difflib.get_close_matches(key, SECRETS, n=1, cutoff=0.0)[0]
                raise ConfigError(
                    f"{where}.accounts.{shorten(key)}: no such key; the nearest is {nearest}"
                )
        tables.append(one)
    return tuple(_account(one, where, environ) for one in tables)


def _account(table: Mapping[str, Any], where: str, environ: Mapping[str, str]) -> Account:
    given = {name: table[name] for name in SECRETS if name in table}
    return Account(**{n: _secret(v, f"{where}.{n}", environ) for n, v in given.items()})


def _secret(given: Any, key: str, environ: Mapping[str, str]) -> str:
    if not isinstance(given, str) or not given:
        raise ConfigError(f"{key}: must be a text, or {ENV}NAME for an environment variable")
    if not given.startswith(ENV):
        keep_secret(given)
        return given
    name = given.removeprefix(ENV)
    if not environ.get(name):
        raise ConfigError(f"{key}: the environment variable {shorten(name)} is not set")
    keep_secret(environ[name])
    return environ[name]


def _refuse(key: str, value: Any, allowed: str) -> NoReturn:
    shown = shorten(value) or "an empty text"
    raise ConfigError(f"{key}: {shown} is not allowed; allowed is {allowed}")
