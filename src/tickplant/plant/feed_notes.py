"""What feeds say besides their rows: when they began, that they are alive, what they missed.

Each note is about one feed, by name. Times are event times, ns UTC, never the wall clock's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tickplant.model.errors import InvalidParameter
from tickplant.model.times import format_time

COMPLETE_MAX = 500
"""Most instruments in one declaration: each costs the plant a look at what is known of it."""


@dataclass(frozen=True, slots=True)
class Begun:
    """The feed is connected and subscribed; from its next event or heartbeat on it covers.

    `start` is from when on it delivers everything, where it knows that: it may lie back in time,
    when a feed resumes where it was cut; with `resume` it is where the feed had come, if anywhere.
    `symbols` are (symbol, venue) of what it is subscribed to,
    None for everything there is. What it served before and does not name now it serves no more, but
    for `waiting`: those it is about to deliver, and says so with `Subscribed`; until then they miss
    what comes.
    """

    feed: str
    start: int | None = None
    symbols: Sequence[tuple[str, str]] | None = None
    waiting: Sequence[tuple[str, str]] = ()
    resume: bool = False


@dataclass(frozen=True, slots=True)
class Alive:
    """Every event up to `ts` has been delivered: a heartbeat."""

    feed: str
    ts: int


@dataclass(frozen=True, slots=True)
class Subscribed:
    """More instruments are delivered from `ts` on, or again, or with `ends` no more."""

    feed: str
    symbols: Sequence[tuple[str, str]]
    ts: int
    ends: bool = False


@dataclass(frozen=True, slots=True)
class Lost:
    """Nothing is delivered any more, from where the feed has come until it is back.

    With `symbols` only of these instruments, until `Subscribed` says that they are delivered again.
    `start` is up to where everything was delivered, where the feed knows that better than its
    events show it.
    """

    feed: str
    cause: str
    detail: str | None = None
    symbols: Sequence[tuple[str, str]] | None = None
    start: int | None = None


@dataclass(frozen=True, slots=True)
class Hole:
    """A span of event time was not delivered, of these instruments or (None) of all."""

    feed: str
    start: int
    end: int
    cause: str
    symbols: Sequence[tuple[str, str]] | None = None
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class Repair:
    """What became of a gap, by its id: `repairing`, `repaired` or `unrepairable`."""

    feed: str
    id: int
    status: str
    events: int | None = None
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class Complete:
    """Somebody says that all events of these instruments in a span are there.

    Instruments that are not known are left out.
    """

    feed: str
    symbols: Sequence[tuple[str, str]]
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Finished:
    """The feed has come to its end."""

    feed: str


@dataclass(frozen=True, slots=True)
class Judged:
    """How a feed judges its connections and streams now: told to who watches, and not kept.

    `facts` are values that JSON knows, by name.
    """

    feed: str
    facts: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Known:
    """What a venue lists of instruments: facts that the catalogue takes over, and other names."""

    feed: str
    instruments: Sequence[Mapping[str, Any]]


Note = Begun | Alive | Subscribed | Lost | Hole | Repair | Complete | Finished | Judged | Known


def check_complete(
    start: int, end: int, now: int, *, name: str = "end", where: str = "query"
) -> None:
    """Raise `InvalidParameter` for a span that cannot be declared complete: empty, or not over."""
    if start >= end:
        raise InvalidParameter(name, format_time(end), f"after {format_time(start)}", where=where)
    if end > now:
        allowed = f"a time that is past, up to {format_time(now)}"
        raise InvalidParameter(name, format_time(end), allowed, where=where)
