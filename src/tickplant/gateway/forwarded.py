"""Who sent a request that came through a proxy which is believed (`server.proxies`)."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from tickplant.gateway.hot import Client
from tickplant.gateway.lines import Header


def client_reader(app: Any) -> Callable[[Client, list[Header]], Client]:
    """Return what tells the client by its connection and its headers, as the server's proxy layer
    around an application does."""
    if not isinstance(app, ProxyHeadersMiddleware):
        return lambda client, headers: client
    known = ProxyHeadersMiddleware(_answer_nothing, "")
    known.trusted_hosts = app.trusted_hosts

    def forwarded(client: Client, headers: list[Header]) -> Client:
        scope: Any = {"type": "http", "client": client, "headers": headers}
        with suppress(StopIteration):
            known(scope, None, None).send(None)  # type: ignore[arg-type]
        found: Client = scope["client"]
        return found

    return forwarded


async def _answer_nothing(scope: Any, receive: Any, send: Any) -> None:
    pass
