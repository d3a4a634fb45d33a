"""The guard before every route: who asks, how often, and may he?

    request ─► rule of its route ─► key or token ─► rate ─► scope ─► the route
                   open: through      none: 401     429     403

It is there only where keys are required or something is limited.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from starlette._utils import get_route_path
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tickplant.gateway.doors import MARK
from tickplant.gateway.keys.grants import OPEN, Grant
from tickplant.gateway.keys.offers import chosen, credential_of, offered
from tickplant.gateway.keys.rates import Rates, Taken, caller_of
from tickplant.gateway.keys.ring import KeyRing
from tickplant.gateway.keys.rules import Rule, Rules
from tickplant.gateway.rest.problems import http_problem
from tickplant.gateway.stream.routes import STALLED

_LOG = logging.getLogger(__name__)

POLICY, TRY_LATER = 1008, 1013
LOOK_EVERY_S = 0.5
"""How soon a key that was created or revoked by another process counts, s."""

CLOSE_S_MAX = 5.0
NO_KEY = (
    "a key is needed that is known, not expired and not revoked: "
    "`Authorization: Bearer KEY` or `X-API-Key: KEY`"
)


@dataclass(eq=False, slots=True)
class _Connection:
    """A WebSocket that is open, and the task that serves it."""

    grant: Grant
    task: asyncio.Task[object]
    cut: bool = False


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
        self.connections: set[_Connection] = set()
        self._sleep = sleep

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


class KeyGuard:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] == "http":
            await self._request(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._socket(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _find(self, credential: str | None) -> Grant | None:
        ring = self._access.ring
        return None if ring is None or credential is None else ring.find(credential)

    def _take(self, rule: Rule, scope: Scope, grant: Grant | None) -> Taken | None:
        rates = self._access.rates
        if rates is None:
            return None
        who = caller_of(scope) if grant is None else grant.who
        return rates.take(rule, scope.get("method", ""), who)

    def _fault(self, rule: Rule, grant: Grant | None) -> tuple[str, str] | None:
        """Return why a caller may not, as the metric and the person read it."""
        if self._access.ring is None:
            return None
        if grant is None:
            return "key", NO_KEY
        if not grant.may(rule.needs):
            return "scope", f"this needs a key with the scope {rule.needs}"
        return None

    async def _request(self, scope: Scope, receive: Receive, send: Send) -> None:
        access = self._access
        rule = access.rules.of_request(scope["method"], get_route_path(scope))
        if rule.needs == OPEN:
            await self._app(scope, receive, send)
            return
        credential = credential_of(scope["headers"])
        grant = self._find(credential)
        taken = self._take(rule, scope, grant)
        path = scope["path"]
        if taken is not None:
            send = _telling(send, taken)
        if taken is not None and not taken.allowed:
            access.refused("rate")
            detail = f"more than {taken.limit} requests; try again in {taken.reset_s} s"
            answer = http_problem(429, detail, path)
        elif fault := self._fault(rule, grant):
            reason, detail = fault
            access.refused(reason)
            said = _challenge(reason, rule, credential)
            status = 401 if reason == "key" else 403
            answer = http_problem(status, detail, path, {"WWW-Authenticate": said})
        else:
            await self._app(scope, receive, send)
            return
        if rule.path:
            scope[MARK].route = rule.path
        await answer(scope, receive, send)

    async def _socket(self, scope: Scope, receive: Receive, send: Send) -> None:
        access = self._access
        rule = access.rules.of_socket(get_route_path(scope))
        names, key = offered(scope)
        send = _choosing(send, chosen(names, key)) if key is not None else send
        grant = self._find(credential_of(scope["headers"]) or key)
        taken = self._take(rule, scope, grant)
        if taken is not None and not taken.allowed:
            access.refused("rate")
            reason = f"more than {taken.limit} connections; try again in {taken.reset_s} s"
            await _refuse(receive, send, TRY_LATER, reason)
        elif fault := self._fault(rule, grant):
            access.refused(fault[0])
            await _refuse(receive, send, POLICY, fault[1])
        elif grant is None:
            await self._app(scope, receive, send)
        else:
            await self._serve(grant, scope, receive, send)

    async def _serve(self, grant: Grant, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a WebSocket for as long as its key stands."""
        task = asyncio.current_task()
        assert task is not None
        connection = _Connection(grant, task)
        self._access.connections.add(connection)
        try:
            await self._app(scope, receive, send)
        except asyncio.CancelledError:
            if not connection.cut:
                raise
            task.uncancel()
        finally:
            self._access.connections.discard(connection)
        if connection.cut:
            self._access.refused("cut")
            try:
                async with asyncio.timeout(CLOSE_S_MAX):
                    await _close(send, POLICY, "the key has expired or was revoked")
            except TimeoutError:
                scope[STALLED] = True  # it reads nothing, not even that it must go


def _challenge(reason: str, rule: Rule, credential: str | None) -> str:
    """Return what `WWW-Authenticate` says (RFC 6750, 3)."""
    said = 'Bearer realm="tickplant"'
    if reason == "scope":
        return f'{said}, error="insufficient_scope", scope="{rule.needs}"'
    return said if credential is None else f'{said}, error="invalid_token"'


def _telling(send: Send, taken: Taken) -> Send:
    """Return a `send` that adds what is left of a limit."""
    told = [(name.lower().encode(), text.encode()) for name, text in taken.headers().items()]

    async def send_told(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), *told]}
        await send(message)

    return send_told


def _choosing(send: Send, subprotocol: str) -> Send:
    """Return a `send` that accepts with a subprotocol where the application chose none."""

    async def send_chosen(message: Message) -> None:
        if message["type"] == "websocket.accept" and not message.get("subprotocol"):
            message = {**message, "subprotocol": subprotocol}
        await send(message)

    return send_chosen


async def _refuse(receive: Receive, send: Send, code: int, reason: str) -> None:
    """Accept a WebSocket and close it, since only so a browser learns the code."""
    await receive()
    await send({"type": "websocket.accept", "subprotocol": None, "headers": []})
    await _close(send, code, reason)


async def _close(send: Send, code: int, reason: str) -> None:
    with suppress(RuntimeError):  # closed already
        await send({"type": "websocket.close", "code": code, "reason": reason[:120]})
