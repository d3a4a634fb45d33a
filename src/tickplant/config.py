"""Settings: typed, frozen, loaded once. Every default stands here with its unit and its reason.

Three sources, the later wins: `tickplant.toml`, the environment (`TICKPLANT_SECTION_KEY`), flags.
A key that nobody knows is refused with the nearest known one.
"""

from __future__ import annotations

import difflib
import math
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields, is_dataclass
from datetime import datetime
from functools import cache
from ipaddress import ip_network
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, get_type_hints

from tickplant.model.conditions import TradeRules
from tickplant.model.errors import ConfigError, InvalidParameter, shorten
from tickplant.model.instruments import VENUE_ALLOWED, is_venue
from tickplant.model.rules import SECTION as RULES
from tickplant.model.rules import SECTION_KEYS, parse_rules
from tickplant.model.times import ALLOWED as TIME_ALLOWED
from tickplant.model.times import parse_time

PREFIX = "TICKPLANT_"

KEY_VARIABLE = "TICKPLANT_KEY"
"""Variable with the key that commands show to a running plant; no setting."""


class Form(NamedTuple):
    """What a text must look like: the test, and what is allowed in words."""

    holds: Callable[[str], bool]
    allowed: str


def _is_time(text: str) -> bool:
    try:
        parse_time(text)
    except InvalidParameter:
        return False
    return True


_TIME = Form(_is_time, TIME_ALLOWED)
_VENUE = Form(is_venue, VENUE_ALLOWED)


def _setting(
    default: Any,
    doc: str,
    *,
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] = (),
    form: Form | None = None,
    secret: bool = False,
) -> Any:
    """Declare a setting: its default, what it means and which values are allowed.

    A secret one is never shown, neither among the settings nor in an error.
    """
    metadata = {
        "doc": doc,
        "low": low,
        "high": high,
        "choices": choices,
        "form": form,
        "secret": secret,
    }
    return field(default=default, metadata=metadata, repr=not secret)


_PREFIX = re.compile(r"(?:/[A-Za-z0-9._~-]+)+\Z")


def _is_prefix(text: str) -> bool:
    return not text or _PREFIX.match(text) is not None


def _is_list_of_networks(text: str) -> bool:
    try:
        for part in filter(None, map(str.strip, text.split(","))):
            ip_network(part, strict=False)
    except ValueError:
        return False
    return True


def read_by_venue(text: str) -> dict[str, float]:
    """Return the numbers of a text such as `DERIBIT=1e12,OTHER=5`. Raises `ValueError`."""
    found = {}
    for part in filter(None, map(str.strip, text.split(","))):
        venue, _, number = part.partition("=")
        found[venue.strip().upper()] = value = float(number)
        if not is_venue(venue.strip().upper()) or not 0 <= value < math.inf:
            raise ValueError(part)
    return found


def _is_by_venue(text: str) -> bool:
    try:
        read_by_venue(text)
    except ValueError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """Where the plant listens, and how it is reached."""

    host: str = _setting("127.0.0.1", "Address to listen on.")
    port: int = _setting(8000, "TCP port to listen on; 0 takes any free one.", low=0, high=65535)
    body_mb_max: int = _setting(64, "Largest request body, MiB.", low=1, high=4096)
    connections_max: int = _setting(10_000, "Most open connections at once.", low=1)
    origins: str = _setting(
        "",
        "Origins of other web pages that may read, write and open the stream, with commas "
        "between; `*` for all. The plant's own pages always may.",
    )
    path_prefix: str = _setting(
        "",
        "Path under which a proxy shows the plant, such as /tickplant; the proxy may take it off "
        "or leave it on.",
        form=Form(_is_prefix, "a path such as /tickplant, without a slash at its end"),
    )
    proxies: str = _setting(
        "",
        "Addresses and networks of the proxies whose `X-Forwarded-For` and `X-Forwarded-Proto` are "
        "believed, with commas between; of all others they are passed over.",
        form=Form(_is_list_of_networks, "addresses and networks such as 127.0.0.1, 10.0.0.0/8"),
    )
    tls_cert: str = _setting(
        "", "File with the certificate, and those between it and its root, as PEM; empty: no TLS."
    )
    tls_key: str = _setting("", "File with the certificate's key, as PEM; not protected.")
    shutdown_s_max: float = _setting(
        5.0,
        "How long open requests and connections may take to end once the plant is told to stop, "
        "s; then they are cut.",
        low=0.1,
        high=600,
    )
    switch_interval_ms: float = _setting(
        0.5,
        "How long a busy thread may keep another one waiting, ms; Python's own 5 ms made answers "
        "wait while rows are accepted (decision 016).",
        low=0.01,
        high=100,
    )


