"""GET requests over httpx, for providers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from tickplant.feeds.pollers.http_json import BODY_BYTES_MAX, Reply
from tickplant.version import VERSION

if TYPE_CHECKING:
    import httpx

CONNECTIONS_MAX = 16


class HttpGet:
    """Makes requests on one event loop; connections are kept for the next.

    A body is read only as far as it is allowed to reach. Calling it is a `http_json.Get`.
    """

    def __init__(self) -> None:
        self._client: httpx.AsyncClient | None = None

    async def __call__(self, url: str, headers: Mapping[str, str], timeout_s: float) -> Reply:
        """Return what a GET request comes to. Raises `OSError`."""
        import httpx  # noqa: PLC0415 - takes long to import, and most plants poll nobody

        client = self._client = self._client or _make_client()
        try:
            async with client.stream(
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
        if self._client is not None:
            await self._client.aclose()
            self._client = None


def _make_client() -> httpx.AsyncClient:
    import httpx  # noqa: PLC0415 - see above

    limits = httpx.Limits(max_connections=CONNECTIONS_MAX)
    headers = {"user-agent": f"tickplant/{VERSION}"}
    return httpx.AsyncClient(limits=limits, follow_redirects=True, headers=headers)
