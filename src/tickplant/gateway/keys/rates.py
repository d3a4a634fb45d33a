"""How often a caller may ask: limits of a class of routes and of single routes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from functools import lru_cache
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING

from tickplant.config import LimitSettings
from tickplant.gateway.keys.grants import ADMIN, READ, WRITE
from tickplant.gateway.keys.rules import STREAM, Rule
from tickplant.model.errors import ConfigError, NotInstalled, shorten

if TYPE_CHECKING:
    from limits import RateLimitItem
    from limits.strategies import FixedWindowRateLimiter

CLASSES = (READ, WRITE, ADMIN, STREAM)
NETWORK_BITS = 64
"""Of an IPv6 address, what its owner cannot change at will."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What counting a request found: of all limits that it is under, the nearest."""

    allowed: bool
    limit: int
    remaining: int
    reset_s: int

    def headers(self) -> dict[str, str]:
        """Return the headers that tell the caller."""
        told = {
            "RateLimit-Limit": str(self.limit),
            "RateLimit-Remaining": str(self.remaining),
            "RateLimit-Reset": str(self.reset_s),
        }
        return told if self.allowed else {**told, "Retry-After": str(self.reset_s)}


class Rates:
    """Counts requests by caller. Belongs to one event loop."""

    def __init__(
        self,
        limiter: FixedWindowRateLimiter,
        clock: Callable[[], float],
        classes: dict[str, RateLimitItem],
        routes: dict[tuple[str, str], RateLimitItem],
    ) -> None:
        self._limiter = limiter
        self._clock = clock
        self._classes = classes
        self._routes = routes

    def take(self, rule: Rule, method: str, who: str) -> Taken | None:
        """Count a request; None where no limit is for it.

        A request that is refused is counted too, but no window becomes longer by that: whoever
        waits as long as he is told is answered.
        """
        over = [(rule.rate, self._classes.get(rule.rate))]
        names = dict.fromkeys(("", method))  # a socket has no method
        over += [(f"{name} {rule.path}", self._routes.get((name, rule.path))) for name in names]
        found = [self._hit(item, what, who) for what, item in over if item is not None]
        if not found:
            return None
        spent = [one for one in found if not one.remaining]
        if all(one.allowed for one in found):
            return min(found, key=lambda one: (one.remaining, -one.reset_s))
        worst = max(spent, key=lambda one: one.reset_s)
        return Taken(False, worst.limit, 0, worst.reset_s)

    def _hit(self, item: RateLimitItem, what: str, who: str) -> Taken:
        allowed = self._limiter.hit(item, what, who)
        stats = self._limiter.get_window_stats(item, what, who)
        reset_s = max(1, math.ceil(stats.reset_time - self._clock()))
        return Taken(allowed, item.amount, stats.remaining, reset_s)


def make_rates(
    settings: LimitSettings, clock: Callable[[], float], paths: Iterable[str]
) -> Rates | None:
    """Return what counts requests; None where nothing is limited. `paths` are all templates.

    Raises `ConfigError` for a route that is not there, `NotInstalled`.
    """
    classes = {name: getattr(settings, name).strip() for name in CLASSES}
    assert {one.name for one in fields(settings)} == {*CLASSES, "routes", "callers_max"}
    routes = _parse_routes(settings.routes, set(paths))
    if not any(classes.values()) and not routes:
        return None
    try:
        import limits  # noqa: PLC0415 - an extra, and slow to import
        from limits.strategies import FixedWindowRateLimiter  # noqa: PLC0415

        from tickplant.gateway.keys.buckets import Buckets  # noqa: PLC0415
    except ModuleNotFoundError:
        raise NotInstalled("limits", "limits", "limits") from None
    return Rates(
        FixedWindowRateLimiter(Buckets(clock, settings.callers_max)),
        clock,
        {name: limits.parse(text) for name, text in classes.items() if text},
        {route: limits.parse(text) for route, text in routes.items()},
    )


def _parse_routes(text: str, paths: set[str]) -> dict[tuple[str, str], str]:
    """Return the rate of each (method or nothing, path)."""
    found: dict[tuple[str, str], str] = {}
    for part in filter(None, map(str.strip, text.split(","))):
        route, _, rate = part.rpartition("=")
        method, _, path = route.strip().rpartition(" ")
        if path not in paths:
            shown = shorten(path)
            raise ConfigError(
                f"limits.routes: {shown} is not allowed; allowed are routes as /docs shows them"
            )
        found[method.strip().upper(), path] = rate.strip()
    return found


def caller_of(client: tuple[str, int] | None) -> str:
    """Return who sent a request that carries no key: its address, of IPv6 the network."""
    return "address:" + (_network(client[0]) if client else "")


@lru_cache(4_096)
def _network(host: str) -> str:
    try:
        address = ip_address(host)
    except ValueError:
        return host
    if address.version == 4:
        return host
    mapped = address.ipv4_mapped
    return str(mapped or ip_network((int(address), NETWORK_BITS), strict=False))
