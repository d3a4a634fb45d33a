"""The HTTP side of the server, with some habits more.

    bytes ─► parser ─► a hot read? ─► the loop's next turn ─► answered at once, in one write
                           │ no, or it would have to wait
                           └─► uvicorn's cycle of a request, and a task

Of a read that memory may have (`HotReads`) nothing is made but what the parser found: no scope, no
cycle, no task, no event. A short one that comes again, from the same client or another, is not even
parsed (`Turn`).

Give what `protocol_of` returns to uvicorn as `http`.
"""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

import httptools
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from tickplant.gateway.connection import BODY_S_MAX, HEAD_BYTES_MAX, HEAD_S_MAX, Connection
from tickplant.gateway.forwarded import client_reader
from tickplant.gateway.hot import Asked, Beyond, HotReads
from tickplant.gateway.turn import Turn
from tickplant.gateway.whole import END, JOINED_BYTES_MAX, LAST_END

_READS = {b"GET": "GET", b"HEAD": "HEAD"}
AT_ONCE_MAX = 8
"""So many reads of one connection are answered in one turn of the loop; each may take 1 ms."""

_NOT_HOT = frozenset({b"content-length", b"transfer-encoding", b"expect", b"upgrade"})


class HttpProtocol(Connection):
    """A connection that answers hot reads, and leaves all else to the application."""

    turn: ClassVar[Turn] = Turn(None)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._hot = self.turn.hot if self._is_plain_server() else None
        self._client_of = client_reader(self.app)
        self.url = b""
        self._asked: list[Asked] = []
        self._between = True  # of the next request nothing has come yet
        self._keeps = False
        self._begun = 0
        self._newest: Asked | None = None
        self._in_body = False
        self._went_on = False  # a head has ended, or a body gone on
        self._silent_bytes = 0  # that came without

    def _is_plain_server(self) -> bool:
        """Say whether nothing lies between the server and the application that we pass by."""
        app = self.app.app if isinstance(self.app, ProxyHeadersMiddleware) else self.app
        return app is self.config.app and not (self.root_path or self.access_log)

    # What comes in.

    def data_received(self, data: bytes) -> None:
        """Take bytes of the client."""
        if self._refused:
            return
        between = self._between and self._hot is not None
        if between:
            known = self.turn.known(data)
            if known is not None and self._is_free():
                self._close_at = None
                self._ask(known)
                return
        self._begun = 0
        self._went_on = False
        super().data_received(data)
        if not self._went_on:
            self._wait_for_more(len(data))
        elif self._in_body:
            self._wait(BODY_S_MAX)
        if between and self._begun == 1 and self._between and self._newest is not None:
            self.turn.learn(data, self._newest)

    def _wait_for_more(self, silent_bytes: int) -> None:
        """Bound what comes, in bytes and time, of which nothing is made yet."""
        self._silent_bytes += silent_bytes
        if self.transport.is_closing():
            return
        if self._silent_bytes > HEAD_BYTES_MAX:
            self.send_400_response("")
        elif self._begun and self._in_head and not self._asked and self._is_answered():
            self._wait(HEAD_S_MAX)

    def on_message_begin(self) -> None:
        """Note that a request begins; most need no more than their address and headers."""
        self._between = False
        self._in_head = True
        self._begun += 1
        self._newest = None
        self.url, self.headers, self.expect_100_continue = b"", [], False

    def on_headers_complete(self) -> None:
        """Take a request, whose body may follow."""
        parser = self.parser
        self._go_on()
        self._in_head, self._close_at = False, None
        upgrades = parser.should_upgrade()
        self._keeps = parser.should_keep_alive() and parser.get_http_version() == "1.1"
        asked = None if upgrades or self._hot is None else self._read_asked(self._hot)
        if asked is not None:
            self._newest = asked
            self._ask(asked)
            return
        self._keeps = self._keeps and not upgrades
        self.answer_asked(followed=True)
        self.scope = self._new_scope()
        self.scope["headers"] = self.headers
        super().on_headers_complete()
        if not upgrades:
            self._in_body = True
            self.headers = []  # for trailers: a proxy looks for its own headers before the body

    def _go_on(self) -> None:
        self._went_on, self._silent_bytes = True, 0

    def on_body(self, body: bytes) -> None:
        """Take a piece of a body."""
        self._go_on()
        super().on_body(body)

    def _read_asked(self, hot: HotReads) -> Asked | None:
        """Return the request at hand if it can be a hot read."""
        method = _READS.get(self.parser.get_method())
        if method is None or not self._is_free():
            return None
        for name, _ in self.headers:
            if name in _NOT_HOT:
                return None
        url = httptools.parse_url(self.url)
        return hot.asked(method, url.path, url.query or b"", self.headers, self._keeps)

    def _is_free(self) -> bool:
        """Say whether nothing else is under way here, and the server is not full."""
        most = self.limit_concurrency
        return (
            self._is_answered()
            and not self.pipeline
            and (most is None or max(len(self.connections), len(self.tasks)) < most)
        )

    def _is_answered(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def on_message_complete(self) -> None:
        """Note that a request has ended."""
        self._between = self._keeps
        if self._newest is None:
            self._in_body, self._close_at = False, None
            if self._is_answered():  # before all of it had come
                self._rest()
            super().on_message_complete()

    # Hot reads.

    def _ask(self, asked: Asked) -> None:
        if not self._asked:
            self.turn.add(self)
        self._asked.append(asked)

    def answer_asked(self, *, followed: bool = False) -> None:
        """Answer hot reads that have come, in their order.

        Those that have to wait become tasks. Of many that were sent ahead some are left for the
        next turn, so that other connections have theirs; they become tasks, too, where they are
        `followed` by what must not overtake them.
        """
        asked, self._asked = self._asked, []
        for place, one in enumerate(asked):
            if place == AT_ONCE_MAX and not followed:
                self._put_off(asked[place:])
                return
            beyond = self._answer(one) if place < AT_ONCE_MAX else {}
            if beyond is not None:
                self._start(one, beyond)
                for later in asked[place + 1 :]:
                    self._start(later, {})
                return
        if asked:
            self.flow.resume_reading()

    def _put_off(self, asked: list[Asked]) -> None:
        self.flow.pause_reading()
        self._asked = asked
        self.turn.add(self)

    def _answer(self, asked: Asked) -> Beyond | None:
        """Answer a read, or return what is known already of one that has to wait."""
        if self.transport.is_closing():
            return None
        if self.flow.write_paused or self._hot is None:
            return {}
        client = self._client_of(self.client, asked.headers)
        return self._hot.answer(asked, client, self._write)

    def _write(self, asked: Asked, status: int, lines: bytes, body: bytes) -> None:
        head = b"".join(
            (
                STATUS_LINE[status],
                self.turn.default_lines(self.server_state.default_headers),
                lines,
                END if asked.keep_alive else LAST_END,
            )
        )
        if len(body) <= JOINED_BYTES_MAX:
            self.transport.write(head + body)
        else:
            self.transport.writelines([head, body])
        self.server_state.total_requests += 1
        if asked.keep_alive:
            self._rest()
        else:
            self.transport.close()

    def _start(self, asked: Asked, beyond: Beyond) -> None:
        """Give a read to the application, as uvicorn does with every request."""
        scope = self._new_scope()
        scope |= {**asked.scope(), **beyond}
        before = self.cycle
        self.cycle = RequestResponseCycle(
            scope=scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=self.access_log,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=False,
            keep_alive=asked.keep_alive,
            on_response=self.on_response_complete,
        )
        self.cycle.more_body = False
        self.cycle.message_event.set()
        if before is None or before.response_complete:
            self._start_asgi_task(self.cycle, self.app)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((self.cycle, self.app))

    def send_400_response(self, msg: str) -> None:
        """Answer what was asked before, and refuse what could not be parsed."""
        self.answer_asked(followed=True)
        super().send_400_response(msg)

    def shutdown(self) -> None:
        """Answer what was asked, and let the connection end."""
        self.answer_asked(followed=True)
        super().shutdown()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection, and what it was asked."""
        self._asked = []
        super().connection_lost(exc)

    def _new_scope(self) -> Any:
        """Return the scope of a request, without what is in the request itself."""
        kept = self.scope, self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        scope = self.scope
        self.scope, self.url, self.headers, self.expect_100_continue = kept
        return scope


def protocol_of(hot: HotReads | None) -> type[HttpProtocol]:
    """Return a protocol of one server, whose application has these hot reads."""
    return type("ServedProtocol", (HttpProtocol,), {"turn": Turn(hot)})
