"""Which connection carries which streams. Pure.

The streams of a symbol stay together where they fit, so that a connection that fails costs as few
symbols as can be. What there is room for goes where room is; what is there stays where it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby

from tickplant.feeds.venues.contract import Stream


def allot(
    streams: Sequence[Stream],
    carried: Mapping[int, int],
    *,
    streams_max: int | None,
    lines_max: int | None,
) -> tuple[dict[int, list[Stream]], list[Stream]]:
    """Return the streams that each line gets by its number, and those that there is no room for.

    `carried` says how many each line carries now; numbers that it lacks are new lines. None is no
    limit.
    """
    load = dict(carried)
    given: dict[int, list[Stream]] = {}
    left: list[Stream] = []
    ordered = sorted(streams, key=lambda stream: stream.symbol)
    for _, group in groupby(ordered, key=lambda stream: stream.symbol):
        for piece in _pieces(list(group), streams_max):
            line = _line_with_room(load, len(piece), streams_max)
            if line is None:
                if lines_max is not None and len(load) >= lines_max:
                    left += piece
                    continue
                line = next(n for n in range(1, len(load) + 2) if n not in load)
                load[line] = 0
            load[line] += len(piece)
            given.setdefault(line, []).extend(piece)
    return given, left


def _pieces(streams: list[Stream], streams_max: int | None) -> list[list[Stream]]:
    size = len(streams) if streams_max is None else streams_max
    return [streams[at : at + size] for at in range(0, len(streams), size)]


def _line_with_room(load: Mapping[int, int], count: int, streams_max: int | None) -> int | None:
    """Return the fullest line that has room, so that lines fill up and few are needed."""
    if streams_max is None:
        return min(load, default=None)
    fits = [line for line, carried in load.items() if carried + count <= streams_max]
    return max(fits, key=lambda line: (load[line], -line), default=None)
