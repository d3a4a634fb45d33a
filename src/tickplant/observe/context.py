"""What the work at hand belongs to: the request, the feed, the connection. Every log line tells it.

    HTTP request, WebSocket ─► bind(request=…) ─┐
    feed ─► bind(feed=…) ───────────────────────┴─► log lines of the task, and of what it starts

One context variable with one small mapping: a task of asyncio inherits it from the task that made
it, and whoever hands work to another thread hands the mapping over (`bound`, `bind_all`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar, Token

Bound = Mapping[str, str | int]

_NOTHING: Bound = {}
_BOUND: ContextVar[Bound] = ContextVar("tickplant", default=_NOTHING)


def bound() -> Bound:
    """Return what the work at hand belongs to; not to be changed."""
    return _BOUND.get()


def bind(**values: str | int) -> Token[Bound]:
    """Say what the work of this task belongs to from now on, besides what it does already."""
    return _BOUND.set({**_BOUND.get(), **values})


def unbind(token: Token[Bound]) -> None:
    """Undo one `bind`, in the same task."""
    _BOUND.reset(token)


@contextmanager
def bind_all(values: Bound) -> Iterator[None]:
    """Work on something that another thread handed over with its `bound()`."""
    token = _BOUND.set({**_BOUND.get(), **values})
    try:
        yield
    finally:
        _BOUND.reset(token)
