"""`tickplant follow`: the reads of a running plant from a process of its own."""

from __future__ import annotations

import json
import os
from typing import Annotated

import typer

from tickplant.cli.common import FOLDER, Common, command
from tickplant.cli.process import keep_freed_memory, keep_pandas_out
from tickplant.cli.serve import LogFormat, check_log_format, check_open
from tickplant.model.collection import without_collection
from tickplant.version import VERSION


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    command(
        app,
        "follow",
        panel="Run",
        takes=FOLDER,
        summary="Serve the reads of a plant from another process.",
        examples=(
            "tickplant follow",
            "tickplant follow --data ./market --port 9001",
        ),
    )(follow)


@without_collection()  # until it listens
def follow(
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
        str,
        typer.Option(metavar="PORT", help="TCP port; 0 takes any free one."),
    ] = "8001",
    log_format: LogFormat = None,
) -> int:
    """Answer the routes that read, of the plant on the data folder, until Ctrl-C or SIGTERM.

    It follows the plant's journal: what the plant has acknowledged is in the next answer, and
    queries no longer wait while the plant accepts rows. Any number of readers may run.
    """
    keep_freed_memory()
    style = check_log_format(log_format)
    settings = common.settings({"server.host": host, "server.port": port, "log.format": style})
    keep_pandas_out()

    from tickplant.cli import server  # noqa: PLC0415 - heavy
    from tickplant.compose import open_follower  # noqa: PLC0415 - heavy
    from tickplant.observe.logs import logs  # noqa: PLC0415 - heavy

    with (
        logs(settings.log.level, settings.log.format),
        server.open_socket(settings.server.host, settings.server.port) as bound,
    ):
        server.check_tls(settings)
        check_open(settings, loopback=server.is_loopback(bound))
        follower = open_follower(settings)
        try:
            server.serve_reads(follower, bound, on_ready=lambda url: _announce(common, url))
        finally:
            follower.stop()
    return 0


def _announce(common: Common, url: str) -> None:
    if common.json:
        print(json.dumps({"url": url, "pid": os.getpid(), "version": VERSION}), flush=True)
        return
    print(f"Tickplant {VERSION} reads   {url}   Ctrl-C stops it", flush=True)
