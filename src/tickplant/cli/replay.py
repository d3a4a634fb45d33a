"""`tickplant replay`: what is stored, played back through a stream of its own."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tickplant.cli.common import FOLDER, Common, command, parse_number
from tickplant.cli.process import keep_pandas_out
from tickplant.model.errors import InvalidParameter

if TYPE_CHECKING:
    from tickplant.config import Settings
    from tickplant.feeds.capture.replay import CaptureFeed
    from tickplant.feeds.contract import Clock
    from tickplant.feeds.replay import ReplayFeed
    from tickplant.feeds.runner import FeedRunner
    from tickplant.plant.history import History

    MakeFeed = Callable[[Clock, Callable[[], int]], ReplayFeed | CaptureFeed]

MAX = "max"
WAIT_EVERY_S = 0.05


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    command(
        app,
        "replay",
        panel="Run",
        takes=FOLDER,
        summary="Play stored events back through a stream.",
        examples=(
            "tickplant replay ticks.csv.gz --speed 10 --wait",
            "tickplant replay --start 2014-05-07T08:00:00Z --end 2014-05-07T09:00:00Z",
            "tickplant replay --capture kraken-20261121T100000.000000Z-0001.capture.gz --speed max",
            "tickplant tail trades --url http://127.0.0.1:8001",
        ),
    )(replay)


def replay(
    common: Common,
    files: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[FILE]...",
            show_default=False,
            help="Files to play, read as `import` reads them. Default: the data folder.",
        ),
    ] = None,
    capture: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE",
            show_default=False,
            help="Play a file that `capture` has kept, through the venue's parser; may be "
            "repeated, in the order of the files.",
        ),
    ] = None,
    start: Annotated[
        str | None, typer.Option(metavar="TIME", show_default=False, help="First event time.")
    ] = None,
    end: Annotated[
        str | None, typer.Option(metavar="TIME", show_default=False, help="Time after the last.")
    ] = None,
    symbol: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SYMBOL",
            show_default=False,
            help="Play only this instrument; may be repeated.",
        ),
    ] = None,
    speed: Annotated[
        str,
        typer.Option(metavar="N", help="Seconds of events a second, or max: as fast as it goes."),
    ] = "1",
    wait: Annotated[
        bool,
        typer.Option(
            "--wait", metavar=" ", help="Begin when the first subscriber of the stream is there."
        ),
    ] = False,
    loop: Annotated[
        bool, typer.Option("--loop", metavar=" ", help="Begin again at the end.")
    ] = False,
    linger: Annotated[
        str, typer.Option(metavar="S", help="How long to serve on after the end, s.")
    ] = "2",
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="Address to listen on.")] = (
        "127.0.0.1"
    ),
    port: Annotated[str, typer.Option(metavar="PORT", help="TCP port; 0 any free one.")] = "8001",
) -> int:
    """Play stored trades, quotes, books and statistics through a stream, at their own pace.

    A plant on a temporary folder takes the events again and serves them with all routes; the data
    folder is only read, and may be in use. Events keep their times, ids and flags; sequence numbers
    are new. Trades are played as they stand, corrections and cancels applied; books from a whole
    one on, which is sent first where the range begins amid it.
    """
    pace = parse_speed(speed)
    if capture:
        if files or start or end or symbol or wait or loop:
            allowed = "captures alone, with --speed and --linger"
            raise InvalidParameter("--capture", capture[0], allowed, where="option")
        linger_s = parse_number("--linger", linger, low=0, whole=False)
        settings = common.settings({"server.host": host, "server.port": port})
        return _replay_captures(common, settings, capture, pace, linger_s)
    linger_s = parse_number("--linger", linger, low=0, whole=False)

    from tickplant.model.times import parse_time  # noqa: PLC0415 - heavy

    low = None if start is None else parse_time(start, "--start", where="option")
    high = None if end is None else parse_time(end, "--end", where="option")
    settings = common.settings({"server.host": host, "server.port": port})

    import asyncio  # noqa: PLC0415 - heavy
    import tempfile  # noqa: PLC0415 - heavy

    keep_pandas_out()
    from tickplant.feeds.replay import ReplayFeed  # noqa: PLC0415 - heavy

    _check_range(low, high)
    with (
        tempfile.TemporaryDirectory(prefix="tickplant-replay-") as temporary,
        _opened(settings, files or [], Path(temporary) / "files") as history,
    ):
        numbers = [history.registry.resolve(one).number for one in symbol or ()] or None

        def make(clock: Clock, subscribers: Callable[[], int]) -> ReplayFeed:
            return ReplayFeed(
                history,
                clock=clock,
                sleep=asyncio.sleep,
                speed=pace,
                numbers=numbers,
                start=low,
                end=high,
                loop=loop,
                wait=_waiter(subscribers) if wait else None,
            )

        _serve(common, _moved(settings, Path(temporary) / "plant"), make, linger_s)
    return 0


def _replay_captures(
    common: Common, settings: Settings, files: list[str], speed: float | None, linger_s: float
) -> int:
    """Play captures into a plant on a temporary folder."""
    import tempfile  # noqa: PLC0415 - heavy

    keep_pandas_out()
    from tickplant.compose import build_capture  # noqa: PLC0415 - heavy

    def make(clock: Clock, subscribers: Callable[[], int]) -> CaptureFeed:
        del subscribers
        paths = [Path(file) for file in files]
        return build_capture(paths, clock=clock, speed=speed, books=settings.books)

    with tempfile.TemporaryDirectory(prefix="tickplant-replay-") as temporary:
        _serve(common, _moved(settings, Path(temporary) / "plant"), make, linger_s)
    return 0


def parse_speed(text: str) -> float | None:
    """Return seconds of events a second, None for `max`. Raises `InvalidParameter`."""
    if text.strip().lower() == MAX:
        return None
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not 0.0 < speed <= 1e9:
        raise InvalidParameter("--speed", text, "a number above 0, or max", where="option")
    return speed


def _check_range(low: int | None, high: int | None) -> None:
    if low is not None and high is not None and high <= low:
        raise InvalidParameter("--end", high, "a time after --start", where="option")


@contextmanager
def _opened(settings: Settings, files: list[str], temporary: Path) -> Iterator[History]:
    """Open what is to be played: files, by way of a folder of their own, or the data folder."""
    from tickplant.compose import OpenPlant  # noqa: PLC0415 - heavy
    from tickplant.feeds.files import import_files  # noqa: PLC0415 - heavy
    from tickplant.library import open_data  # noqa: PLC0415 - heavy

    folder = Path(settings.data)
    if files:
        folder = temporary
        with OpenPlant(replace(settings, data=str(folder))) as opened:
            import_files(files, sink=opened.plant, venue=settings.push.venue, flags=0)
    with open_data(folder) as data:
        yield data.history


def _waiter(subscribers: Callable[[], int]) -> Callable[[], Awaitable[None]]:
    import asyncio  # noqa: PLC0415 - heavy

    async def wait() -> None:
        while not subscribers():  # noqa: ASYNC110 - the hub has no bell for a new listener
            await asyncio.sleep(WAIT_EVERY_S)

    return wait


def _moved(settings: Settings, folder: Path) -> Settings:
    """Return the settings of a plant on a folder of its own, for which the same keys are good."""
    if settings.auth.required:
        from tickplant.gateway.keys.file import KeyFile  # noqa: PLC0415 - heavy

        folder.mkdir()
        KeyFile(folder).path.symlink_to(KeyFile(Path(settings.data).absolute()).path)
    return replace(settings, data=str(folder))


def _serve(common: Common, settings: Settings, make: MakeFeed, linger_s: float) -> None:
    import asyncio  # noqa: PLC0415 - heavy

    from tickplant.cli import server  # noqa: PLC0415 - heavy
    from tickplant.cli.serve import check_open  # noqa: PLC0415 - heavy
    from tickplant.compose import OpenPlant  # noqa: PLC0415 - heavy
    from tickplant.observe.logs import logs  # noqa: PLC0415 - heavy

    with (
        logs("warning", settings.log.format),
        server.open_socket(settings.server.host, settings.server.port) as bound,
    ):
        check_open(settings, loopback=server.is_loopback(bound))
        with OpenPlant(settings) as opened:
            plant = opened.plant
            feed = make(plant.clock, lambda: plant.hub.status().listeners)

            async def until(runner: FeedRunner) -> None:
                del runner
                await feed.done.wait()
                await asyncio.sleep(linger_s)

            def ready(url: str) -> None:
                said = {"url": url} if common.json else f"{url}   Ctrl-C stops it"
                print(json.dumps(said) if common.json else said, flush=True)

            server.serve(opened, bound, [feed], on_ready=ready, until=until)
            done = {"rows": feed.rows, "passes": feed.passes, "seq_last": plant.seq_last}
    print(json.dumps(done) if common.json else f"played {feed.rows:,} events", flush=True)
