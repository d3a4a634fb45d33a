"""`tickplant doctor`: is the installation sound, is the data whole, does the plant answer?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tickplant.cli.common import Common, command
from tickplant.cli.process import keep_pandas_out
from tickplant.model.errors import ConfigError

if TYPE_CHECKING:
    from tickplant.cli.checkup import Finding

_COLOURS = {"ok": "32", "note": "36", "warning": "33", "wrong": "1;31"}


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    command(
        app,
        "doctor",
        panel="About",
        summary="Check an installation, its data and a running plant.",
        examples=(
            "tickplant doctor",
            "tickplant doctor --data ./market --json",
            "tickplant doctor --url http://127.0.0.1:8000",
        ),
    )(doctor)


def doctor(
    common: Common,
    quick: Annotated[
        bool, typer.Option("--quick", metavar=" ", help="Do not read the files of the archive.")
    ] = False,
) -> int:
    """Check the installation, the data folder and the plant that runs on it or answers at --url.

    Every record of the journal and every file of the archive is read and its checksum compared.
    Nothing is changed. Each finding says what is wrong and what to do. Exits with 1 where something
    is wrong.
    """
    findings = []
    for finding in _all(common, quick=quick):
        findings.append(finding)
        if not common.json:
            _print(finding)
    wrong = sum(finding.state == "wrong" for finding in findings)
    if common.json:
        from tickplant.cli.output import print_json  # noqa: PLC0415 - heavy

        print_json({"ok": not wrong, "findings": [asdict(finding) for finding in findings]})
    elif wrong:
        print(f"{wrong} {'thing is' if wrong == 1 else 'things are'} wrong")
    else:
        print("nothing is wrong")
    return 1 if wrong else 0


def _all(common: Common, *, quick: bool) -> Iterator[Finding]:
    keep_pandas_out()
    from tickplant.cli import checkup  # noqa: PLC0415 - heavy
    from tickplant.plant.folder import read_owner  # noqa: PLC0415 - heavy

    yield from checkup.check_installation()
    try:
        settings = common.settings()
    except ConfigError as fault:
        yield checkup.Finding("settings", checkup.WRONG, str(fault), "mend the setting")
        return
    url = common.url
    if url is None or common.data is not None:
        folder = Path(settings.data)
        yield from checkup.check_disk(settings)
        yield from checkup.check_folder(folder, quick=quick)
        owner = read_owner(folder).url
        url = url or (owner if isinstance(owner, str) else None)
    if url is not None:
        yield from checkup.check_plant(url, common.plant_key())


def _print(finding: Finding) -> None:
    from tickplant.cli.output import use_colour  # noqa: PLC0415 - heavy

    state = finding.state.ljust(8)
    if use_colour():
        state = f"\x1b[{_COLOURS[finding.state]}m{state}\x1b[0m"
    print(f"{state}{finding.area:<14}{finding.what}", flush=True)
    if finding.todo:
        print(f"{'':22}-> {finding.todo}")
