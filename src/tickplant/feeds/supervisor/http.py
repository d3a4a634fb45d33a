"""Requests to a venue: limited by weight, tried again, and behind a breaker.

get ─► breaker open? ─► window of weight ─► request ─► 2xx: body
                                                  ├─► 418, 429: the window closes for as long
                                                  │   as the venue asks; tried again
                                                  ├─► 5xx, no answer: pause, tried again
                                                  └─► any other: VenueFault at once
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import httpx

from tickplant.feeds.breaker import Breaker
from tickplant.feeds.contract import Clock, Sleep
from tickplant.feeds.supervisor.backoff import Backoff
from tickplant.feeds.supervisor.limits import Window
from tickplant.feeds.supervisor.tap import Tap, shown_url
from tickplant.feeds.supervisor.websocket import is_loopback, retry_after_s
from tickplant.feeds.venues.contract import VenueFault

TRIES_MAX = 4
TIMEOUT_S = 15.0
BODY_BYTES_MAX = 64 << 20

_TOO_MANY = frozenset({418, 429})

Asked = tuple[bytes | None, str, float | None]
"""(body, "", None), or (None, what went wrong, seconds to wait or None for good)."""


class LimitedHttp:
    """An `Http` of one venue. One event loop.

    `shown` in a message is the path alone: a query may hold a secret.
    """

    def __init__(
        self,
        client: httpx.AsyncClient,
        base_url: str,
        weight: Window,
        *,
        clock: Clock,
        sleep: Sleep,
        backoff: Callable[[], Backoff] = Backoff,
        breaker: Breaker | None = None,
        tap: Tap | None = None,
    ) -> None:
        self._client = client
        self._base_url = base_url.rstrip("/")
        self._weight = weight
        self._clock = clock
        self._sleep = sleep
        self._backoff = backoff
        self._tap = tap
        self._breaker = breaker or Breaker(clock)

    async def get(
        self, path: str, params: Mapping[str, str] | None = None, *, weight: int = 1
    ) -> bytes:
        """Return the body of a good answer; see `Http.get`."""
        pauses = self._backoff()
        for attempt in range(1, TRIES_MAX + 1):
            body, fault, wait_s = await self._ask(path, params or {}, weight)
            if body is not None:
                return body
            if wait_s is None or attempt == TRIES_MAX:
                raise VenueFault(f"{shown_url(self._base_url)}{path}: {fault}")
            await self._sleep(pauses.next_s(wait_s))
        raise AssertionError("unreachable")

    async def _ask(self, path: str, params: Mapping[str, str], weight: int) -> Asked:
        """Ask once, if the breaker lets us. Raises `VenueFault` where it does not."""
        breaker = self._breaker
        rest_s = breaker.wait_s()
        if rest_s:
            raise VenueFault(
                f"{breaker.failures} requests failed in a row; the next is tried in {rest_s:.0f} s"
            )
        try:
            await self._weight.take(weight)
            return await self._try(path, params)
        except BaseException:  # it was cancelled, or we are at fault: that says nothing of them
            breaker.abandoned()
            raise

    async def _try(self, path: str, params: Mapping[str, str]) -> Asked:
        try:
            answer = await self._client.get(self._base_url + path, params=dict(params))
        except httpx.HTTPError as fault:
            self._breaker.failed()
            return None, f"no answer: {type(fault).__name__}", 0.0
        if self._tap is not None:
            self._tap.answered(self._clock(), path, params, answer.status_code, answer.content)
        status = answer.status_code
        said = f"HTTP status {status}"
        if status in _TOO_MANY:
            wait_s = retry_after_s(answer.headers.get("Retry-After")) or 10.0
            self._weight.close_for(wait_s)
            self._breaker.abandoned()
            return None, f"{said}: too many requests", wait_s
        if status >= 500:
            self._breaker.failed()
            return None, said, 0.0
        self._breaker.succeeded()  # it answers, even where what was asked was wrong
        good = 200 <= status < 300
        return (answer.content, "", None) if good else (None, said, None)


def open_client(
    base_url: str, *, timeout_s: float = TIMEOUT_S, **options: Any
) -> httpx.AsyncClient:
    """Return a client for a venue; the caller closes it. Proxies are not used for loopback."""
    return httpx.AsyncClient(
        timeout=timeout_s, trust_env=not is_loopback(base_url), follow_redirects=False, **options
    )


async def close_client(client: httpx.AsyncClient) -> None:
    """Close a client within a bounded time."""
    async with asyncio.timeout(TIMEOUT_S):
        await client.aclose()
