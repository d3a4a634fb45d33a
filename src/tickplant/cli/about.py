"""`tickplant version` and `tickplant bench`."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from tickplant.cli.common import Common, command
from tickplant.model.errors import UserError
from tickplant.version import VERSION

LIBRARIES = ("numpy", "pyarrow", "duckdb", "msgspec", "fastapi", "uvicorn", "websockets")


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    command(
        app,
        "bench",
        panel="About",
        takes=(),
        summary="Run the benchmarks of a checkout.",
        examples=("tickplant bench", "tickplant bench -- --help"),
    )(bench)
    command(
        app,
        "version",
        panel="About",
        takes=("json",),
        summary="Print the version.",
        examples=("tickplant version", "tickplant version --json"),
    )(version)


def version(common: Common) -> int:
    """Print the version; with --json also those of Python and of the libraries."""
    print(json.dumps(versions()) if common.json else f"tickplant {VERSION}")
    return 0


def versions() -> dict[str, str]:
    """Return the version of this program, of Python and of each library, by name."""
    from importlib import metadata  # noqa: PLC0415 - slow to import

    return {"tickplant": VERSION, "python": platform.python_version()} | {
        name: metadata.version(name) for name in LIBRARIES
    }


def bench(
    common: Common,
    options: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[-- OPTIONS]",
            show_default=False,
            help="Options of the suite; `tickplant bench -- --help` lists them.",
        ),
    ] = None,
) -> int:
    """Run the benchmarks; they are part of a checkout and not of the installed package."""
    del common
    root = Path(__file__).resolve().parents[3]
    if not (root / "bench" / "__main__.py").is_file():
        raise UserError(
            "bench: there is no benchmark suite here; run it in a checkout, `make bench`"
        )
    done = subprocess.run([sys.executable, "-m", "bench", *(options or [])], cwd=root, check=False)
    return 0 if done.returncode == 0 else 1
