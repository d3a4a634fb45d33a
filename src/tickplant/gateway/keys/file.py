"""The keys of a data folder, on disk: `keys.json`, which only its owner can read.

    keys create/revoke ─► lock keys.lock ─► read, change, write beside, sync, rename ─► keys.json
    plant, readers     ─► look twice a second whether it was replaced ─► read

So several processes may change keys at once, nobody ever reads half a file, and a crash leaves the
old one or the new one.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from tickplant.gateway.keys.grants import Grant, make_key, split_key
from tickplant.model.errors import ConfigError, Conflict, NotFound, shorten

FILE = "keys.json"
LOCK = "keys.lock"
KEYS_MAX = 10_000
_MODE = 0o600
_VERSION = 1


class StoredKey(msgspec.Struct, frozen=True):
    """A key as it is kept. Times are nanoseconds UTC; `hash` is the SHA-256 of the secret."""

    id: str
    hash: str
    scopes: tuple[str, ...]
    created: int
    name: str = ""
    expires: int | None = None
    revoked: int | None = None

    def grant(self) -> Grant:
        """Return what it allows."""
        return Grant(f"key:{self.id}", frozenset(self.scopes), self.expires)

    def state(self, now: int) -> str:
        """Return `active`, `expired` or `revoked`."""
        if self.revoked is not None:
            return "revoked"
        return "active" if self.grant().is_valid(now) else "expired"


class _Stored(msgspec.Struct):
    version: int
    keys: list[StoredKey]


Stamp = tuple[int, int, int] | None
"""What changes when the file is replaced; None where there is none."""


class KeyFile:
    """The keys of a folder. Any thread, any number of processes; blocks for the disk."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.path = folder / FILE

    def stamp(self) -> Stamp:
        """Return what tells this file from the one before it. Raises `OSError`."""
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size

    def read(self) -> list[StoredKey]:
        """Return all keys, in the order of creation.

        Raises `ConfigError` for a file that is none, because no key at all is not what it says.
        """
        try:
            stored = msgspec.json.decode(self.path.read_bytes(), type=_Stored)
        except FileNotFoundError:
            return []
        except OSError as fault:
            raise ConfigError(f"keys: {self.path} cannot be read ({fault.strerror})") from fault
        except (msgspec.MsgspecError, UnicodeDecodeError):
            # Without its cause, which could quote what stands there.
            raise ConfigError(f"keys: {self.path} is no file of keys") from None
        if stored.version != _VERSION:
            raise ConfigError(f"keys: {self.path} has version {stored.version}, not {_VERSION}")
        return stored.keys

    def create(
        self, scopes: Sequence[str], *, now: int, name: str = "", expires: int | None = None
    ) -> tuple[str, StoredKey]:
        """Add a key; return it, which is never to be had again, and what is kept of it."""
        key, number = make_key()
        parts = split_key(key)
        assert parts is not None
        made = StoredKey(number, parts[1], tuple(scopes), now, name, expires)
        with self._changing() as keys:
            if len(keys) >= KEYS_MAX:
                raise Conflict(f"keys: a folder holds {KEYS_MAX:,} keys, revoked ones included")
            keys.append(made)
        return key, made

    def revoke(self, number: str, *, now: int) -> StoredKey:
        """Make a key worthless for ever; it stays in the list. Raises `NotFound`."""
        with self._changing() as keys:
            for place, key in enumerate(keys):
                if key.id == number:
                    if key.revoked is None:
                        keys[place] = msgspec.structs.replace(key, revoked=now)
                    return keys[place]
            # Not shown whole, because somebody may have given the key itself.
            raise NotFound(f"keys: no key has the id {shorten(number, 12)}; list shows them")

    @contextmanager
    def _changing(self) -> Iterator[list[StoredKey]]:
        """Give the keys to be changed, and write them where nothing was raised."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            lock = os.open(self._folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _MODE)
        except OSError as fault:
            raise ConfigError(f"keys: {self._folder} cannot be used ({fault.strerror})") from fault
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            keys = self.read()
            yield keys
            self._write(keys)
        finally:
            os.close(lock)

    def _write(self, keys: list[StoredKey]) -> None:
        beside = self.path.with_suffix(".new")
        beside.unlink(missing_ok=True)  # what a crash left, whose mode could be another
        new = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _MODE)
        with os.fdopen(new, "wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(_Stored(_VERSION, keys)), indent=1))
            file.flush()
            os.fsync(file.fileno())
        beside.replace(self.path)
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)  # a revocation must not be undone by a crash
        finally:
            os.close(folder)
