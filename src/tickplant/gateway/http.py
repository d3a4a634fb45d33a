"""The HTTP side of the server, with some habits more.

What is no HTTP is refused as a problem, as everything else is, and so is what comes when there are
as many connections as may be. An answer that is there as a whole leaves in one write: uvicorn
writes head and body one after the other, and of a short answer the second call of the kernel takes
longer than most of what is done for it.

Give what `protocol_of` returns to uvicorn as `http`.
"""

from __future__ import annotations

import types
from collections.abc import Coroutine, Generator, Iterable
from contextvars import Context, copy_context
from functools import partial
from typing import Any, ClassVar

from uvicorn.protocols.http.flow_control import service_unavailable
from uvicorn.protocols.http.httptools_impl import (
    HEADER_RE,
    HEADER_VALUE_RE,
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from tickplant.gateway.doors import BODY, WHOLE
from tickplant.gateway.envelope import FULL
from tickplant.gateway.rest.problems import http_problem

Header = tuple[bytes, bytes]

_SAID = "the request is no HTTP that can be read, or its address or a header is longer than 64 KiB"
_READS = frozenset({"GET", "HEAD"})
_FRAMING = frozenset({b"connection", b"transfer-encoding"})
_LENGTH = b"content-length"
_CHANGING = frozenset({_LENGTH, b"date", b"x-request-id", b"x-response-time-ms"})
_JOINED_BYTES_MAX = 16_384
"""So much is copied in less time than the kernel takes for a second piece."""

_LINES_MAX, _LINE_BYTES_MAX = 512, 512
_LINES: dict[Header, bytes] = {}
"""Lines of headers that most answers have; looked at once instead of each time."""


class HttpProtocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol that refuses in the shape of all other refusals (RFC 9457)."""

    def send_400_response(self, msg: str) -> None:
        """Answer what could not be parsed, and hang up."""
        answer = http_problem(400, _SAID, "/", {"Connection": "close"})
        head = b"".join(name + b": " + value + b"\r\n" for name, value in answer.raw_headers)
        self.transport.write(b"HTTP/1.1 400 Bad Request\r\n" + head + b"\r\n" + bytes(answer.body))
        self.transport.close()

    quick: ClassVar[frozenset[str]] = frozenset()
    """Paths up to their last slash, of which answers to reads are begun at once."""

    _idle_since: float | None = None

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        if app is service_unavailable:  # uvicorn would refuse with a line of text
            app = self.app
            cycle.scope[FULL] = self.limit_concurrency  # type: ignore[literal-required]
        cycle.__class__ = AnswerCycle
        scope = cycle.scope
        scope[WHOLE] = True  # type: ignore[literal-required]
        if scope["method"] in _READS and scope["path"].rpartition("/")[0] in self.quick:
            context = copy_context()
            self.loop.call_soon(self._begin, cycle.run_asgi(app), context, context=context)
        else:
            super()._start_asgi_task(cycle, app)

    def _begin(self, running: Coroutine[Any, Any, None], context: Context) -> None:
        """Answer what needs not wait, and make a task of the rest where it does."""
        try:
            awaited = running.send(None)
        except StopIteration:
            return
        task = self.loop.create_task(_finish(running, awaited), context=context)
        task.add_done_callback(self.tasks.discard)
        self.tasks.add(task)

    def on_response_complete(self) -> None:
        """Go on with the next request, or wait for one.

        uvicorn makes a timer each time; here one timer looks whether it was too long.
        """
        if self.pipeline or self.transport.is_closing():
            super().on_response_complete()
            return
        self.server_state.total_requests += 1
        self.flow.resume_reading()
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


class AnswerCycle(RequestResponseCycle):
    """uvicorn's exchange of a request and its answer; what is whole leaves whole.

    The head of an answer that says how long it is waits for the body. Whatever comes in pieces, or
    is otherwise out of the ordinary, goes as uvicorn has it.
    """

    _head: Any = None

    async def send(self, message: Any) -> None:
        """Take one message of the application."""
        if BODY in message:
            await self._send_both(message)
            return
        head = self._head
        if head is None:
            if not self.response_started and _is_measured(message.get("headers", ())):
                self._head = message
                return
        else:
            self._head = None
            if self._send_whole(head, message):
                return
            if message["type"] == "http.response.body":
                await super().send(head)
        await super().send(message)

    async def _send_both(self, head: Any) -> None:
        """Take a head that has its body with it, as the short way gives it."""
        body: Any = {"type": "http.response.body", "body": head[BODY]}
        if not self._send_whole(head, body):
            await super().send(head)
            await super().send(body)

    def _send_whole(self, head: Any, message: Any) -> bool:
        """Write an answer in one go, and say whether that could be done."""
        if message["type"] != "http.response.body" or message.get("more_body"):
            return False
        if self.flow.write_paused or self.disconnected or self.access_log:
            return False
        body, silent = message.get("body", b""), self.scope["method"] == "HEAD"
        lines = [STATUS_LINE[head["status"]]]
        for header in (*self.default_headers, *head["headers"]):
            line = _LINES.get(header) or _line(header)
            if line is None or (
                header[0] == _LENGTH and not silent and int(header[1]) != len(body)
            ):
                return False  # uvicorn says what is wrong with it
            lines.append(line)
        lines.append(b"\r\n" if self.keep_alive else b"connection: close\r\n\r\n")
        self.response_started = self.response_complete = True
        self.waiting_for_100_continue = False
        if silent or len(body) <= _JOINED_BYTES_MAX:
            if not silent:
                lines.append(body)
            self.transport.write(b"".join(lines))
        else:
            self.transport.writelines([b"".join(lines), body])
        self.message_event.set()
        if not self.keep_alive:
            self.transport.close()
        self.on_response()
        return True


def protocol_of(quick: Iterable[str]) -> type[HttpProtocol]:
    """Return a protocol that needs no task for reads of these paths that memory can answer.

    They are the paths up to their last slash; what is behind them must not ask for its task before
    it waits for the first time.
    """
    return type("QuickProtocol", (HttpProtocol,), {"quick": frozenset(quick)})


async def _finish(running: Coroutine[Any, Any, None], awaited: Any) -> None:
    await _rest_of(running, awaited)


@types.coroutine
def _rest_of(running: Coroutine[Any, Any, None], awaited: Any) -> Generator[Any, Any, None]:
    """Go on with a coroutine that was begun, and that waits for something."""
    while True:
        try:
            found = yield awaited
        except GeneratorExit:
            running.close()
            raise
        except BaseException as fault:
            step = partial(running.throw, fault)
        else:
            step = partial(running.send, found)
        try:
            awaited = step()
        except StopIteration:
            return


def _is_measured(headers: Iterable[Header]) -> bool:
    return _LENGTH in dict(headers)


def _line(header: Header) -> bytes | None:
    """Return the line of a header; None for what is none, or rules how the answer is framed."""
    name, value = header
    lower = name.lower()
    if lower in _FRAMING or HEADER_RE.search(name) or HEADER_VALUE_RE.search(value):
        return None
    line = b"%b: %b\r\n" % (lower, value)
    if lower not in _CHANGING and len(_LINES) < _LINES_MAX and len(line) <= _LINE_BYTES_MAX:
        _LINES[header] = line
    return line
