"""uvicorn's exchange of a request and its answer, with answers that leave in one write.

uvicorn writes head and body one after the other, and of a short answer the second call of the
kernel takes longer than most of what is done for it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from tickplant.gateway.lines import LENGTH, Header, line_of
from tickplant.gateway.short_way import BODY

JOINED_BYTES_MAX = 16_384
"""So much is copied in less time than the kernel takes for a second piece."""

END, LAST_END = b"\r\n", b"connection: close\r\n\r\n"
"""The end of a head, of the last answer of a connection too."""


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
            line = line_of(header)
            if line is None or (header[0] == LENGTH and not silent and int(header[1]) != len(body)):
                return False  # uvicorn says what is wrong with it
            lines.append(line)
        lines.append(END if self.keep_alive else LAST_END)
        self.response_started = self.response_complete = True
        self.waiting_for_100_continue = False
        if silent or len(body) <= JOINED_BYTES_MAX:
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


def _is_measured(headers: Iterable[Header]) -> bool:
    return LENGTH in dict(headers)