@dataclass(frozen=True, slots=True)
class AuthSettings:
    """Who may read and write."""

    required: bool = _setting(
        False,
        "Answer only who has a key (`tickplant keys`) or a token. Must be on, or `auth.open`, "
        "where other machines can reach the plant.",
    )
    open: bool = _setting(
        False,
        "Let other machines reach a plant that asks for no key, because something before it "
        "checks who may.",
    )
    jwt_key: str = _setting(
        "",
        "Key that JSON Web Tokens are checked with: a secret of 32 bytes or more, or a public key "
        "as PEM; `env:NAME` takes it from an environment variable. Empty: no tokens.",
        secret=True,
    )
    jwt_algorithm: str = _setting(
        "HS256",
        "The one algorithm that tokens may be signed with.",
        choices=("HS256", "HS384", "HS512", "RS256", "PS256", "ES256", "EdDSA"),
    )
    jwt_issuer: str = _setting("", "What `iss` of a token must be; needed with `auth.jwt_key`.")
    jwt_audience: str = _setting("", "What `aud` of a token must hold; needed with `auth.jwt_key`.")


_RATE = re.compile(r"\s*[1-9]\d{0,8}\s*/\s*(?:[1-9]\d{0,3}\s*)?(?:second|minute|hour|day)s?\s*")


def _is_rate(text: str) -> bool:
    return not text.strip() or _RATE.fullmatch(text) is not None


def _is_list_of_rates(text: str) -> bool:
    parts = (part.rpartition("=") for part in text.split(",") if part.strip())
    return all("/" in route and _RATE.fullmatch(rate) for route, _, rate in parts)


_RATE_FORM = Form(_is_rate, "a count and a time, such as 600/minute or 5/10 seconds; empty: none")


@dataclass(frozen=True, slots=True)
class LimitSettings:
    """How often a key, or an address where there is no key, may ask."""

    read: str = _setting("", "Most requests that read, such as `600/minute`.", form=_RATE_FORM)
    write: str = _setting("", "Most requests that write.", form=_RATE_FORM)
    admin: str = _setting("", "Most requests that change feeds and jobs.", form=_RATE_FORM)
    stream: str = _setting("", "Most WebSocket connections that are opened.", form=_RATE_FORM)
    routes: str = _setting(
        "",
        "Limits of single routes besides, with commas between, such as "
        "`/prices/latest=5/minute, POST /prices/poll=10/minute`.",
        form=Form(_is_list_of_rates, "routes with rates, such as /prices/latest=5/minute"),
    )
    callers_max: int = _setting(
        100_000,
        "Most callers whose requests are counted; then the longest idle is forgotten.",
        low=100,
    )


