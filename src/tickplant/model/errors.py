"""Every error that this program raises on purpose.

    TickplantError
    ├── UserError                 the caller can mend it; HTTP 4xx, exit code 2
    │   ├── InvalidParameter      400: a parameter's value is not allowed
    │   ├── InvalidBody           422: the body cannot be read or, when strict, has bad rows
    │   ├── Unauthorized          401: no key, or one that is not known, expired or revoked
    │   ├── Forbidden             403: the key has not the scope; the page is of another site
    │   ├── UnsupportedMedia      415: rows are not read in this format; names those that are
    │   ├── NotFound              404: no such symbol, trade, route, file
    │   │   ├── UnknownSymbol
    │   │   └── UnknownFeed
    │   ├── AmbiguousSymbol       400: several venues have it; the message lists them
    │   ├── Conflict              409: it is there already, or was changed meanwhile
    │   ├── ConfigError           a configuration key or value is not allowed
    │   ├── NotInstalled          400: it needs an extra; the message says how to install it
    │   └── FolderInUse           another process owns the data folder; names its URL
    ├── PassingError              try again after `retry_after_s`; HTTP 503
    │   ├── LogUnavailable        the disk refuses; nothing is acknowledged until it takes again
    │   ├── Overloaded            a bounded queue is full
    │   ├── TooManyRequests       429: more than a limit allows
    │   └── Stopping              the plant is shutting down or not ready yet
    └── FatalError                the operator must act
        └── CorruptData           a checksum does not hold; names the file and the offset

Bugs are not in this tree: they stay `AssertionError`, `TypeError` and the like. Bad market data is
not here either: it is a value (a rejected row with a reason), never an exception.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


class TickplantError(Exception):
    """Root of the tree; catching it catches whatever this program raises on purpose."""


@dataclass(frozen=True, slots=True)
class Complaint:
    """One fault of the caller's input.

    `loc` is the path to the parameter, for example `("query", "limit")`; `value` is what was seen,
    cut to a length that a log line can hold; `msg` says what is allowed.
    """

    loc: tuple[str | int, ...]
    msg: str
    value: object = None


class UserError(TickplantError):
    """The caller can mend it. `status` is the HTTP status that answers it."""

    status = 400
    title = "Bad request"

    def __init__(self, detail: str, complaints: Iterable[Complaint] = ()) -> None:
        super().__init__(detail)
        self.detail = detail
        self.complaints = tuple(complaints)


class InvalidParameter(UserError):
    """A parameter's value is not allowed: names the parameter, the value and what is allowed."""

    title = "Invalid parameter"

    def __init__(self, name: str, value: object, allowed: str, *, where: str = "query") -> None:
        shown = shorten(value)
        super().__init__(
            f"{name}: {shown or 'an empty value'} is not allowed; allowed is {allowed}",
            [Complaint((where, name), f"allowed is {allowed}", shown)],
        )


class InvalidBody(UserError):
    """A request body or a file cannot be read as what it says it is."""

    status = 422
    title = "Invalid body"


class Unauthorized(UserError):
    """There is no key, or it is not known, expired or revoked; which of them is not told."""

    status = 401
    title = "Unauthorized"


class Forbidden(UserError):
    """The key has not the scope that this needs, or a page of another site asked."""

    status = 403
    title = "Forbidden"


class UnsupportedMedia(UserError):
    """Rows are not read in this format; the message names those that are."""

    status = 415
    title = "Unsupported media type"


class NotFound(UserError):
    """There is no such thing."""

    status = 404
    title = "Not found"


class UnknownSymbol(NotFound):
    """No instrument has this symbol or alias."""

    title = "Unknown symbol"

    def __init__(self, symbol: str, nearest: Iterable[str] = ()) -> None:
        near = tuple(nearest)
        hint = f"; the nearest known are {', '.join(near)}" if near else ""
        super().__init__(
            f"symbol: {shorten(symbol)} is not known{hint}",
            [Complaint(("path", "symbol"), f"not known{hint}", shorten(symbol))],
        )
        self.symbol = symbol


class UnknownFeed(NotFound):
    """No feed of this name has ever said or sent anything; the message names those that have."""

    title = "Unknown feed"

    def __init__(self, name: str, known: Iterable[str]) -> None:
        hint = f"known are {', '.join(known) or 'none yet'}"
        shown = shorten(name)
        super().__init__(
            f"feed: {shown} is not known; {hint}", [Complaint(("query", "feed"), hint, shown)]
        )


class AmbiguousSymbol(UserError):
    """Several venues have this symbol; `choices` are the names that pick one."""

    title = "Ambiguous symbol"

    def __init__(self, symbol: str, choices: Iterable[str]) -> None:
        self.choices = tuple(choices)
        listed = ", ".join(self.choices)
        super().__init__(
            f"symbol: {shorten(symbol)} is on several venues; pick one of {listed}",
            [Complaint(("path", "symbol"), f"pick one of {listed}", shorten(symbol))],
        )


class Conflict(UserError):
    """It is there already, or was changed in the meantime."""

    status = 409
    title = "Conflict"


class ConfigError(UserError):
    """A configuration key or value is not allowed; the message names the nearest known key."""

    title = "Invalid configuration"


class NotInstalled(UserError):
    """A parameter needs a package that is not installed; names the extra that brings it."""

    title = "Not installed"

    def __init__(self, name: str, package: str, extra: str) -> None:
        said = (
            f"needs {package}, which is not installed; "
            f"`pip install 'tickplant[{extra}]'` installs it"
        )
        super().__init__(f"{name}: {said}", [Complaint(("query", name), said)])


class FolderInUse(UserError):
    """Another process owns the data folder."""

    status = 409
    title = "Data folder in use"

    def __init__(self, path: str, pid: int | None, url: str | None) -> None:
        by = f" by process {pid}" if pid else ""
        instead = f"; most commands take --url {url} instead" if url else ""
        super().__init__(f"data folder {path} is in use{by}{instead}")
        self.url = url


class PassingError(TickplantError):
    """It will pass by itself; try again after `retry_after_s` seconds."""

    status = 503
    title = "Temporarily unavailable"

    def __init__(self, detail: str, *, retry_after_s: float = 1.0) -> None:
        super().__init__(detail)
        self.detail = detail
        self.retry_after_s = retry_after_s


class LogUnavailable(PassingError):
    """The log cannot make rows durable now, so nothing is acknowledged."""

    title = "Log unavailable"


class Overloaded(PassingError):
    """A bounded queue is full; its policy is to refuse."""

    title = "Overloaded"


class TooManyRequests(PassingError):
    """More requests than the settings under `limits` allow; says when the next is answered."""

    status = 429
    title = "Too Many Requests"


class Stopping(PassingError):
    """The plant is starting or shutting down."""

    title = "Not accepting"


class FatalError(TickplantError):
    """The operator must act."""


class CorruptData(FatalError):
    """A checksum does not hold. `path` and `offset` say where."""

    def __init__(self, path: str, offset: int, detail: str) -> None:
        super().__init__(f"{path} at byte {offset}: {detail}")
        self.path = path
        self.offset = offset
        self.detail = detail


def shorten(value: object, length: int = 80) -> str:
    """Return `value` as text that is at most `length` characters long."""
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= length else text[: length - 1] + "…"
