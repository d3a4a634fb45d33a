"""`tickplant capture`: the raw frames of a feed into files, without a plant."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tickplant.cli.common import Common, command, parse_number
from tickplant.model.errors import InvalidParameter, TickplantError

if TYPE_CHECKING:
    from tickplant.feeds.capture.writer import CaptureWriter
    from tickplant.feeds.supervisor.configured import FeedPlan

_UNITS = {"s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}
_SPAN = re.compile(r"(\d+(?:\.\d+)?)\s*([smhd]?)\Z")


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    command(
        app,
        "capture",
        panel="Run",
        takes=("json",),
        summary="Record the raw frames of a feed.",
        examples=(
            "tickplant capture --feed binance:BTC-USDT --out ./frames --for 60s",
            "tickplant replay --capture ./frames/binance-20261121T100000.000000Z-0001.capture.gz",
        ),
    )(capture)


def capture(
    common: Common,
    feed: Annotated[
        str,
        typer.Option(metavar="SPEC", help="The feed, as in serve: binance:BTC-USDT,ETH-USDT;…"),
    ],
    out: Annotated[
        str, typer.Option(metavar="FOLDER", help="Where the files go; it is made.")
    ] = "./captures",
    span: Annotated[
        str | None,
        typer.Option(
            "--for",
            metavar="TIME",
            show_default=False,
            help="How long: 60s, 5m, 2h. Default: until Ctrl-C.",
        ),
    ] = None,
    file_mb: Annotated[
        str, typer.Option(metavar="MB", help="Size at which a new file is begun, packed.")
    ] = "64",
    total_mb: Annotated[
        str, typer.Option(metavar="MB", help="How much of the feed is kept; the oldest goes first.")
    ] = "4096",
) -> int:
    """Record what goes over the wire of a feed, without a plant.

    The files hold frames and answers as they came, and no secret: no accounts, no headers, no
    queries of addresses, and not what was sent to sign in. `tickplant replay --capture` plays them.
    """
    seconds = None if span is None else parse_span(span)
    limits = (
        parse_number("--file-mb", file_mb, low=0.001, whole=False),
        parse_number("--total-mb", total_mb, low=0.001, whole=False),
    )

    from tickplant.feeds.supervisor.configured import parse_feed, read_feeds  # noqa: PLC0415

    (plan,) = read_feeds([parse_feed(feed)], os.environ)
    if not common.json:
        print(f"capturing {plan.name} into {out}   Ctrl-C stops it", flush=True)
    done = _run(plan, Path(out), seconds, limits)
    if common.json:
        print(json.dumps(done))
    else:
        files = "\n".join(done["files"])
        print(f"kept {done['records']:,} records of {done['rows']:,} rows\n{files}", flush=True)
    return 0


def parse_span(text: str) -> float:
    """Return a time such as 60s, 5m, 2h in seconds. Raises `InvalidParameter`."""
    match = _SPAN.match(text.strip())
    seconds = float(match[1]) * _UNITS[match[2] or "s"] if match else 0.0
    if not 0 < seconds <= 1e9:
        raise InvalidParameter("--for", text, "a time such as 60s, 5m or 2h", where="option")
    return seconds


def _run(
    plan: FeedPlan, folder: Path, seconds: float | None, limits: tuple[float, float]
) -> dict[str, Any]:
    import asyncio  # noqa: PLC0415 - heavy
    import time  # noqa: PLC0415

    from tickplant.feeds.capture.alone import Nobody, header_of, run_for  # noqa: PLC0415
    from tickplant.feeds.capture.writer import CaptureWriter, Limits  # noqa: PLC0415
    from tickplant.feeds.supervisor.feed import VenueFeed, World  # noqa: PLC0415
    from tickplant.feeds.venues.catalogue import make_venue  # noqa: PLC0415

    venue = make_venue(plan.venue.name, plan.options)
    header = header_of(plan.name, plan.venue.name, plan.streams, plan.options)
    kept = Limits(file_mb_max=limits[0], total_mb_max=limits[1])
    tap = CaptureWriter(folder, header, clock=time.time_ns, limits=kept)
    sink = Nobody()

    async def run() -> None:
        world = World(time.time_ns, tap=tap)
        feed = VenueFeed(plan.name, venue, plan.streams, world, plan.channels)
        await run_for(feed, sink, seconds)

    try:
        asyncio.run(run())
    except KeyboardInterrupt:
        pass  # that is how it is ended
    finally:
        tap.close()
    return _done(tap, sink.rows)


def _done(tap: CaptureWriter, rows: int) -> dict[str, Any]:
    if tap.failed is not None:
        raise TickplantError(f"the capture ended early: {tap.failed}")
    return {
        "files": [str(path) for path in tap.paths],
        "records": tap.records,
        "dropped": tap.dropped,
        "rows": rows,
    }
