"""What each route needs: the one list that the guard, the OpenAPI document and the tests read.

Doors say it themselves (`Door.needed`); sockets and pages stand here. What stands nowhere, because
it is not there or because somebody forgot it, needs a key all the same: to read needs `read`, any
other method `write`, a socket `admin`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from starlette.routing import compile_path

from tickplant.gateway.doors import Door
from tickplant.gateway.keys.grants import ADMIN, OPEN, READ, WRITE
from tickplant.gateway.origins import SAFE_METHODS

STREAM = "stream"
"""Class of rates of WebSocket connections."""

SOCKETS = {
    "/v1/stream": READ,
    "/v1/ingest": WRITE,
    "/ws": READ,
    "/ws/ticks": READ,
    "/ws/ohlc/minute": READ,
    "/ws/ohlc/hour": READ,
    "/ws/ohlc/day": READ,
}
_FOUND_MAX = 4_096
_KEPT_CHARS_MAX = 128


@dataclass(frozen=True, slots=True)
class Rule:
    """What a route needs. `path` is its template, or empty where it is not there."""

    path: str
    needs: str
    rate: str


_FREE = Rule("", OPEN, OPEN)


class Rules:
    """The rule of every request, by method and path as the router sees them."""

    def __init__(self, doors: Iterable[Door], pages: Iterable[str], reads: Iterable[str]) -> None:
        """Take the doors, the paths of pages, and paths of other routes that only read."""
        self._fixed: dict[tuple[str, str], Rule] = {}
        self._templates = []
        for path in pages:
            self._fixed["GET", path] = Rule(path, OPEN, OPEN)
        for path in reads:
            self._fixed["GET", path] = Rule(path, READ, READ)
        for door in doors:
            rule = Rule(door.path, door.needed, door.needed)
            if "{" in door.path:
                self._templates.append((door.method, compile_path(door.path)[0], rule))
            else:
                self._fixed[door.method, door.path] = rule
        self._kept = lru_cache(_FOUND_MAX)(self._find)

    def of_request(self, method: str, path: str) -> Rule:
        """Return the rule of an HTTP request."""
        return (
            self._kept(method, path) if len(path) <= _KEPT_CHARS_MAX else self._find(method, path)
        )

    def _find(self, method: str, path: str) -> Rule:
        if method == "OPTIONS":
            return _FREE  # it tells of methods alone, and a preflight cannot carry a key
        sought = "GET" if method == "HEAD" else method
        rule = self._fixed.get((sought, path))
        if rule is not None:
            return rule
        for known, pattern, rule in self._templates:
            if known == sought and pattern.match(path):
                return rule
        needs = READ if method in SAFE_METHODS else WRITE
        return Rule("", needs, needs)

    @staticmethod
    def of_socket(path: str) -> Rule:
        """Return the rule of a WebSocket."""
        needs = SOCKETS.get(path)
        return Rule("", ADMIN, STREAM) if needs is None else Rule(path, needs, STREAM)

    @property
    def paths(self) -> set[str]:
        """Every template there is."""
        fixed = {path for _, path in self._fixed}
        return fixed | {rule.path for _, _, rule in self._templates} | set(SOCKETS)
