"""A plant for one load test: a process of its own, with a folder of its own."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tickplant.model.errors import TickplantError, UserError

STOP_S_MAX = 120.0
"""How long a plant may take to end, s: it archives what it has first."""


class OwnPlant:
    """The URL and the folder of a plant that `start_plant` has started."""

    def __init__(self, process: subprocess.Popen[str], url: str, folder: Path) -> None:
        self.url = url
        self.folder = folder
        self._process = process

    def stop(self) -> None:
        """Let it end in good order. Raises `TickplantError` where it does not. Idempotent."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            code = self._process.wait(STOP_S_MAX)
        except subprocess.TimeoutExpired:
            self._process.kill()
            raise TickplantError(f"the plant did not end within {STOP_S_MAX:g} s") from None
        if code:
            raise TickplantError(f"the plant ended with exit code {code}")


@contextmanager
def start_plant(data: str | None, options: Sequence[str] = ()) -> Iterator[OwnPlant]:
    """Yield a plant without feeds on a free port of this machine.

    On the folder `data`, which must be empty or not be there yet, or on one that is removed
    afterwards. `options` are further options of `tickplant serve`.
    """
    if data is not None:
        with _started(_empty(data), options) as plant:
            yield plant
        return
    with (
        tempfile.TemporaryDirectory(prefix="tickplant-load-") as folder,
        _started(Path(folder), options) as plant,
    ):
        yield plant


def _empty(data: str) -> Path:
    folder = Path(data)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(
            f"--data: {data} is not empty; a load test fills a folder of its own, or with --url "
            "a running plant"
        )
    return folder


@contextmanager
def _started(folder: Path, options: Sequence[str]) -> Iterator[OwnPlant]:
    serve = ["serve", "--json", "--feed", "none", "--port", "0", "--data", str(folder)]
    with (
        tempfile.TemporaryFile("w+") as said,
        subprocess.Popen(
            [sys.executable, "-m", "tickplant", *serve, *options],
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
        ) as process,
    ):
        try:
            assert process.stdout is not None
            first = process.stdout.readline()
            if not first:
                process.wait(STOP_S_MAX)
                said.seek(0)
                raise _refusal(said.read())
            yield OwnPlant(process, json.loads(first)["url"], folder)
        finally:
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(STOP_S_MAX)
                except subprocess.TimeoutExpired:
                    process.kill()


def _refusal(said: str) -> TickplantError:
    """Return what a plant that did not start said of it: a problem document, or its last line."""
    lines = said.strip().splitlines() or ["it said nothing"]
    try:
        text = str(json.loads(lines[-1])["detail"])
    except (ValueError, KeyError, TypeError):
        text = lines[-1]
    return UserError(f"the plant for the load did not start: {text}")
