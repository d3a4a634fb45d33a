"""Who asks, how often, and may he: the rules, keys and limits of an application.

request ─► rule of its route ─► key or token ─► rate ─► scope ─► the route
               open: through      none: 401     429     403
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import NamedTuple

from starlette.responses import Response

from tickplant.gateway.keys.grants import OPEN, Grant
from tickplant.gateway.keys.offers import credential_of
from tickplant.gateway.keys.rates import Rates, Taken, caller_of
from tickplant.gateway.keys.ring import KeyRing
from tickplant.gateway.keys.rules import Rule, Rules
from tickplant.gateway.rest.problems import http_problem

_LOG = logging.getLogger(__name__)

LOOK_EVERY_S = 0.5
"""How soon a key that was created or revoked by another process counts, s."""

NO_KEY = (
    "a key is needed that is known, not expired and not revoked: "
    "`Authorization: Bearer KEY` or `X-API-Key: KEY`"
)


@dataclass(eq=False, slots=True)
class Connection:
    """A WebSocket that is open, and the task that serves it."""

    grant: Grant
    task: asyncio.Task[object]
    cut: bool = False


class Verdict(NamedTuple):
    """What becomes of a request: `told` are headers of its answer, whoever gives it.

    `refusal` is the answer to who may not, None for all others; `route` its template, if any.
    """

    told: list[tuple[bytes, bytes]]
    refusal: Response | None = None
    route: str = ""


_FREE = Verdict([])


class Access:
    """Rules, keys and limits of an application, and its open WebSockets; one event loop.

    `ring` None asks for no key, `rates` None limits nothing. `refused` counts: `key`, `scope`,
    `rate` and `cut`.
    """

    def __init__(
        self,
        rules: Rules,
        ring: KeyRing | None,
        rates: Rates | None,
        refused: Callable[[str], object],
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self.rules, self.ring, self.rates, self.refused = rules, ring, rates, refused
        self.connections: set[Connection] = set()
        self._sleep = sleep

    def judge(
        self,
        method: str,
        route_path: str,
        path: str,
        headers: Iterable[tuple[bytes, bytes]],
        client: tuple[str, int] | None,
    ) -> Verdict:
        """Count an HTTP request, and say what becomes of it.

        `route_path` is its path as the router sees it, `path` as its client does.
        """
        rule = self.rules.of_request(method, route_path)
        if rule.needs == OPEN:
            return _FREE
        credential = credential_of(headers)
        grant = self.find(credential)
        taken = self.take(rule, method, client, grant)
        told = [] if taken is None else _told(taken)
        if taken is not None and not taken.allowed:
            self.refused("rate")
            detail = f"more than {taken.limit} requests; try again in {taken.reset_s} s"
            return Verdict(told, http_problem(429, detail, path), rule.path)
        if fault := self.fault(rule, grant):
            reason, detail = fault
            self.refused(reason)
            said = {"WWW-Authenticate": _challenge(reason, rule, credential)}
            status = 401 if reason == "key" else 403
            return Verdict(told, http_problem(status, detail, path, said), rule.path)
        return Verdict(told)

    def find(self, credential: str | None) -> Grant | None:
        """Return what a key or a token allows, None for nothing."""
        return None if self.ring is None or credential is None else self.ring.find(credential)

    def take(
        self, rule: Rule, method: str, client: tuple[str, int] | None, grant: Grant | None
    ) -> Taken | None:
        """Count a request or a connection against its limits; a connection has no method."""
        if self.rates is None:
            return None
        return self.rates.take(rule, method, caller_of(client) if grant is None else grant.who)

    def fault(self, rule: Rule, grant: Grant | None) -> tuple[str, str] | None:
        """Return why a caller may not, as the metric and the person read it."""
        if self.ring is None:
            return None
        if grant is None:
            return "key", NO_KEY
        if not grant.may(rule.needs):
            return "scope", f"this needs a key with the scope {rule.needs}"
        return None

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """See changes of the keys for as long as the context lasts."""
        if self.ring is None:
            yield
            return
        watch = asyncio.create_task(self._watch(), name="keys")
        try:
            yield
        finally:
            watch.cancel()
            with suppress(asyncio.CancelledError):
                await watch

    async def _watch(self) -> None:
        while True:
            await self._sleep(LOOK_EVERY_S)
            try:
                await self.look()
            except Exception:
                _LOG.exception("the keys could not be looked at")

    async def look(self) -> None:
        """Take what has changed of the keys, and cut off who lost his."""
        assert self.ring is not None
        await asyncio.to_thread(self.ring.refresh)
        for connection in self.connections:
            if not connection.cut and not self.ring.stands(connection.grant):
                connection.cut = True
                connection.task.cancel()


def _challenge(reason: str, rule: Rule, credential: str | None) -> str:
    """Return what `WWW-Authenticate` says (RFC 6750, 3)."""
    said = 'Bearer realm="tickplant"'
    if reason == "scope":
        return f'{said}, error="insufficient_scope", scope="{rule.needs}"'
    return said if credential is None else f'{said}, error="invalid_token"'


def _told(taken: Taken) -> list[tuple[bytes, bytes]]:
    """Return the headers that tell what is left of a limit."""
    return [(name.lower().encode(), text.encode()) for name, text in taken.headers().items()]
