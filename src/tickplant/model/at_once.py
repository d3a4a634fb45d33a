"""Work that must not wait: on an event loop, where everybody else would wait with it.

Inside of `at_once` whatever would touch a disk, wait for another thread, or take long raises
`WouldWait` instead, and whoever began it begins anew where waiting is allowed. So a read need not
know beforehand whether memory has all of it.
"""

from __future__ import annotations

import threading
from typing import Protocol


class WouldWait(Exception):
    """It cannot be done at once. Never reaches a user."""


class _Lock(Protocol):
    def acquire(self, blocking: bool = True) -> bool: ...

    def release(self) -> None: ...


class _Thread(threading.local):
    hurried = False


_THREAD = _Thread()


class _AtOnce:
    """A context without a state of its own, since each hot read enters it."""

    def __enter__(self) -> None:
        _THREAD.hurried = True

    def __exit__(self, *_: object) -> None:
        _THREAD.hurried = False


_AT_ONCE = _AtOnce()


def at_once() -> _AtOnce:
    """Let nothing wait on this thread within the context; not to be nested."""
    return _AT_ONCE


def about_to_wait() -> None:
    """Raise `WouldWait` on a thread that must not; to be called before what may take long."""
    if _THREAD.hurried:
        raise WouldWait


def about_to_lock(lock: _Lock) -> None:
    """Raise `WouldWait` on a thread that must not wait where somebody holds a lock now.

    For locks that are held for long at times; between this and taking it somebody may be quicker.
    One that is only ever held for a fraction of a millisecond is simply taken: going to another
    thread and back waits longer, for Python's own lock.
    """
    if _THREAD.hurried:
        if not lock.acquire(blocking=False):
            raise WouldWait
        lock.release()
