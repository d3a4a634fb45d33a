"""Requests to subscribe that are not answered yet, where the answer is the list of everything.

    asked(streams) ─► listed({…})     ─► Confirmed, for what the list shows to be done
                  └─► failed("why")   ─► Refused, for the oldest request that is open

Such venues (both of Coinbase) do not say which request they answer, but answer in order. So of a
stream that was asked for twice, ended and wanted again, only the oldest request can be answered.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from tickplant.feeds.venues.contract import Confirmed, Refused, Said, Stream

PASSING = ("rate limit", "too many", "try again", "timeout", "internal")
"""Words of reasons that pass."""


@dataclass(slots=True)
class _Request:
    streams: list[Stream]
    ends: bool


class Pending:
    """The requests of one connection.

    `wanted` is what it is to carry, `streams` at first, and then what was asked for and not ended.
    """

    def __init__(self, streams: Sequence[Stream] = ()) -> None:
        self.wanted: dict[Stream, None] = dict.fromkeys(streams)  # in order
        self._requests: list[_Request] = []

    def ask(self, streams: Sequence[Stream], *, ends: bool = False) -> None:
        """Note that these are asked for, or ended, in one request to the venue."""
        self._requests.append(_Request(list(streams), ends))
        for stream in streams:
            if ends:
                self.wanted.pop(stream, None)
            else:
                self.wanted[stream] = None

    def listed(self, streams: Collection[Stream]) -> list[Said]:
        """Return what is confirmed by the venue's list of everything that is subscribed."""
        said: list[Said] = []
        older: set[Stream] = set()
        for request in self._requests:
            done = [
                stream
                for stream in request.streams
                if stream not in older and (stream in streams) != request.ends
            ]
            older.update(request.streams)
            if done:
                said.append(Confirmed(tuple(done), ends=request.ends))
                request.streams = [one for one in request.streams if one not in done]
        self._requests = [request for request in self._requests if request.streams]
        return said

    def failed(self, reason: str) -> Refused:
        """Return what is refused by an error that names no request."""
        request = self._requests.pop(0) if self._requests else _Request([], False)
        if not request.ends:
            for stream in request.streams:
                self.wanted.pop(stream, None)
        passing = any(word in reason.lower() for word in PASSING)
        return Refused(tuple(request.streams), reason, passing)
