"""Lines of HTTP headers, written once where they come again and again."""

from __future__ import annotations

from collections.abc import Iterable

from uvicorn.protocols.http.httptools_impl import HEADER_RE, HEADER_VALUE_RE

Header = tuple[bytes, bytes]

LENGTH = b"content-length"
_FRAMING = frozenset({b"connection", b"transfer-encoding"})
_CHANGING = frozenset({LENGTH, b"date", b"x-request-id", b"x-response-time-ms"})
_LINES_MAX, _LINE_BYTES_MAX = 512, 512
_LINES: dict[Header, bytes] = {}
"""Lines of headers that most answers have; looked at once instead of each time."""


def line_of(header: Header) -> bytes | None:
    """Return the line of a header; None for what is none, or rules how the answer is framed."""
    return _LINES.get(header) or _line(header)


def lines_of(headers: Iterable[Header]) -> bytes | None:
    """Return the lines of headers, None where one of them has none."""
    lines = [line_of(header) for header in headers]
    return None if None in lines else b"".join(lines)  # type: ignore[arg-type]


def _line(header: Header) -> bytes | None:
    name, value = header
    if name == LENGTH and value.isdigit():
        return b"content-length: %b\r\n" % value
    lower = name.lower()
    if lower in _FRAMING or HEADER_RE.search(name) or HEADER_VALUE_RE.search(value):
        return None
    line = b"%b: %b\r\n" % (lower, value)
    if lower not in _CHANGING and len(_LINES) < _LINES_MAX and len(line) <= _LINE_BYTES_MAX:
        _LINES[header] = line
    return line
