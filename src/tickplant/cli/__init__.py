"""The command line. `main` is what the command `tickplant` runs.

    __init__ ─► run (errors to sentences and exit codes) ─► app (the commands and their help)
    common   what every command takes: the data folder or a URL, settings, --json
    output   tables, rows and progress for people and for machines
    serve, load, read, tail, replay, doctor, bench, about   the commands, one file a group

Heavy libraries are imported where a command needs them, so that `--help` answers at once.
"""

from __future__ import annotations

from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    0 it worked; 1 something failed that the caller did not cause; 2 the caller can mend it.
    """
    from tickplant.cli.run import run_command  # noqa: PLC0415 - keeps `import tickplant.cli` light

    return run_command(argv)
