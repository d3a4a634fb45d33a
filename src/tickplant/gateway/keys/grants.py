"""What a caller may do, and what a key looks like. No I/O.

A key is `tp_<id>_<secret>`: the id names it in lists and is no secret; the secret is 256 random
bits. Only the SHA-256 of the secret is kept. A slow hash, as passwords need, would buy nothing
here: what is not guessed out of 2^256 cannot be found by trying hashes either.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass

from tickplant.model.errors import InvalidParameter

READ, WRITE, ADMIN, OPEN = "read", "write", "admin", "open"
SCOPES = (READ, WRITE, ADMIN)
"""`admin` may do everything; `write` alone may not read. What is `open` needs no scope."""

SECRET_BYTES = 32
_ID_BYTES = 5
_KEY = re.compile(r"tp_([a-z0-9]{10})_([A-Za-z0-9_-]{43})\Z")


@dataclass(frozen=True, slots=True)
class Grant:
    """What a caller may do, until `expires` (nanoseconds UTC, not included; None for ever).

    `who` names the caller among the limits and in logs; it holds no secret.
    """

    who: str
    scopes: frozenset[str]
    expires: int | None = None

    def may(self, scope: str) -> bool:
        """Say whether this is enough for a scope."""
        return scope in self.scopes or ADMIN in self.scopes

    def is_valid(self, now: int) -> bool:
        """Say whether it has not expired."""
        return self.expires is None or now < self.expires


def make_key() -> tuple[str, str]:
    """Return a new key and its id."""
    number = secrets.token_hex(_ID_BYTES)
    return f"tp_{number}_{secrets.token_urlsafe(SECRET_BYTES)}", number


def split_key(text: str) -> tuple[str, str] | None:
    """Return the id of a key and the hash of its secret; None for what is no key."""
    found = _KEY.match(text)
    return None if found is None else (found[1], hash_secret(found[2]))


def hash_secret(secret: str) -> str:
    """Return what is kept of a secret."""
    return hashlib.sha256(secret.encode("ascii")).hexdigest()


def parse_scopes(texts: Iterable[str]) -> frozenset[str]:
    """Return scopes from words, also several with commas between. Raises `InvalidParameter`."""
    words = [word.strip().lower() for text in texts for word in text.split(",")]
    for word in words:
        if word not in SCOPES:
            raise InvalidParameter("--scope", word, ", ".join(SCOPES), where="option")
    return frozenset(words)
