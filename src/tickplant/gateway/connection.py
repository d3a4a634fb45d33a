"""uvicorn's HTTP protocol with habits of ours: how it refuses, writes, and waits for a request.

What is no HTTP is refused as a problem, as everything else is, and so is what comes when there are
as many connections as may be. An answer that is there as a whole leaves in one write (`whole`). One
timer looks whether a connection was idle for too long, instead of one after each answer.
"""

from __future__ import annotations

from typing import Any

from uvicorn.protocols.http.flow_control import service_unavailable
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from tickplant.gateway.envelope import FULL
from tickplant.gateway.rest.problems import http_problem
from tickplant.gateway.short_way import WHOLE
from tickplant.gateway.whole import AnswerCycle

_SAID = "the request is no HTTP that can be read, or its address or a header is longer than 64 KiB"


class Connection(HttpToolsProtocol):
    """uvicorn's HTTP protocol that refuses in the shape of all other refusals (RFC 9457)."""

    _idle_since: float | None = None

    def send_400_response(self, msg: str) -> None:
        """Answer what could not be parsed, and hang up."""
        answer = http_problem(400, _SAID, "/", {"Connection": "close"})
        head = b"".join(name + b": " + value + b"\r\n" for name, value in answer.raw_headers)
        self.transport.write(b"HTTP/1.1 400 Bad Request\r\n" + head + b"\r\n" + bytes(answer.body))
        self.transport.close()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        scope: Any = cycle.scope
        if app is service_unavailable:  # uvicorn would refuse with a line of text
            app = self.app
            scope[FULL] = self.limit_concurrency
        cycle.__class__ = AnswerCycle
        scope[WHOLE] = True
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        """Go on with the next request, or wait for one.

        uvicorn makes a timer each time; here one timer looks whether it was too long.
        """
        if self.pipeline or self.transport.is_closing():
            super().on_response_complete()
            return
        self.server_state.total_requests += 1
        self.flow.resume_reading()
        self._rest()

    def _rest(self) -> None:
        self._idle_since = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self._look_again(self.timeout_keep_alive)

    def _look_again(self, after_s: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(
            after_s, self.timeout_keep_alive_handler
        )

    def _unset_keepalive_if_required(self) -> None:
        self._idle_since = None

    def timeout_keep_alive_handler(self) -> None:
        """Close the connection where no request came for as long as it may wait for one."""
        self.timeout_keep_alive_task = None
        if self.transport.is_closing() or self._idle_since is None:
            return
        left_s = self._idle_since + self.timeout_keep_alive - self.loop.time()
        if left_s > 0:
            self._look_again(left_s)
        else:
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection, its timer too."""
        super().connection_lost(exc)
        super()._unset_keepalive_if_required()
