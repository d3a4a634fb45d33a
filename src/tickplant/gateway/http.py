"""The HTTP side of the server, with one habit more: what is no HTTP is refused as a problem, too.

Give `HttpProtocol` to uvicorn as `http`.
"""

from __future__ import annotations

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from tickplant.gateway.rest.problems import http_problem

_SAID = "the request is no HTTP that can be read, or its address or a header is longer than 64 KiB"


class HttpProtocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol that refuses in the shape of all other refusals (RFC 9457)."""

    def send_400_response(self, msg: str) -> None:
        """Answer what could not be parsed, and hang up."""
        answer = http_problem(400, _SAID, "/", {"Connection": "close"})
        head = b"".join(name + b": " + value + b"\r\n" for name, value in answer.raw_headers)
        self.transport.write(b"HTTP/1.1 400 Bad Request\r\n" + head + b"\r\n" + bytes(answer.body))
        self.transport.close()
