"""Applications whose layers are ours alone.

    server ─► prefix ─► envelope ─► traces ─► origins ─► keys ─► short way ─► errors ─► router

The framework would put layers of its own around the first of ours: a last resort, which the
envelope is already, telemetry that reads the environment on each request, a limit of bodies that
nobody set. Together they cost as much as an answer that is given again.

Reads that memory can answer pass by all of them (`hot`).
"""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from tickplant.gateway.hot import HotReads


class OwnLayers(Starlette):
    """A Starlette application without the layers that the framework puts around those added."""

    hot: HotReads | None = None
    """What answers reads past all of them."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, one WebSocket, or the beginning and the end."""
        if self.middleware_stack is None:
            self.middleware_stack = self.build_middleware_stack()
        scope["app"] = self
        await self.middleware_stack(scope, receive, send)

    def build_middleware_stack(self) -> ASGIApp:
        """Return the layers that were added, around errors as answers and the router."""
        app: ASGIApp = ExceptionMiddleware(self.router, handlers=self.exception_handlers)
        for added, args, kwargs in reversed(self.user_middleware):
            app = added(app, *args, **kwargs)
        return app
