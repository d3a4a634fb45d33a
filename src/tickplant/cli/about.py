"""`tickplant version`."""

from __future__ import annotations

import json
import platform

import typer

from tickplant.cli.common import Common, command
from tickplant.version import VERSION

LIBRARIES = ("numpy", "pyarrow", "duckdb", "msgspec", "starlette", "uvicorn", "websockets")


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
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