@dataclass(frozen=True, slots=True)
class LogSettings:
    """The journal, and the lines that tell what the plant does."""

    segment_mb: int = _setting(
        64, "Size of a preallocated segment, MiB: about a second at full rate.", low=1, high=4096
    )
    sync: str = _setting(
        "fdatasync",
        "`fdatasync`: acknowledged means on disk. `none`: only as safe as the page "
        "cache, for experiments.",
        choices=("fdatasync", "none"),
    )
    pending_mb_max: int = _setting(
        64, "Bytes that may wait for the disk before producers are held back, MiB.", low=1
    )
    ack_timeout_s: float = _setting(
        10.0, "How long a producer waits for the disk before it is told to retry, s.", low=0.1
    )
    level: str = _setting(
        "info",
        "Least level of the lines that are written.",
        choices=("debug", "info", "warning", "error", "critical"),
    )
    format: str = _setting(
        "auto",
        "Lines as JSON or for people; `auto` is for people on a terminal.",
        choices=("auto", "human", "json"),
    )
    access: bool = _setting(False, "Write a line for every request that was answered.")


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """Blocks in memory and the Parquet archive."""

    memory_mb: int = _setting(2048, "Events in memory before producers are held back, MiB.", low=16)
    block_rows: int = _setting(
        1_000_000, "Rows of a table in memory that start an archive run.", low=1_000
    )
    block_age_s: float = _setting(
        300.0, "Age of the oldest row in memory that starts an archive run, s.", low=0.1
    )
    compact_after_s: float = _setting(
        600.0, "How long a day's files rest before they are merged into one, s.", low=0.0
    )
    trades_retention_days: int = _setting(0, "Days that trades are kept; 0 for ever.", low=0)
    quotes_retention_days: int = _setting(0, "Days that quotes are kept; 0 for ever.", low=0)
    book_retention_days: int = _setting(0, "Days that order books are kept; 0 for ever.", low=0)
    stats_retention_days: int = _setting(0, "Days that statistics are kept; 0 for ever.", low=0)
    quarantine_retention_days: int = _setting(
        30, "Days that refused rows are kept; 0 for ever.", low=0
    )


@dataclass(frozen=True, slots=True)
class CheckSettings:
    """What a row must be like to be accepted."""

    strict: bool = _setting(False, "Refuse a whole body when one of its rows is bad.")
    unknown_symbols: str = _setting(
        "register",
        "What to do with a symbol that is not known yet.",
        choices=("register", "refuse"),
    )
    instruments_max: int = _setting(1_000_000, "Most instruments to register.", low=1)
    price_min: float = _setting(
        0.0, "Prices must be above this; a negative value lets negative prices in."
    )
    price_max: float = _setting(1e12, "Prices must not be above this.", low=0)
    size_max: float = _setting(1e15, "Sizes must be from 0 to this.", low=0)
    open_interest_max: float = _setting(
        1e8, "Statistics of open interest must be from 0 to this.", low=0
    )
    open_interest_venues: str = _setting(
        "DERIBIT=1e12",
        "Other such limits by venue, with commas between. Deribit counts the contracts of its "
        "inverse futures in dollars, of which there are thousands of millions.",
        form=Form(_is_by_venue, "VENUE=NUMBER, with commas between, such as DERIBIT=1e12"),
    )
    ts_event_min: str = _setting(
        "1971-01-01T00:00:00Z",
        "Earliest event time; catches seconds, milliseconds and "
        "microseconds that were sent as nanoseconds.",
        form=_TIME,
    )
    future_s_max: float = _setting(
        60.0, "How far ahead of our clock an event time may be, s.", low=0
    )


@dataclass(frozen=True, slots=True)
class PushSettings:
    """Rows that producers push over HTTP or import from files."""

    venue: str = _setting("ORIGIN", "Venue of rows that name none.", form=_VENUE)


@dataclass(frozen=True, slots=True)
class IngestSettings:
    """The socket that producers send rows over, `WS /v1/ingest`."""

    window: int = _setting(
        64, "Messages of a connection that may be under way; then nothing more is read.", low=1
    )
    frame_mb_max: int = _setting(8, "Largest message, MiB.", low=1, high=1024)
    producers_max: int = _setting(1_000, "Most connections at once.", low=1)


def _is_list_of_names(text: str) -> bool:
    return all(
        "=" in part and part.partition("=")[2].strip() for part in text.split(",") if part.strip()
    )


@dataclass(frozen=True, slots=True)
class InfluxSettings:
    """Rows that come in the line protocol of InfluxDB."""

    trades: str = _setting(
        "trades,trade,trades-*",
        "Measurements that are trades, with commas between; what `*` behind a dash stands for is "
        "the venue.",
    )
    quotes: str = _setting(
        "quotes,quote,ticker,quotes-*,ticker-*",
        "Measurements that are quotes, with commas between, likewise.",
    )
    names: str = _setting(
        "",
        "Further names of columns, such as `price=px,size=vol`: each the column, then the tag or "
        "field.",
        form=Form(_is_list_of_names, "pairs such as price=px, with commas between"),
    )
    time_field: str = _setting(
        "",
        "Field with the event time, in seconds since 1970 or as RFC 3339; it goes before the time "
        "of the line.",
    )


