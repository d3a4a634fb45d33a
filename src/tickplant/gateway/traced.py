"""The span of a request: begun where it comes in, named by the route that answered.

A middleware that is there only where requests are traced.
"""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tickplant.gateway.doors import MARK
from tickplant.observe.context import bind
from tickplant.observe.tracing import Tracer

TRACED = "tickplant.traced"
"""Key of the scope of a request of which it was decided before whether it is traced."""


class Traced:
    """ASGI middleware within the envelope; goes on with the caller's trace (W3C `traceparent`)."""

    def __init__(self, app: ASGIApp, tracer: Tracer) -> None:
        self._app = app
        self._tracer = tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        trace = scope.get(TRACED)
        if scope["type"] == "http" and TRACED not in scope:
            trace = self._tracer.begin_request(scope["method"], scope["headers"])
        if trace is None:
            await self._app(scope, receive, send)
            return
        status = 0

        async def send_marked(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        bind(trace=trace.id)  # the envelope undoes it, after it has logged what went wrong
        token = trace.enter()
        try:
            await self._app(scope, receive, send_marked)
        except BaseException as fault:
            trace.fail(fault)
            raise
        finally:
            route = scope[MARK].route
            trace.rename(f"{scope['method']} {route}")
            trace.tell({
                "http.request.method": scope["method"],
                "http.route": route,
                "http.response.status_code": status,
            })  # fmt: skip
            trace.leave(token)
