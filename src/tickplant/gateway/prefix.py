"""The path under which a proxy shows the plant, such as `/tickplant`.

    browser ─ /tickplant/v1/status ─► proxy ─ /v1/status, or as it came ─► plant

The proxy may take the prefix off or leave it on. Routes do not know of it; what is told to clients
(`instance` of a problem, `Link`, the servers of the OpenAPI document) has it. Pages refer to each
other by relative addresses.
"""

from __future__ import annotations

from urllib.parse import quote

from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send


class Prefix:
    """ASGI middleware, the outermost: names the prefix as the application's root path."""

    def __init__(self, app: ASGIApp, prefix: str) -> None:
        self._app = app
        self._prefix = prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request or WebSocket."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        path = scope["path"]
        if path == self._prefix and scope["type"] == "http":
            # Relative addresses of the page need the slash.
            target = f"{quote(self._prefix)}/"
            await RedirectResponse(target, 307)(scope, receive, send)
            return
        if not path.startswith(f"{self._prefix}/"):
            path = self._prefix + path
        await self._app({**scope, "path": path, "root_path": self._prefix}, receive, send)