@dataclass(frozen=True, slots=True)
class SyntheticSettings:
    """The synthetic feed; its events are always flagged `synthetic`."""

    enabled: bool = _setting(True, "Run it when the plant is served with no other feed.")
    instruments: int = _setting(20, "Number of instruments.", low=1, high=100_000)
    rate: float = _setting(
        200.0, "Events a second, all instruments together.", low=0.01, high=10_000_000
    )
    quote_share: float = _setting(0.6, "Share of the events that are quotes.", low=0, high=1)
    volatility: float = _setting(0.4, "Annualised volatility of a price, 0.4 is 40 %.", low=0)
    seed: int = _setting(1, "Seed of the random numbers; the same seed, the same prices.")
    venue: str = _setting("SYNTH", "Venue of its instruments.", form=_VENUE)


@dataclass(frozen=True, slots=True)
class StreamSettings:
    """The WebSocket stream."""

    ring_rows: int = _setting(
        500_000, "Recent events kept for subscribers; who falls further behind is slow.", low=1_000
    )
    behind_rows: int = _setting(
        20_000,
        "Recent events that a client may be behind, by its own slowness, before it is given only "
        "the latest quotes and bars.",
        low=100,
    )
    heartbeat_s: float = _setting(5.0, "Silence after which a heartbeat is sent, s.", low=0.1)
    frame_kb_max: int = _setting(64, "Largest frame that a client may send, KiB.", low=1)
    subscriptions_max: int = _setting(1_000, "Most subscriptions of one connection.", low=1)
    subscribers_max: int = _setting(5_000, "Most connections of the stream.", low=1)


@dataclass(frozen=True, slots=True)
class CandleSettings:
    """Candles that are kept in memory, so that reading them costs no read of the store."""

    served: str = _setting(
        "1s,1m,5m,1h,1d", "Intervals that are kept, with commas between, or `none`."
    )
    kept_s: float = _setting(
        600.0,
        "Time for which an interval is kept up after somebody last asked for it, s; 0 keeps all of "
        "them up from the start, asked for or not.",
        low=0,
    )
    bases: str = _setting(
        "trade", "Bases that are kept: trade, mid, bid, ask, with commas between."
    )
    timezone: str = _setting("", "Zone of their days, as in a query; empty for UTC.")
    day_start: str = _setting("", "Start of their days, HH:MM; empty for 00:00.")
    calendar: str = _setting("", "Exchange calendar of their days, such as XNYS; empty for none.")
    session: str = _setting("", "Session of the calendar; empty for `regular`.")
    bars: int = _setting(
        1_000, "Newest bars of each instrument, interval and basis that are kept.", low=500
    )
    memory_mb: int = _setting(
        1_024,
        "Most memory for them, MiB: 136 bytes a bar, taken as bars come. Where it is short, fewer "
        "bars of each instrument are kept.",
        low=8,
    )


@dataclass(frozen=True, slots=True)
class BookSettings:
    """What is kept of the order books that feeds bring."""

    depth: int = _setting(0, "Best levels of a side that are kept; 0 keeps all.", low=0)
    interval_ms: float = _setting(
        0.0,
        "Time between the states of a book that are kept, ms; 0 keeps every update.",
        low=0,
        high=3_600_000,
    )
    anew_rows: int = _setting(
        50_000,
        "Rows after which a book is written anew as a snapshot: bounds what is read to show a book "
        "of the past.",
        low=1_000,
    )


@dataclass(frozen=True, slots=True)
class PlantSettings:
    """The flow from producer to log, store and stream."""

    inbox_rows_max: int = _setting(
        2_000_000, "Rows that may wait to be accepted before producers are held back.", low=1_000
    )
    ingestion_interval_s: float = _setting(
        10.0,
        "How often rows are expected; ingestion is dead when none became durable for three times "
        "as long, s.",
        low=0.1,
    )
    batch_rows_max: int = _setting(
        16_384, "Most rows that are accepted in one go; bounds how long a lone tick waits.", low=1
    )
    compiled: bool = _setting(
        True,
        "Read frames of feeds and bodies of JSON, and write events of the stream, by compiled code "
        "where they come in masses and the extra `tickplant[compiled]` is installed; that takes "
        "130 MiB of memory.",
    )


