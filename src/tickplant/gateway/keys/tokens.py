"""JSON Web Tokens (RFC 7519) of one issuer, checked by PyJWT.

The algorithm is the configured one, never the token's own word for it. A token must name the
issuer, the audience and an end; its claim `scope` (RFC 8693: words with spaces between, or a list)
holds scopes of ours, other words are not looked at.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

from tickplant.config import AuthSettings
from tickplant.gateway.keys.grants import SCOPES, Grant
from tickplant.model.errors import ConfigError, NotInstalled
from tickplant.observe.redact import keep_secret

ENV = "env:"
TOKEN_CHARS_MAX = 8_192
KEPT_MAX = 4_096
NS_PER_S = 1_000_000_000
_ENDS_S_MAX = 1 << 33
_REQUIRED = ["exp", "iss", "aud"]
# Times are checked here, against the plant's own clock.
_OPTIONS = {"require": _REQUIRED, "verify_exp": False, "verify_nbf": False, "verify_iat": False}

Decode = Callable[[str], dict[str, Any]]


class Tokens:
    """Checks tokens, and remembers those that were good by their hash, as many as `KEPT_MAX`."""

    def __init__(self, decode: Decode) -> None:
        self._decode = decode
        self._kept: OrderedDict[bytes, tuple[Grant, int]] = OrderedDict()

    def find(self, token: str, now: int) -> Grant | None:
        """Return what a token allows at `now`, nanoseconds; None where it is not good."""
        if not token.isascii() or len(token) > TOKEN_CHARS_MAX:
            return None
        digest = hashlib.sha256(token.encode()).digest()
        kept = self._kept.get(digest)
        if kept is None:
            kept = self._check(token)
            if kept is None:
                return None  # not remembered: whoever tries tokens must not push good ones out
            self._kept[digest] = kept
            if len(self._kept) > KEPT_MAX:
                self._kept.popitem(last=False)
        grant, begins = kept
        return grant if begins <= now and grant.is_valid(now) else None

    def _check(self, token: str) -> tuple[Grant, int] | None:
        import jwt  # noqa: PLC0415 - an extra

        try:
            claims = self._decode(token)
        except jwt.PyJWTError:
            return None
        return _grant(claims)


def _grant(claims: Mapping[str, Any]) -> tuple[Grant, int] | None:
    """Return what claims allow and from when on, nanoseconds."""
    ends, begins = _moment(claims.get("exp")), _moment(claims.get("nbf", 0))
    if ends is None or begins is None:
        return None
    said = claims.get("scope", "")
    words = said.split() if isinstance(said, str) else said if isinstance(said, list) else ()
    scopes = frozenset(word for word in words if word in SCOPES)
    return Grant(f"token:{str(claims.get('sub', ''))[:128]}", scopes, ends), begins


def _moment(seconds: object) -> int | None:
    """Return nanoseconds of a NumericDate; None for what is none."""
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        return None
    return int(seconds * NS_PER_S) if 0 <= seconds <= _ENDS_S_MAX else None


def make_tokens(settings: AuthSettings, environ: Mapping[str, str]) -> Tokens | None:
    """Return what checks the tokens of the configured issuer; None where none is configured.

    Raises `ConfigError`, which never shows the key, and `NotInstalled`.
    """
    if not settings.jwt_key.strip():
        return None
    for name in ("jwt_issuer", "jwt_audience"):
        if not getattr(settings, name).strip():
            raise ConfigError(f"auth.{name}: must be given where auth.jwt_key is")
    try:
        import jwt  # noqa: PLC0415 - an extra
    except ModuleNotFoundError:
        raise NotInstalled("auth.jwt_key", "PyJWT", "jwt") from None
    text = _resolve(settings.jwt_key.strip(), environ)
    if "PUBLIC KEY" not in text:
        keep_secret(text)
    key = _prepare(text, settings.jwt_algorithm, jwt)

    def decode(token: str) -> dict[str, Any]:
        return jwt.decode(
            token,
            key,
            algorithms=[settings.jwt_algorithm],
            issuer=settings.jwt_issuer.strip(),
            audience=settings.jwt_audience.strip(),
            options=_OPTIONS,  # type: ignore[arg-type]
        )

    return Tokens(decode)


def _resolve(text: str, environ: Mapping[str, str]) -> str:
    if not text.startswith(ENV):
        return text
    name = text.removeprefix(ENV)
    if not environ.get(name, "").strip():
        raise ConfigError(f"auth.jwt_key: the environment variable {name} is not set")
    return environ[name].strip()


def _prepare(key: str, algorithm: str, jwt: Any) -> Any:
    """Return the key as the algorithm takes it; a bad one is found at the start, not at a token."""
    if algorithm.startswith("HS"):
        least = int(algorithm[2:]) // 8  # as long as the hash (RFC 7518, 3.2)
        if len(key.encode()) < least:
            raise ConfigError(f"auth.jwt_key: is shorter than {least} bytes, for {algorithm}")
        if "-----BEGIN" in key:  # a public key is no secret
            raise ConfigError(f"auth.jwt_key: is a PEM key, which {algorithm} does not take")
        return key
    try:
        return jwt.get_algorithm_by_name(algorithm).prepare_key(key)
    except NotImplementedError:
        raise NotInstalled("auth.jwt_algorithm", "cryptography", "jwt") from None
    except Exception:
        # Without its cause, which could quote the key.
        raise ConfigError(f"auth.jwt_key: is no public key in PEM for {algorithm}") from None
