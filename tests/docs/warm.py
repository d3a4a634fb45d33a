"""Commands and snippets in processes forked from one that has loaded what each of them would load.

    Warm(folder)           starts that one; the folder, for PATH, gets the two commands below
    tickplant COMMAND …    runs there, with its own working folder, variables and standard streams
    snippet CODE           the same for Python, where any warning is an error

Guides start sixty processes, and most of what each would do is to load libraries. That it works
with nothing loaded is what the README's first five minutes and the tests of the command line see.
`tickplant serve` is a process of its own here too, so that signals reach it.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import os
import select
import socket
import subprocess
import sys
import traceback
import warnings
from pathlib import Path
from typing import Self

from warm_plug import LOST, take

STOP_S = 20
COMMANDS = ("tickplant", "snippet")
COMMAND = """#!{python} -IS
import os, sys
if sys.argv[1:2] == ["serve"]:
    os.execv({python!r}, [{python!r}, "-m", "tickplant", *sys.argv[1:]])
sys.path.insert(0, {here!r})
from warm_plug import ask
sys.exit(ask({address!r}, {name!r}, sys.argv[1:]))
"""


class Warm:
    """A process to fork from. `folder` has its socket and the commands."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        self._address = str(folder / "socket")
        here = str(Path(__file__).parent)
        for name in COMMANDS:
            text = COMMAND.format(
                python=sys.executable, here=here, address=self._address, name=name
            )
            (folder / name).write_text(text)
            (folder / name).chmod(0o755)

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, __file__, self._address],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"warm\n"
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate(timeout=STOP_S)
        assert self._process.returncode == 0


def serve(address: str) -> None:
    """Load what commands load, then fork for each that asks, until the standard input ends."""
    import duckdb  # noqa: F401 - here and below, for those who are forked
    import pandas  # noqa: F401
    import pyarrow as pa

    import tickplant.cli.app
    import tickplant.cli.checkup
    import tickplant.cli.chunks
    import tickplant.cli.output
    import tickplant.library
    import tickplant.sql  # noqa: F401

    pa.scalar(0)
    gc.freeze()
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(address)
        door.listen()
        print("warm", flush=True)
        while door in select.select([sys.stdin, door], [], [])[0]:
            plug, _ = door.accept()
            with plug:
                if os.fork() == 0:
                    door.close()
                    _answer(plug)
            _bury(os.WNOHANG)
    _bury(0)


def _bury(options: int) -> None:
    """Take leave of those who have ended, or with 0 of all."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, options)[0]:
            pass


def _answer(plug: socket.socket) -> None:
    """Do what is asked as a process of its own would, tell how it ended, and end."""
    code = LOST
    try:
        (name, args, env, folder), streams = take(plug)
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(env)
        sys.path.insert(0, folder)
        code = _run(name, args)
        atexit._run_exitfuncs()
        sys.stdout.flush()
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        plug.sendall(bytes([code]))
        os._exit(code)


def _run(name: str, args: list[str]) -> int:
    sys.argv = [name, *args]
    try:
        if name == "snippet":
            warnings.simplefilter("error")
            exec(compile(args[0], "<string>", "exec"), {"__name__": "__main__"})
            return 0
        from tickplant.cli import main

        return main()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except Exception:
        traceback.print_exc()
        return 1


if __name__ == "__main__":
    serve(sys.argv[1])
    os._exit(0)  # at once: a binding of DuckDB would tell of what it has not taken apart
