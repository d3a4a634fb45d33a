"""uvicorn's HTTP protocol with habits of ours: how it refuses, writes, and waits for a request.

What is no HTTP is refused as a problem, as everything else is, and so is what comes when there are
as many connections as may be. A request's head may be so long and take so long to come, which
uvicorn leaves without a bound. An answer that is there as a whole leaves in one write (`whole`).
One timer looks whether a connection was waited for too long, instead of one after each answer.
"""

from __future__ import annotations

from typing import Any

from uvicorn.protocols.http.flow_control import service_unavailable
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from tickplant.gateway.envelope import FULL
from tickplant.gateway.rest.problems import http_problem
from tickplant.gateway.short_way import WHOLE
from tickplant.gateway.whole import AnswerCycle

HEAD_BYTES_MAX = 65_536
"""So much that is no body may come without a head or a body going on."""

HEAD_S_MAX = 30.0
"""So long a head may take, from its first byte or from the beginning of a connection, s."""

BODY_S_MAX = 60.0
"""So long a body may stand still, s."""

_SAID = "the request is no HTTP that can be read, or what comes before its body is above 64 KiB"


class Connection(HttpToolsProtocol):
    """uvicorn's HTTP protocol that refuses in the shape of all other refusals (RFC 9457)."""

    _close_at: float | None = None  # by the loop's clock; None while nothing is waited for
    _in_head = False
    _refused = False  # as soon as what is under way is answered; what comes is not looked at

    def connection_made(self, transport: Any) -> None:
        """Wait for a first request."""
        super().connection_made(transport)
        self._wait(HEAD_S_MAX)

    def send_400_response(self, msg: str) -> None:
        """Answer what could not be parsed, behind what was asked before, and hang up."""
        cycle = self.cycle
        if cycle is None or cycle.response_complete or cycle.more_body:
            self._refuse()
        else:
            self._refused = True

    def _refuse(self) -> None:
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
        if self._refused:
            self._refuse()
            return
        self.flow.resume_reading()
        self._rest()

    def _rest(self) -> None:
        self._wait(HEAD_S_MAX if self._in_head else self.timeout_keep_alive)

    def _wait(self, wait_s: float) -> None:
        """Close the connection after this time, unless a request comes."""
        self._close_at = self.loop.time() + wait_s
        if self.timeout_keep_alive_task is None:
            self._look_again(wait_s)

    def _look_again(self, after_s: float) -> None:
        # Never later than a rest would be over that begins meanwhile.
        self.timeout_keep_alive_task = self.loop.call_later(
            min(after_s, self.timeout_keep_alive), self.timeout_keep_alive_handler
        )

    def _unset_keepalive_if_required(self) -> None:
        """Go on waiting: bytes that begin nothing are not what is waited for."""

    def timeout_keep_alive_handler(self) -> None:
        """Close the connection where no request came for as long as it may wait for one."""
        self.timeout_keep_alive_task = None
        if self.transport.is_closing() or self._close_at is None:
            return
        left_s = self._close_at - self.loop.time()
        if left_s > 0 or self.flow.read_paused:  # nobody can send what we do not read
            self._look_again(left_s if left_s > 0 else 1.0)
        else:
            self.transport.close()

    def handle_websocket_upgrade(self) -> None:
        """Hand the connection over, which then is no longer waited for here."""
        self._close_at = None
        super()._unset_keepalive_if_required()
        super().handle_websocket_upgrade()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection, its timer too."""
        super().connection_lost(exc)
        super()._unset_keepalive_if_required()