@dataclass(frozen=True, slots=True)
class BackpressureSettings:
    """When the plant is hard pressed, as shares of its bounds; the largest share decides."""

    warning: float = _setting(
        0.5, "Share of a bound at which batches get larger and polls rarer.", low=0.01, high=1
    )
    critical: float = _setting(
        0.75, "Share at which of live feeds' quotes only the newest are kept.", low=0.01, high=1
    )
    overload: float = _setting(
        0.95, "Share at which new rows are refused until the worst is over.", low=0.01, high=1
    )
    recover: float = _setting(
        0.8, "Part of its share below which a level is left again.", low=0.1, high=1
    )
    rise_s: float = _setting(
        1.0, "How long a share must stand before its level is reached: one burst is none, s.", low=0
    )
    fall_s: float = _setting(
        5.0, "How long it must stand lower before the level is left, s.", low=0
    )
    look_s: float = _setting(0.25, "Time between two looks, s.", low=0.01)
    ack_s_max: float = _setting(
        5.0,
        "Age of rows without a receipt that counts as a bound: half of log.ack_timeout_s, s.",
        low=0.01,
    )
    process_mb_max: int = _setting(
        0, "Resident memory that counts as a bound, MiB; 0 is the container's limit, if any.", low=0
    )
    shed_quotes: bool = _setting(
        True, "Leave quotes of live feeds out; without, they wait like all other rows."
    )


def _is_url(text: str) -> bool:
    return not text.strip() or re.fullmatch(r"https?://[^\s@]+", text.strip()) is not None


@dataclass(frozen=True, slots=True)
class TracingSettings:
    """Where the time of requests and of rows goes, told to a collector of OpenTelemetry."""

    endpoint: str = _setting(
        "",
        "Address of a collector that takes OTLP over HTTP, such as http://127.0.0.1:4318; needs "
        "the extra `tracing`. Empty: nothing is traced.",
        form=Form(_is_url, "an address of HTTP or HTTPS with a host and no user in it"),
    )
    sample: float = _setting(
        0.01,
        "Share of requests and of what feeds receive that is traced; a caller's traceparent "
        "decides for its request.",
        low=0,
        high=1,
    )
    service: str = _setting("tickplant", "Name of the service in the traces.")
    queue_max: int = _setting(
        4_096, "Spans that may wait to be sent; others are dropped, and counted.", low=1
    )
    timeout_s: float = _setting(
        5.0, "How long sending may take, and at the end what still waits, s.", low=0.1
    )


