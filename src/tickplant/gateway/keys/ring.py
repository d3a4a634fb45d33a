"""The keys in memory: a request is a look in a dictionary, and the file is read when it changed.

A file that cannot be read any more opens nothing: no key is valid until it can.
"""

from __future__ import annotations

import hmac
import logging
from collections.abc import Callable

from tickplant.gateway.keys.file import KeyFile, Stamp, StoredKey
from tickplant.gateway.keys.grants import Grant, split_key
from tickplant.gateway.keys.tokens import Tokens
from tickplant.model.errors import ConfigError

_LOG = logging.getLogger(__name__)


class KeyRing:
    """Who has which key. `clock` gives nanoseconds; belongs to one event loop.

    Raises `ConfigError` for a file that is damaged from the start.
    """

    def __init__(self, file: KeyFile, tokens: Tokens | None, clock: Callable[[], int]) -> None:
        self._file = file
        self._tokens = tokens
        self._clock = clock
        self._stamp: Stamp = file.stamp()
        self._keys = _valid(file.read())

    def __len__(self) -> int:
        return len(self._keys)

    def find(self, credential: str) -> Grant | None:
        """Return what a key or a token allows now; None where it allows nothing at all."""
        parts = split_key(credential)
        now = self._clock()
        if parts is None:
            return None if self._tokens is None else self._tokens.find(credential, now)
        kept = self._keys.get(parts[0])
        if kept is None or not hmac.compare_digest(kept[0], parts[1]):
            return None
        return kept[1] if kept[1].is_valid(now) else None

    def stands(self, grant: Grant) -> bool:
        """Say whether what was granted once still holds: neither expired nor revoked."""
        if not grant.is_valid(self._clock()):
            return False
        kind, _, number = grant.who.partition(":")
        return kind != "key" or number in self._keys

    def refresh(self) -> bool:
        """Read the file again where it was replaced, and say whether it was; blocks for the disk.

        May be called from another thread than `find`, by one at a time.
        """
        try:
            stamp = self._file.stamp()
            if stamp == self._stamp:
                return False
            self._keys = _valid(self._file.read())
        except (ConfigError, OSError) as fault:
            if self._keys:
                _LOG.error("no key is valid any more: %s", fault)
            self._keys = {}
            return True
        self._stamp = stamp
        return True


def _valid(keys: list[StoredKey]) -> dict[str, tuple[str, Grant]]:
    return {key.id: (key.hash, key.grant()) for key in keys if key.revoked is None}
