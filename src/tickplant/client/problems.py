"""Problems (RFC 9457) and stream errors, back as the errors they were."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from tickplant.model.errors import (
    AmbiguousSymbol,
    Complaint,
    InvalidBody,
    PassingError,
    TickplantError,
    UnknownSymbol,
    UserError,
)

_CHOICES = "pick one of "


class Unreachable(PassingError):
    """Nobody answers at the address."""

    title = "Unreachable"


def no_answer(url: object, fault: BaseException) -> Unreachable:
    """Return the error of a connection that failed, in the words of what failed."""
    return Unreachable(f"{url} does not answer: {str(fault) or type(fault).__name__}")


def error_of(status: int, body: bytes, headers: Mapping[str, str]) -> TickplantError:
    """Return the error that an answer with this status is."""
    try:
        problem = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        problem = None
    if not isinstance(problem, dict):
        problem = {}
    title = str(problem.get("title", ""))
    detail = str(problem.get("detail") or f"the plant answered {status}")
    if status in (429, 503):
        return _passing(title, detail, headers.get("retry-after", ""))
    if 400 <= status < 500:
        complaints = [
            _complaint(one) for one in problem.get("errors") or [] if isinstance(one, dict)
        ]
        return _user(title, status, detail, complaints)
    return TickplantError(detail)


def stream_error(message: Mapping[str, Any]) -> UserError:
    """Return the error that an `error` of the stream is."""
    detail = str(message.get("message", message.get("code")))
    if message.get("code") == "unknown_symbol":
        return _user(
            UnknownSymbol.title,
            404,
            detail,
            [Complaint(("symbols",), detail, message.get("symbol"))],
        )
    if message.get("code") == "ambiguous_symbol":
        choices = ", ".join(message.get("choices", ()))
        return _user(
            AmbiguousSymbol.title, 400, detail, [Complaint(("symbols",), f"{_CHOICES}{choices}")]
        )
    return UserError(detail)


def refusal(answer: Mapping[str, Any]) -> TickplantError:
    """Return the error that an `error` of the ingest socket is."""
    detail = f"message {answer['seq']}: {answer['message']}"
    if answer["code"] == "failed":
        return TickplantError(detail)
    complaints = [_complaint(one) for one in answer.get("errors", ())]
    return InvalidBody(detail, complaints)


def _passing(title: str, detail: str, retry_after: str) -> PassingError:
    kind: type[PassingError] = _by_title(PassingError).get(title, PassingError)
    return kind(detail, retry_after_s=float(retry_after) if retry_after.isdigit() else 1.0)


def _user(title: str, status: int, detail: str, complaints: list[Complaint]) -> UserError:
    kind: type[UserError] = _by_title(UserError).get(title, UserError)
    # Made without its own initialiser, which would write the sentence anew from its parts.
    error = kind.__new__(kind)
    UserError.__init__(error, detail, complaints)
    error.status = status
    error.title = title or kind.title
    first = complaints[0] if complaints else Complaint((), "")
    if isinstance(error, AmbiguousSymbol):
        error.choices = tuple(first.msg.removeprefix(_CHOICES).split(", "))
    if isinstance(error, UnknownSymbol):
        error.symbol = str(first.value)
    return error


def _complaint(one: dict[str, Any]) -> Complaint:
    return Complaint(tuple(one.get("loc", ())), str(one.get("msg", "")), one.get("value"))


def _by_title(root: type[Any]) -> dict[str, type[Any]]:
    return {kind.title: kind for kind in _kinds(root)}


def _kinds(root: type[Any]) -> Iterator[type[Any]]:
    for kind in root.__subclasses__():
        if kind.__module__ == root.__module__:
            yield kind
            yield from _kinds(kind)
