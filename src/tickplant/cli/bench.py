"""`tickplant bench`: load tests of this installation, and the benchmarks of a checkout."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tickplant.cli.common import DATA_OR_URL, Common, command, parse_count, parse_number
from tickplant.model.errors import InvalidParameter, UserError

if TYPE_CHECKING:
    from tickplant.loadtest.report import Report
    from tickplant.loadtest.scenarios import Scenario

LOAD = "load"
BASELINE = "baseline"


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    command(
        app,
        "bench",
        panel="About",
        takes=DATA_OR_URL,
        summary="Load a plant with ticks, or run the benchmarks of a checkout.",
        examples=(
            "tickplant bench load",
            "tickplant bench load scale --rate 300000 --seconds 60",
            "tickplant bench load burst --url http://127.0.0.1:8000 --json",
            "tickplant bench -- --help",
        ),
    )(bench)


def bench(
    common: Common,
    what: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="load SCENARIO",
            show_default=False,
            help="baseline (1,000 instruments), scale (5,000), burst (10,000 ticks at once), "
            "sustained (60 s) or greeks. Default: baseline. Without load, what stands here goes "
            "to the suite of a checkout; `tickplant bench -- --help` lists its options.",
        ),
    ] = None,
    rate: Annotated[
        str | None,
        typer.Option(metavar="N", show_default=False, help="Ticks a second. Default: 100000."),
    ] = None,
    seconds: Annotated[
        str | None,
        typer.Option(
            metavar="S",
            show_default=False,
            help="How long. Default: 10; sustained 60, burst 5, a burst each second.",
        ),
    ] = None,
    instruments: Annotated[
        str | None,
        typer.Option(metavar="N", show_default=False, help="Instruments. Default: the scenario's."),
    ] = None,
    batch: Annotated[
        str | None,
        typer.Option(
            metavar="N",
            show_default=False,
            help="Ticks in a message. Default: those of 10 ms; of a burst 1000.",
        ),
    ] = None,
) -> int:
    """Load a plant with ticks, or run the benchmarks of a checkout.

    `bench load` starts a plant on a temporary folder, or on an empty one that --data names, or
    takes a running one with --url, and sends ticks when they are due, however long answers take. It
    counts what was acknowledged as durable and then read back, with latencies from when each
    message was due, the plant's processor time and the slope of its memory. It ends with 1 where
    anything is missing or a limit of the scenario was not kept. The ticks have the venue LOAD; a
    running plant keeps them.
    """
    if not what or what[0] != LOAD:
        given = {"--rate": rate, "--seconds": seconds, "--instruments": instruments}
        return _run_suite(what or [], given | {"--batch": batch, "--url": common.url})
    from tickplant.loadtest.scenarios import choose  # noqa: PLC0415 - only for loads

    if len(what) > 2:
        raise InvalidParameter("SCENARIO", " ".join(what[1:]), "one of them", where="argument")
    scenario = choose(
        what[1] if len(what) == 2 else BASELINE,
        instruments=parse_count("--instruments", instruments),
        rate=parse_count("--rate", rate),
        seconds=None if seconds is None else parse_number("--seconds", seconds, low=0, whole=False),
        batch=parse_count("--batch", batch),
    )
    report = _run_load(common, scenario)
    _show(common, report)
    return 0 if report.ok else 1


def _run_suite(options: list[str], given: dict[str, Any]) -> int:
    """Run the benchmarks; they are part of a checkout and not of the installed package."""
    for name, value in given.items():
        if value is not None:
            allowed = "nothing, except with `bench load`"
            raise InvalidParameter(name, value, allowed, where="option")
    root = Path(__file__).resolve().parents[3]
    if not (root / "bench" / "__main__.py").is_file():
        raise UserError(
            "bench: there is no benchmark suite here; run it in a checkout, `make bench`. "
            "`tickplant bench load` needs none"
        )
    done = subprocess.run([sys.executable, "-m", "bench", *options], cwd=root, check=False)
    return 0 if done.returncode == 0 else 1


def _run_load(common: Common, scenario: Scenario) -> Report:
    from tickplant.loadtest.own import start_plant  # noqa: PLC0415 - only for loads
    from tickplant.loadtest.run import LoadTest  # noqa: PLC0415 - only for loads

    common.check_one_source()
    if common.url is not None:
        return LoadTest(scenario, common.url, key=common.plant_key()).run()
    common.settings()  # says what is wrong with the settings before a plant would
    options = [word for pair in common.set for word in ("--set", pair)]
    options += [] if common.config is None else ["--config", common.config]
    with start_plant(common.data, options) as plant:
        return LoadTest(scenario, plant.url, key=common.plant_key(), own=plant).run()


def _show(common: Common, report: Report) -> None:
    if common.json:
        from tickplant.cli.output import print_json  # noqa: PLC0415 - heavy

        print_json(report.as_json())
    else:
        print("\n".join(report.lines()))
