"""The data folder: who owns it, and where its parts are."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path

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
            raise FolderInUse(str(path), owner.get("pid"), owner.get("url")) from fault
        self.announce(None)

    def announce(self, url: str | None) -> None:
        """Write down who owns the folder and where it answers."""
        text = json.dumps({"pid": os.getpid(), "url": url}).encode()
        os.pwrite(self._file, text, 0)
        os.ftruncate(self._file, len(text))

    def release(self) -> None:
        """Give the folder up. Idempotent."""
        if self._file >= 0:
            os.ftruncate(self._file, 0)
            os.close(self._file)
            self._file = -1


def read_owner(path: Path) -> dict[str, object] | dict[str, int | str | None]:
    """Return {pid, url} of the process that owns the folder; empty where nobody does."""
    try:
        with (path / LOCK_FILE).open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError:
                owner = json.loads(file.read() or b"{}")
                return owner if isinstance(owner, dict) else {}
            return {}
    except (OSError, ValueError):
        return {}