@dataclass(frozen=True, slots=True)
class CoverageSettings:
    """What the plant expects of feeds, and how far their event time has surely come."""

    stall_s: float = _setting(
        30.0,
        "Silence of a feed that sends heartbeats after which it has stalled and is started again; "
        "0 is never, s.",
        low=0,
    )
    lateness_s: float = _setting(
        0.0, "How far the watermark of a feed stays behind its highest event time, s.", low=0
    )
    alive_s: float = _setting(
        1.0, "Event time between the heartbeats of a quiet feed that are written down, s.", low=0
    )


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings."""

    data: str = _setting("./data", "The data folder.")
    server: ServerSettings = field(default_factory=ServerSettings)
    auth: AuthSettings = field(default_factory=AuthSettings)
    limits: LimitSettings = field(default_factory=LimitSettings)
    log: LogSettings = field(default_factory=LogSettings)
    store: StoreSettings = field(default_factory=StoreSettings)
    checks: CheckSettings = field(default_factory=CheckSettings)
    push: PushSettings = field(default_factory=PushSettings)
    ingest: IngestSettings = field(default_factory=IngestSettings)
    influx: InfluxSettings = field(default_factory=InfluxSettings)
    synthetic: SyntheticSettings = field(default_factory=SyntheticSettings)
    stream: StreamSettings = field(default_factory=StreamSettings)
    candles: CandleSettings = field(default_factory=CandleSettings)
    books: BookSettings = field(default_factory=BookSettings)
    plant: PlantSettings = field(default_factory=PlantSettings)
    backpressure: BackpressureSettings = field(default_factory=BackpressureSettings)
    tracing: TracingSettings = field(default_factory=TracingSettings)
    coverage: CoverageSettings = field(default_factory=CoverageSettings)
    conditions: TradeRules = field(default_factory=TradeRules)
    providers: Mapping[str, Any] = field(default_factory=dict)
    feeds: tuple[Mapping[str, Any], ...] = field(default=(), repr=False)


def _as_it_is(tree: Any) -> Any:
    """Leave a section to the room that knows it, which lies above this one."""
    return tree


def _feed_tables(tree: Any) -> tuple[Mapping[str, Any], ...]:
    """Return the tables `[[feeds]]`, which the room of the feeds knows."""
    if isinstance(tree, list) and all(isinstance(table, dict) for table in tree):
        return tuple(tree)
    old = [key for key in RENAMED if isinstance(tree, dict) and key.removeprefix("feeds.") in tree]
    if old:
        raise ConfigError(f"{old[0]}: is called {RENAMED[old[0]]} now; [[feeds]] names feeds")
    raise ConfigError(
        "feeds: is not allowed as it is; allowed is a table [[feeds]], in double brackets, for "
        "each feed"
    )


RENAMED = {f"feeds.{name}": f"coverage.{name}" for name in ("stall_s", "lateness_s", "alive_s")}
"""Settings that had other names in earlier releases."""

SECTIONS: dict[str, Callable[[Any], Any]] = {
    RULES: parse_rules,
    "providers": _as_it_is,
    "feeds": _feed_tables,
}
"""Sections whose keys a user makes up, and what reads each."""


@dataclass(frozen=True, slots=True)
class KnownSetting:
    """One setting as documentation shows it."""

    key: str
    type: type
    default: Any
    doc: str
    low: float | None
    high: float | None
    choices: tuple[str, ...]
    form: Form | None
    secret: bool = False

    @property
    def allowed(self) -> str:
        """Which values are allowed, in words."""
        if self.choices:
            return " or ".join(self.choices)
        if self.form is not None:
            return self.form.allowed
        noun = {bool: "true or false", int: "a whole number", float: "a number"}.get(self.type)
        if self.low is not None and self.high is not None:
            return f"{noun} from {_figure(self.low)} to {_figure(self.high)}"
        return noun or "a text" if self.low is None else f"{noun}, at least {_figure(self.low)}"

    @property
    def env(self) -> str:
        """The environment variable that sets it."""
        return PREFIX + self.key.replace(".", "_").upper()


@cache
def _types_of(cls: type) -> dict[str, Any]:
    """Return the types of a section's fields, which it takes long to find out."""
    return get_type_hints(cls)


def _walk(cls: type, prefix: str = "") -> Iterator[KnownSetting]:
    hints = _types_of(cls)
    for item in fields(cls):
        if item.name in SECTIONS:
            continue  # tables of the file, which no variable or flag can hold
        if is_dataclass(hints[item.name]):
            yield from _walk(hints[item.name], f"{prefix}{item.name}.")
        else:
            yield _known(item, hints[item.name], prefix)


def _known(item: Field[Any], kind: type, prefix: str) -> KnownSetting:
    assert item.default is not MISSING, item.name
    meta = item.metadata
    return KnownSetting(
        prefix + item.name,
        kind,
        item.default,
        meta["doc"],
        meta["low"],
        meta["high"],
        meta["choices"],
        meta["form"],
        meta["secret"],
    )


def _figure(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)


KNOWN: dict[str, KnownSetting] = {setting.key: setting for setting in _walk(Settings)}
"""Every setting by its dotted key, in the order of the documentation."""

_BY_ENV = {setting.env: setting.key for setting in KNOWN.values()}
_RENAMED_ENV = {
    PREFIX + old.replace(".", "_").upper(): KNOWN[new].env for old, new in RENAMED.items()
}


