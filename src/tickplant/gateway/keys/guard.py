"""The guard before every route: it asks `Access` who asks, how often, and whether he may.

It is there only where keys are required or something is limited.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from starlette._utils import get_route_path
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tickplant.gateway.doors import MARK
from tickplant.gateway.keys.access import Access, Connection, Verdict
from tickplant.gateway.keys.grants import Grant
from tickplant.gateway.keys.offers import chosen, credential_of, offered
from tickplant.gateway.origins import telling
from tickplant.gateway.stream.routes import STALLED

JUDGED = "tickplant.judged"
"""Key of the scope of a request that was counted and judged before: its `Verdict`."""

POLICY, TRY_LATER = 1008, 1013
CLOSE_S_MAX = 5.0


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

    async def _request(self, scope: Scope, receive: Receive, send: Send) -> None:
        verdict: Verdict | None = scope.get(JUDGED)
        if verdict is None:
            verdict = self._access.judge(
                scope["method"],
                get_route_path(scope),
                scope["path"],
                scope["headers"],
                scope.get("client"),
            )
        if verdict.told:
            send = telling(send, verdict.told)
        if verdict.refusal is None:
            await self._app(scope, receive, send)
            return
        if verdict.route:
            scope[MARK].route = verdict.route
        await verdict.refusal(scope, receive, send)

    async def _socket(self, scope: Scope, receive: Receive, send: Send) -> None:
        access = self._access
        rule = access.rules.of_socket(get_route_path(scope))
        names, key = offered(scope)
        send = _choosing(send, chosen(names, key)) if key is not None else send
        grant = access.find(credential_of(scope["headers"]) or key)
        taken = access.take(rule, "", scope.get("client"), grant)
        if taken is not None and not taken.allowed:
            access.refused("rate")
            reason = f"more than {taken.limit} connections; try again in {taken.reset_s} s"
            await _refuse(receive, send, TRY_LATER, reason)
        elif fault := access.fault(rule, grant):
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
        connection = Connection(grant, task)
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
