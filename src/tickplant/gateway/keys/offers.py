"""Where a caller may put a key: in a header, or among the subprotocols of a WebSocket.

A browser cannot set headers of a WebSocket, so it offers `tickplant.key.<key>`. It wants one of
what it offers to be chosen, and that should be another one: `msgpack`, or `tickplant`, which stands
for the usual JSON. Never in a URL, which ends up in logs and histories.
"""

from __future__ import annotations

from collections.abc import Iterable

from starlette.types import Scope

PREFIX = "tickplant.key."
PLAIN = "tickplant"
CREDENTIAL_BYTES_MAX = 16_384
_SCHEMES = frozenset({"bearer", "token"})  # the second is what collectors of InfluxDB say


def credential_of(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """Return the key or token of a request's headers; `Authorization` goes before `X-API-Key`."""
    found = None
    for name, value in headers:
        if len(value) > CREDENTIAL_BYTES_MAX:
            continue
        if name == b"authorization":
            scheme, _, credential = value.decode("latin-1").strip().partition(" ")
            if scheme.lower() in _SCHEMES:
                return credential.strip()
        elif name == b"x-api-key":
            found = value.decode("latin-1").strip()
    return found


def offered(scope: Scope) -> tuple[list[str], str | None]:
    """Take the key out of what a WebSocket offers; return the other names, and the key."""
    names = [name for name in scope.get("subprotocols", ()) if not name.startswith(PREFIX)]
    keys = [name for name in scope.get("subprotocols", ()) if name.startswith(PREFIX)]
    scope["subprotocols"] = names
    return names, keys[0].removeprefix(PREFIX) if keys else None


def chosen(names: list[str], key: str | None) -> str:
    """Return the subprotocol to accept with where the application chooses none."""
    return PLAIN if PLAIN in names else f"{PREFIX}{key}"
