"""Whether something was left out right behind an unplanned reconnect, by the numbers of trades.

    link ended ─► its last numbers        stream confirmed on the next link ─► a resumption
    gap repaired, with the numbers of what it brought ─► the next link's first number follows them?
                                                            no ─► a hole between the gap and it

What was missed while nothing was connected lies in a gap. What a venue leaves out as the first on
the new connection does not, and the number behind it says nothing before it is known how far the
gap went. When the gap is repaired, it is.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tickplant.feeds.supervisor.link import Link
from tickplant.feeds.venues.contract import Skipped, Stream

RESUMPTIONS_MAX = 8
"""Reconnects of a stream that may wait to be judged; where gaps are not repaired, older ones are
forgotten."""


@dataclass(slots=True)
class _Resumption:
    """A stream that a link delivers from `began` on; all up to `number` is known to be there."""

    link: Link
    began: int
    number: int


class Resumed:
    """What is to be judged of a run's links. One event loop; times are the venue's."""

    def __init__(self) -> None:
        self._lasts: dict[Stream, int] = {}
        self._open: dict[Stream, list[_Resumption]] = {}

    def ended(self, link: Link) -> None:
        """Take what a link had last that has ended with nothing in its place."""
        for stream, resumptions in self._open.items():
            self._lasts.update((stream, one.number) for one in resumptions if one.link is link)
        self._lasts.update((stream, mark[0]) for stream, mark in link.lasts().items())

    def renewed(self, link: Link, streams: Iterable[Stream]) -> None:
        """Take what a link had last of streams that it subscribes to again."""
        lasts = link.lasts()
        self._lasts.update((stream, lasts[stream][0]) for stream in streams if stream in lasts)

    def confirmed(self, link: Link, streams: Iterable[Stream], ts: int) -> None:
        """Note that streams are in force on a link from `ts` on."""
        for stream in streams:
            number = self._lasts.pop(stream, None)
            if number is not None:
                found = self._open.setdefault(stream, [])
                found.append(_Resumption(link, ts, number))
                del found[:-RESUMPTIONS_MAX]

    def dropped(self, streams: Iterable[Stream]) -> None:
        """Forget streams that are not wanted any more."""
        for stream in streams:
            self._lasts.pop(stream, None)
            self._open.pop(stream, None)

    def repaired(
        self, stream: Stream, start: int, end: int, numbers: NDArray[np.int64],
        ts: NDArray[np.int64],
    ) -> list[tuple[Link, Skipped]]:  # fmt: skip
        """Take what the repair of a gap found; return what was left out behind it."""
        holes: list[tuple[Link, Skipped]] = []
        left = []
        for one in self._open.pop(stream, ()):
            over = start < one.began <= end  # it is the gap that this link has ended
            within = numbers[ts < (end if over else one.began)]
            one.number = max(one.number, int(within.max(initial=one.number)))
            if over:
                found = one.link.take_over({stream: (one.number, end)})
                holes += [(one.link, hole) for hole in found]
            else:
                left.append(one)
        if left:
            self._open[stream] = left
        return holes
