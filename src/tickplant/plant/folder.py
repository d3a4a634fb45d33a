"""The data folder: who owns it, and where its parts are."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import msgspec

from tickplant.model.errors import ConfigError, FolderInUse

LOCK_FILE = "LOCK"
JOURNAL = "journal"


class FolderLock:
    """Exclusive ownership of a data folder by one process; it ends with the process.

    The file says who owns it: the process and, once it serves, its URL.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.mkdir(parents=True, exist_ok=True)
            self._file = os.open(path / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as fault:
            raise ConfigError(f"data: {path} cannot be used ({fault.strerror})") from fault
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as fault:
            os.close(self._file)
            owner = read_owner(path)
            raise FolderInUse(str(path), owner.pid, owner.url) from fault
        self.announce(None)

    def announce(self, url: str | None) -> None:
        """Write down who owns the folder and where it answers."""
        text = msgspec.json.encode(Owner(os.getpid(), url))
        os.pwrite(self._file, text, 0)
        os.ftruncate(self._file, len(text))

    def release(self) -> None:
        """Give the folder up. Idempotent."""
        if self._file >= 0:
            os.ftruncate(self._file, 0)
            os.close(self._file)
            self._file = -1


class Owner(msgspec.Struct, frozen=True):
    """Who owns a folder; both None where nobody does, `url` also while nothing is served."""

    pid: int | None = None
    url: str | None = None


def read_owner(path: Path) -> Owner:
    """Return who owns the folder now."""
    try:
        with (path / LOCK_FILE).open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError:
                return msgspec.json.decode(file.read(), type=Owner)
    except (OSError, msgspec.MsgspecError):
        pass
    return Owner()