def load(
    *,
    file: Path | None = None,
    environ: Mapping[str, str] | None = None,
    flags: Mapping[str, Any] | None = None,
) -> Settings:
    """Return the settings from a file, then the environment, then flags; the later wins.

    `flags` are dotted keys; None values are left out. Raises `ConfigError`, which names the key,
    the value, what is allowed and, for an unknown key, the nearest known one.
    """
    values: dict[str, Any] = {}
    sections: dict[str, Any] = {}
    if file is not None:
        tree = _read_file(file)
        sections = {name: read(tree.pop(name)) for name, read in SECTIONS.items() if name in tree}
        values.update(_flatten(tree, str(file)))
    values.update(_read_environ(environ or {}))
    for key, value in (flags or {}).items():
        if value is not None:
            values[_check_key(key, "flag")] = value
    checked = {key: _check_value(KNOWN[key], value) for key, value in values.items()}
    settings = _build(Settings, checked | sections)
    assert isinstance(settings, Settings)
    return settings


def _read_file(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as fault:
        raise ConfigError(f"config: {path} cannot be read ({fault.strerror})") from fault
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as fault:
        raise ConfigError(f"config: {path} is not valid TOML ({fault})") from fault


def _flatten(tree: Mapping[str, Any], origin: str, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        key = prefix + name
        if isinstance(value, dict) and any(known.startswith(key + ".") for known in KNOWN):
            yield from _flatten(value, origin, key + ".")
        else:
            yield _check_key(key, origin), value


def _read_environ(environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for name, value in environ.items():
        if not name.startswith(PREFIX) or name == KEY_VARIABLE:
            continue
        if name in _RENAMED_ENV:
            raise ConfigError(f"{name}: is called {_RENAMED_ENV[name]} now")
        if name not in _BY_ENV:
            nearest = difflib.get_close_matches(name, _BY_ENV, n=1, cutoff=0.0)
            raise ConfigError(f"{name}: no such setting; the nearest is {nearest[0]}")
        yield _BY_ENV[name], value


def _check_key(key: str, origin: str) -> str:
    if key in KNOWN:
        return key
    if key in RENAMED:
        raise ConfigError(f"{key}: is called {RENAMED[key]} now (in {origin})")
    nearest = difflib.get_close_matches(key, [*KNOWN, *SECTION_KEYS, *SECTIONS], n=1, cutoff=0.0)
    raise ConfigError(f"{key}: no such setting (in {origin}); the nearest is {nearest[0]}")


_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off"})


def _check_value(setting: KnownSetting, value: Any) -> Any:
    converted = _convert(setting, value)
    if (
        (setting.choices and converted not in setting.choices)
        or (setting.form is not None and not setting.form.holds(converted))
        or (setting.low is not None and not converted >= setting.low)
        or (setting.high is not None and not converted <= setting.high)
    ):
        _refuse(setting, value)
    return converted


def _convert(setting: KnownSetting, value: Any) -> Any:
    """Return the value as the setting's type; what does not mean one such value is refused."""
    if setting.type is bool:
        return _boolean(setting, value)
    if setting.type is str:
        return _text(setting, value)
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        _refuse(setting, value)
    try:
        converted = setting.type(value)
        exact = not isinstance(value, float) or converted == value  # 1.5 is no whole number
    except (ValueError, OverflowError):
        return _refuse(setting, value)
    return converted if exact and math.isfinite(converted) else _refuse(setting, value)


def _boolean(setting: KnownSetting, value: Any) -> bool:
    text = str(value).lower()
    if text not in _TRUE | _FALSE:
        _refuse(setting, value)
    return text in _TRUE


def _text(setting: KnownSetting, value: Any) -> str:
    if isinstance(value, datetime) and setting.form is _TIME:  # TOML has times of its own
        return value.isoformat()
    empty = isinstance(value, str) and not value.strip() and setting.default != ""
    if not isinstance(value, str | PathLike) or empty:
        _refuse(setting, value)
    return str(value)


def _refuse(setting: KnownSetting, value: Any) -> NoReturn:
    shown = "a secret" if setting.secret else shorten(value) or "an empty text"
    raise ConfigError(f"{setting.key}: {shown} is not allowed; allowed is {setting.allowed}")


def _build(cls: type, values: Mapping[str, Any], prefix: str = "") -> Any:
    hints = _types_of(cls)
    made: dict[str, Any] = {}
    for item in fields(cls):
        key = prefix + item.name
        if is_dataclass(hints[item.name]) and key not in SECTIONS:
            made[item.name] = _build(hints[item.name], values, key + ".")
        elif key in values:
            made[item.name] = values[key]
    return cls(**made)
