"""What all connections of a server share: who is answered next, and what was parsed before."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from tickplant.gateway.hot import Asked, HotReads
from tickplant.gateway.lines import Header, lines_of

if TYPE_CHECKING:
    from tickplant.gateway.http import HttpProtocol

_LOG = logging.getLogger(__name__)

_SECRET = frozenset({b"authorization", b"x-api-key", b"cookie"})
KNOWN_MAX, KNOWN_BYTES_MAX = 1_024, 1_024
"""Requests that are not parsed again, and how long one may be."""


class Turn:
    """The next turn of a server's event loop, in which hot reads are answered, all in one go.

    Begun within the arrival of its bytes each answer would wake its reader anew, while answers of
    one turn wake it once.

    The same bytes between two requests are the same request, from whomever they come.
    """

    def __init__(self, hot: HotReads | None) -> None:
        self.hot = hot
        self._waiting: list[HttpProtocol] = []
        self._known: dict[bytes, Asked] = {}
        self._defaults: list[Header] = []
        self._default_lines = b""

    def add(self, protocol: HttpProtocol) -> None:
        """Have a connection answer what it was asked, soon."""
        if not self._waiting:
            protocol.loop.call_soon(self._run)
        self._waiting.append(protocol)

    def _run(self) -> None:
        waiting, self._waiting = self._waiting, []
        for protocol in waiting:
            try:
                protocol.answer_asked()
            except Exception:  # of one connection; the others have to be answered
                _LOG.exception("a connection failed")
                protocol.transport.abort()

    def known(self, data: bytes) -> Asked | None:
        """Return the request that these bytes were before."""
        return self._known.get(data) if len(data) <= KNOWN_BYTES_MAX else None

    def learn(self, data: bytes, asked: Asked) -> None:
        """Keep what bytes have turned out to be; nothing that holds a secret."""
        if len(data) > KNOWN_BYTES_MAX or any(name in _SECRET for name, _ in asked.headers):
            return
        if len(self._known) >= KNOWN_MAX:
            del self._known[next(iter(self._known))]
        self._known[data] = asked

    def default_lines(self, headers: list[Header]) -> bytes:
        """Return the lines of the server's own headers: the date, which is new each second."""
        if headers is not self._defaults:
            self._defaults, self._default_lines = headers, lines_of(headers) or b""
        return self._default_lines
