"""GET requests over httpx, for providers."""

from __future__ import annotations

from collections.abc import Mapping

import httpx

from tickplant.feeds.pollers.http_json import BODY_BYTES_MAX, Reply
from tickplant.version import VERSION

CONNECTIONS_MAX = 16


class HttpGet:
    """Makes requests on the event loop that it was made on; connections are kept for the next.

    A body is read only as far as it is allowed to reach. Calling it is a `http_json.Get`.
    """

    def __init__(self) -> None:
        limits = httpx.Limits(max_connections=CONNECTIONS_MAX)
        headers = {"user-agent": f"tickplant/{VERSION}"}
        self._client = httpx.AsyncClient(limits=limits, follow_redirects=True, headers=headers)

    async def __call__(self, url: str, headers: Mapping[str, str], timeout_s: float) -> Reply:
        """Return what a GET request comes to. Raises `OSError`."""
        try:
            async with self._client.stream(
                "GET", url, headers=dict(headers), timeout=timeout_s
            ) as response:
                body = bytearray()
                async for piece in response.aiter_bytes():
                    body += piece
                    if len(body) > BODY_BYTES_MAX:
                        break
                named = {name.lower(): value for name, value in response.headers.items()}
                return Reply(response.status_code, named, bytes(body))
        except (httpx.HTTPError, httpx.InvalidURL) as fault:
            # Its text may hold the URL, which may hold a secret: only what it is goes on.
            raise OSError(type(fault).__name__) from None

    async def aclose(self) -> None:
        """Close what is open."""
        await self._client.aclose()
