"""Any HTTP API that answers JSON, as a provider: a URL, and paths to what it says.

    url with {symbols} ─► one request for all     url with {symbol} ─► one request each
         └─► document ─► rows (a path to a list; `symbol` says of which) or the document itself
                             └─► price, time, size, bid_price, … by their paths

`{env:NAME}` in the URL or a header stands for an environment variable, so that no secret has to be
in a file; what is filled in never shows in an error.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.parse import quote

import msgspec

from tickplant.feeds.pollers.paths import MISSING, Steps, look_up, parse_path
from tickplant.feeds.pollers.provider import Answer, Price, ProviderFault
from tickplant.feeds.pollers.values import TIME_UNITS, read_number, read_time
from tickplant.model.errors import ConfigError
from tickplant.observe.redact import keep_secret

NUMBERS = ("price", "size", "bid_price", "bid_size", "ask_price", "ask_size")
BODY_BYTES_MAX = 8 << 20
PARALLEL = 4
"""How many requests of one provider are under way at once."""

_ENV = re.compile(r"\{env:([A-Za-z_][A-Za-z0-9_]*)\}")


class Reply(NamedTuple):
    """What a request came to: status, headers by lower-case name, and the body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


Get = Callable[[str, Mapping[str, str], float], Awaitable[Reply]]
"""Makes a GET request: URL, headers, seconds it may take. Raises `OSError` or `TimeoutError`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpJsonSettings:
    """How a provider is asked and read; paths as in `paths.parse_path`.

    `names` gives the provider's spelling of canonical symbols; others are sent as they are, in
    lower case with `lower_case`. `joined_by` stands between them where `{symbols}` takes many.
    """

    name: str
    url: str
    venue: str
    price: str = ""
    time: str = ""
    time_unit: str = "auto"
    size: str = ""
    bid_price: str = ""
    bid_size: str = ""
    ask_price: str = ""
    ask_size: str = ""
    id: str = ""
    rows: str = ""
    symbol: str = ""
    joined_by: str = ","
    lower_case: bool = False
    timeout_s: float = 10.0
    names: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


class HttpJson:
    """A `Provider`. Raises `ConfigError` for settings that cannot work together."""

    def __init__(
        self, settings: HttpJsonSettings, get: Get, environ: Mapping[str, str] | None = None
    ) -> None:
        self.name, self.venue = settings.name, settings.venue.upper()
        self._settings, self._get = settings, get
        key = f"providers.{settings.name}"
        self._all_at_once = _check(settings, key)
        self._url = _filled(settings.url, environ or {}, f"{key}.url")
        self._headers = {
            name: _filled(text, environ or {}, f"{key}.headers.{name}")
            for name, text in settings.headers.items()
        }
        self._paths = {
            name: parse_path(getattr(settings, name), f"{key}.{name}")
            for name in (*NUMBERS, "time", "id", "symbol")
            if getattr(settings, name)
        }
        self._rows = parse_path(settings.rows, f"{key}.rows") if settings.rows else None
        self._room = asyncio.Semaphore(PARALLEL)

    async def fetch(self, symbols: Sequence[str]) -> Answer:
        """Return the present prices of these symbols; see `Provider`."""
        natives = {symbol: self._native(symbol) for symbol in symbols}
        if self._all_at_once:
            return self._read(await self._ask(natives.values()), natives)
        asked = [self._one(symbol, native) for symbol, native in natives.items()]
        found = await asyncio.gather(*asked)
        faults = [one for one in found if isinstance(one, ProviderFault)]
        if len(faults) == len(found):
            raise faults[0]
        answers = [one for one in found if isinstance(one, Answer)]
        told = {s: str(one) for s, one in zip(natives, found, strict=True) if one in faults}
        for answer in answers:
            told.update(answer.faults)
        return Answer([price for answer in answers for price in answer.prices], told)

    async def _one(self, symbol: str, native: str) -> Answer | ProviderFault:
        try:
            return self._read(await self._ask([native]), {symbol: native})
        except ProviderFault as fault:
            return fault

    def _native(self, symbol: str) -> str:
        plain = symbol.lower() if self._settings.lower_case else symbol
        return self._settings.names.get(symbol, plain)

    async def _ask(self, natives: Any) -> Any:
        names = list(natives)
        joined = self._settings.joined_by.join(quote(name, safe="") for name in names)
        url = self._url.replace("{symbols}", joined).replace("{symbol}", quote(names[0], safe=""))
        try:
            async with self._room:
                reply = await self._get(url, self._headers, self._settings.timeout_s)
        except (OSError, TimeoutError) as fault:
            raise ProviderFault(f"{self.name} did not answer ({type(fault).__name__})") from None
        return _document(self.name, reply)

    def _read(self, document: Any, natives: Mapping[str, str]) -> Answer:
        by_native = self._by_native(document) if self._rows is not None else None
        prices: list[Price] = []
        faults: dict[str, str] = {}
        for symbol, native in natives.items():
            row = document if by_native is None else by_native.get(native.upper(), MISSING)
            try:
                prices.append(self._price(symbol, native, row))
            except ValueError as fault:
                faults[symbol] = str(fault)
        return Answer(prices, faults)

    def _by_native(self, document: Any) -> dict[str, Any]:
        rows = look_up(document, self._rows or ())
        if not isinstance(rows, list):
            raise ProviderFault(f"{self.name}: there is no list at {self._settings.rows}")
        names = [look_up(row, self._paths["symbol"]) for row in rows]
        return {
            name.upper(): row
            for name, row in zip(names, rows, strict=True)
            if isinstance(name, str)
        }

    def _price(self, symbol: str, native: str, row: Any) -> Price:
        if row is MISSING:
            raise ValueError(f"{native} is not among the rows of the answer")

        def found(name: str) -> Any:
            steps: Steps | None = self._paths.get(name)
            value = None if steps is None else look_up(row, steps, native)
            return None if value is MISSING else value

        numbers = {name: read_number(found(name)) for name in NUMBERS}
        price = Price(
            symbol,
            ts_event=read_time(found("time"), self._settings.time_unit),
            id=None if found("id") is None else str(found("id")),
            **numbers,
        )
        if not price.is_trade and not price.is_quote:
            named = [name for name in ("price", "bid_price", "ask_price") if name in self._paths]
            told = " or ".join(f"{name} ({getattr(self._settings, name)})" for name in named)
            raise ValueError(f"the answer for {native} has no {told}")
        return price


def _check(settings: HttpJsonSettings, key: str) -> bool:
    """Say whether one request asks for all symbols. Raises `ConfigError`."""
    if not settings.url.startswith(("http://", "https://")):
        raise ConfigError(f"{key}.url: {settings.url!r} must begin with http:// or https://")
    many, one = "{symbols}" in settings.url, "{symbol}" in settings.url
    if many == one:
        raise ConfigError(f"{key}.url: must have either {{symbol}} or {{symbols}} in it")
    if not (settings.price or settings.bid_price or settings.ask_price):
        raise ConfigError(f"{key}.price: is needed, or bid_price and ask_price: paths to numbers")
    if settings.rows and not settings.symbol:
        raise ConfigError(f"{key}.symbol: is needed with rows: the path to a row's symbol")
    if many and not settings.rows and "{symbol}" not in settings.price + settings.bid_price:
        raise ConfigError(f"{key}.rows: is needed with {{symbols}}, or {{symbol}} in the paths")
    if settings.time_unit not in TIME_UNITS:
        allowed = ", ".join(TIME_UNITS)
        raise ConfigError(f"{key}.time_unit: {settings.time_unit!r} is not one of {allowed}")
    return many


def _filled(text: str, environ: Mapping[str, str], key: str) -> str:
    def value(match: re.Match[str]) -> str:
        name = match[1]
        if name not in environ:
            raise ConfigError(f"{key}: names the environment variable {name}, which is not set")
        keep_secret(environ[name])
        return environ[name]

    return _ENV.sub(value, text)


def _document(name: str, reply: Reply) -> Any:
    if not 200 <= reply.status < 300:
        raise ProviderFault(
            f"{name} answered {reply.status}", retry_after(reply.headers.get("retry-after"))
        )
    if len(reply.body) > BODY_BYTES_MAX:
        raise ProviderFault(f"{name} answered more than {BODY_BYTES_MAX >> 20} MiB")
    try:
        return msgspec.json.decode(reply.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
        raise ProviderFault(f"{name} did not answer JSON ({fault})") from None


def retry_after(text: str | None) -> float | None:
    """Return the seconds of a header `Retry-After`, at most an hour; None where it says none."""
    if text is None or not text.strip().isdigit():
        return None
    return min(float(text.strip()), 3_600.0)
