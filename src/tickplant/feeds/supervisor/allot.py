"""Which connection carries which streams. Pure.

The streams of a symbol stay together where they fit, so that a connection that fails costs as few
symbols as can be. What there is room for goes where room is; what is there stays where it is. A
connection carries streams of one route only, where a venue has several.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from tickplant.feeds.venues.contract import Channel, Limits, Stream

Routes = Mapping[Channel, str]


@dataclass(slots=True)
class _Load:
    """What one line carries."""

    route: str | None
    streams: int = 0
    symbols: set[str] = field(default_factory=set)

    def has_room(self, piece: Sequence[Stream], limits: Limits) -> bool:
        """Say whether the streams of one symbol fit as well."""
        if limits.streams_max is not None and self.streams + len(piece) > limits.streams_max:
            return False
        more = piece[0].symbol not in self.symbols
        return limits.symbols_max is None or len(self.symbols) + more <= limits.symbols_max

    def take(self, piece: Sequence[Stream]) -> None:
        """Carry them."""
        self.streams += len(piece)
        self.symbols.add(piece[0].symbol)


def allot(
    streams: Sequence[Stream],
    carried: Mapping[int, Collection[Stream]],
    limits: Limits,
    routes: Routes | None = None,
) -> tuple[dict[int, list[Stream]], list[Stream]]:
    """Return the streams that each line gets by its number, and those that there is no room for.

    `carried` says what each line carries now; numbers that it lacks are new lines.
    """
    routes = routes or {}
    loads = {number: _load(mine, routes) for number, mine in carried.items()}
    given: dict[int, list[Stream]] = {}
    left: list[Stream] = []

    def together(stream: Stream) -> tuple[str, str]:
        return stream.symbol, routes.get(stream.channel, "")

    for _, group in groupby(sorted(streams, key=together), key=together):
        for piece in _pieces(list(group), limits.streams_max):
            number = _line_with_room(loads, piece, limits, routes)
            if number is None:
                if limits.connections_max is not None and len(loads) >= limits.connections_max:
                    left += piece
                    continue
                number = next(n for n in range(1, len(loads) + 2) if n not in loads)
                loads[number] = _Load(routes.get(piece[0].channel))
            loads[number].take(piece)
            given.setdefault(number, []).extend(piece)
    return given, left


def _load(mine: Collection[Stream], routes: Routes) -> _Load:
    route = next((routes.get(stream.channel) for stream in mine), None)
    return _Load(route, len(mine), {stream.symbol for stream in mine})


def _pieces(streams: list[Stream], streams_max: int | None) -> list[list[Stream]]:
    size = len(streams) if streams_max is None else streams_max
    return [streams[at : at + size] for at in range(0, len(streams), size)]


def _line_with_room(
    loads: Mapping[int, _Load], piece: Sequence[Stream], limits: Limits, routes: Routes
) -> int | None:
    """Return the fullest line that has room, so that lines fill up and few are needed."""
    route = routes.get(piece[0].channel)
    fits = [n for n, load in loads.items() if load.route == route and load.has_room(piece, limits)]
    return max(fits, key=lambda n: (loads[n].streams, -n), default=None)
