"""`tickplant serve`: the plant, its feeds and its API in one process."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tickplant.cli.common import FOLDER, Common, check_choice, command
from tickplant.cli.process import keep_freed_memory, keep_pandas_out
from tickplant.model.collection import without_collection
from tickplant.model.errors import InvalidParameter, UserError
from tickplant.version import VERSION

if TYPE_CHECKING:
    from tickplant.config import Settings
    from tickplant.feeds.contract import Feed
    from tickplant.feeds.supervisor.configured import FeedPlan

NO_FEED = "none"
SYNTHETIC = "synthetic"
CAPTURE = "capture"
LOG_FORMATS = ("auto", "human", "json")
_FEEDS_ALLOWED = (
    "none, synthetic, synthetic:key=value,… such as synthetic:instruments=50,rate=1000,seed=7, or "
)

LogFormat = Annotated[
    str | None,
    typer.Option(
        metavar="FORMAT",
        show_default=False,
        help="auto, human or json, in place of the setting log.format; "
        "auto is human on a terminal.",
    ),
]
"""The option `--log-format`, to be given to `check_log_format`."""


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    command(
        app,
        "serve",
        panel="Run",
        takes=FOLDER,
        summary="Run a plant and its API.",
        examples=(
            "tickplant serve",
            "tickplant serve --data ./market --port 9000 --feed none",
            "tickplant serve --feed synthetic:instruments=50,rate=1000,seed=7",
            "tickplant serve --feed binance:BTC-USDT,ETH-USDT",
            'tickplant serve --feed "kraken:BTC-USD;channels=trades,quotes,book"',
        ),
    )(serve)


@without_collection()  # until the plant listens
def serve(
    common: Common,
    host: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            show_default=False,
            help="Address to listen on. Default: 127.0.0.1, this machine only.",
        ),
    ] = None,
    port: Annotated[
        str | None,
        typer.Option(
            metavar="PORT",
            show_default=False,
            help="TCP port; 0 takes any free one. Default: 8000.",
        ),
    ] = None,
    feed: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SPEC",
            show_default=False,
            help="A feed to run: VENUE:SYMBOL,… with ;channels=… and other ;key=value behind, "
            "synthetic, synthetic:key=value,…, or none; may be repeated. "
            "Default: the feeds of the configuration, or synthetic where it has none.",
        ),
    ] = None,
    log_format: LogFormat = None,
) -> int:
    """Run a plant and its API until Ctrl-C or SIGTERM.

    Takes trades and quotes over HTTP and from its feeds, makes them durable, and answers queries
    and subscriptions. The page at the URL that it prints shows what flows; /docs is the API.
    """
    keep_freed_memory()
    style = check_log_format(log_format)
    settings = common.settings({"server.host": host, "server.port": port, "log.format": style})
    plans = plan_feeds(common, settings, feed)
    venues = plan_venues(settings, feed, list(plans))
    captures = plan_captures(feed)
    keep_pandas_out()

    from tickplant.cli import server  # noqa: PLC0415 - heavy
    from tickplant.compose import (  # noqa: PLC0415 - heavy
        OpenPlant,
        build_capture,
        build_feeds,
        build_synthetic,
    )
    from tickplant.observe.logs import logs  # noqa: PLC0415 - heavy

    with (
        logs(settings.log.level, settings.log.format),
        server.open_socket(settings.server.host, settings.server.port) as bound,
    ):
        server.check_tls(settings)
        check_open(settings, loopback=server.is_loopback(bound))
        with OpenPlant(settings) as opened:
            feeds: list[Feed] = [
                build_synthetic(name, plan.synthetic) for name, plan in plans.items()
            ]
            feeds += build_feeds(opened, venues)
            for number, (paths, speed) in enumerate(captures, 1):
                books, name = settings.books, f"capture-{number}"
                feeds.append(build_capture(paths, speed=speed, name=name, books=books))
            ready = _announcer(common, settings, [feed.name for feed in feeds])
            server.serve(opened, bound, feeds, on_ready=ready)
    return 0


def check_log_format(given: str | None) -> str | None:
    """Return the value of `--log-format`; raises `InvalidParameter`."""
    return None if given is None else check_choice("--log-format", given, LOG_FORMATS)


def plan_feeds(common: Common, settings: Settings, specs: list[str] | None) -> dict[str, Settings]:
    """Return the settings of each synthetic feed by its name. Raises `InvalidParameter`."""
    if not specs:
        own = settings.synthetic.enabled and not settings.feeds
        return {SYNTHETIC: settings} if own else {}
    plans: dict[str, Settings] = {}
    for spec in specs:
        kind, colon, options = spec.partition(":")
        if kind == NO_FEED and (colon or len(specs) > 1):
            raise InvalidParameter(
                "--feed", " ".join(specs), "none by itself, or feeds", where="option"
            )
        if kind.strip().lower() == SYNTHETIC:
            name = SYNTHETIC if not plans else f"{SYNTHETIC}-{len(plans) + 1}"
            plans[name] = common.settings(dict(_feed_options(spec, options)))
    return plans


def plan_venues(settings: Settings, specs: list[str] | None, taken: list[str]) -> list[FeedPlan]:
    """Return the feeds of venues: those of the command line, or without any the configured ones.

    Raises `ConfigError` and `InvalidParameter`.
    """
    from tickplant.feeds.supervisor.configured import (  # noqa: PLC0415 - heavy
        TEXT_ALLOWED,
        parse_feed,
        read_feeds,
    )

    tables: list[Any] = [] if specs else list(settings.feeds)
    for spec in specs or ():
        kind, colon, _ = spec.partition(":")
        if kind.strip().lower() in (SYNTHETIC, CAPTURE) or (kind == NO_FEED and not colon):
            continue
        if not colon:
            allowed = f"{_FEEDS_ALLOWED}{TEXT_ALLOWED}"
            raise InvalidParameter("--feed", spec, allowed, where="option")
        tables.append(parse_feed(spec))
    return read_feeds(tables, os.environ, taken=taken)


def plan_captures(specs: list[str] | None) -> list[tuple[list[Path], float | None]]:
    """Return the files of each `capture:FILE,FILE;speed=N` and its speed."""
    from tickplant.cli.replay import parse_speed  # noqa: PLC0415 - heavy

    plans = []
    for spec in specs or ():
        kind, _, rest = spec.partition(":")
        if kind.strip().lower() != CAPTURE:
            continue
        files, _, option = rest.partition(";")
        name, _, speed = option.partition("=")
        paths = [Path(part.strip()) for part in files.split(",") if part.strip()]
        if not paths or name.strip() not in ("", "speed"):
            allowed = "capture:FILE,FILE;speed=N, where N is a number or max"
            raise InvalidParameter("--feed", spec, allowed, where="option")
        plans.append((paths, parse_speed(speed or "1")))
    return plans


def _feed_options(spec: str, options: str) -> list[tuple[str, Any]]:
    pairs = []
    for option in filter(None, map(str.strip, options.split(","))):
        key, equals, value = option.partition("=")
        if not equals:
            raise InvalidParameter("--feed", spec, _FEEDS_ALLOWED, where="option")
        pairs.append((f"synthetic.{key.strip()}", value.strip()))
    return pairs


def check_open(settings: Settings, *, loopback: bool) -> None:
    """Refuse to be open to other machines unasked; raises `UserError`, says what is to be known."""
    auth, host = settings.auth, settings.server.host
    if not auth.required and not loopback and not auth.open:
        raise UserError(
            f"--host: other machines can reach {host}, and without keys all of them could read and "
            "write everything. Ask for keys with `--set auth.required=true`; `tickplant keys "
            "create` makes one. Or say with `--set auth.open=true` that something before the plant "
            "checks who may"
        )
    if auth.required and not auth.jwt_key:
        from tickplant.gateway.keys.file import KeyFile  # noqa: PLC0415 - heavy

        if not any(key.revoked is None for key in KeyFile(Path(settings.data)).read()):
            said = "no key is valid yet, so nothing can be read or written"
            todo = f"`tickplant keys create --data {settings.data}` makes one"
            print(f"warning: {said}; {todo}", file=sys.stderr, flush=True)


def _announcer(common: Common, settings: Settings, feeds: list[str]) -> Any:
    def ready(url: str) -> None:
        if common.json:
            said = {
                "url": url,
                "pid": os.getpid(),
                "data": settings.data,
                "feeds": feeds,
                "version": VERSION,
            }
            print(json.dumps(said), flush=True)
            return
        fed = ", ".join(feeds) if feeds else "none (rows can be pushed)"
        print(f"Tickplant {VERSION}   data {settings.data}   feeds {fed}")
        print(f"{url}   Ctrl-C stops it", flush=True)

    return ready
