"""What groups at one place of the ring are sent next: read, chosen, encoded and cut out together.

    entries ──► one of each topic
    wishes  ──► rows of each, by kind of wish ──► rows of any, encoded once
                     └──► those of some wishes, taken at once ──► a part of that for each

Hundreds of groups with symbols of their own want some rows each, so that a step for each of them
would cost more than the rows.
"""

from __future__ import annotations

import logging
from collections.abc import Hashable, Iterable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tickplant.gateway.stream.choice import ByInstrument, Chosen
from tickplant.gateway.stream.subscription import TURN_ROWS, Subscription
from tickplant.plant.encoded import NO_EVENTS, EncodedRows, Events
from tickplant.plant.hub import Cursor, Lagged
from tickplant.plant.published import Published

_LOG = logging.getLogger(__name__)

TOGETHER = 16_384
"""Events that are taken at once for some wishes, about; they are held until they have left."""

Taken = list[Published]


class Wishing(Protocol):
    """Subscriptions that want the same."""

    @property
    def lead(self) -> Subscription:
        """One of them."""
        ...


class Wishes:
    """What some groups want, sorted by how it is found; for as long as the groups stay the same."""

    def __init__(self, groups: Iterable[Wishing]) -> None:
        self.kinds: list[Kind] = []
        self._place: dict[Hashable, tuple[Kind, int]] = {}
        self._growing: list[Subscription] = []
        sorted_: dict[Hashable, dict[Hashable, Wishing]] = {}
        for group in groups:
            lead = group.lead
            lead.selection.grow()
            if lead.selection.grows:
                self._growing.append(lead)
            sorted_.setdefault(_kind_key(lead), {}).setdefault(lead.wish_key, group)
        for members in sorted_.values():
            kind = Kind([*members.values()])
            self.kinds.append(kind)
            self._place.update((key, (kind, place)) for place, key in enumerate(members))

    def place_of(self, one: Subscription) -> tuple[Kind, int]:
        """Return the kind of what a subscription wants, and which of that kind it is."""
        return self._place[one.wish_key]

    def have_grown(self) -> bool:
        """Whether a pattern has taken in an instrument since."""
        return any(lead.selection.grow() for lead in self._growing)


class Kind:
    """Wishes for the same topics in the same wire format, whose rows are found in the same way."""

    def __init__(self, groups: Sequence[Wishing]) -> None:
        leads = [group.lead for group in groups]
        self.topics = frozenset(leads[0].topics)
        self.codec_name = leads[0].codec_name
        self._groups = groups
        self._floor = max(lead.floor for lead in leads)
        self._wanted: ByInstrument | None = None
        self._plain = leads[0].chooses_by_instrument
        if self._plain and leads[0].selection.numbers is not None:
            self._wanted = ByInstrument([lead.selection.numbers or () for lead in leads])

    @property
    def lead(self) -> Subscription:
        """One that encodes for all."""
        return self._groups[0].lead

    def choose(self, entry: Published) -> Chosen:
        """Return the rows that each wish is for."""
        every = np.arange(entry.count)
        if not self._plain or entry.seq_first <= self._floor:
            found = [group.lead.wanted_of(entry) for group in self._groups]
            return Chosen.of([every if rows is None else rows for rows in found])
        if self._wanted is None:
            return Chosen.of([every] * len(self._groups))
        return self._wanted.choose(entry.instruments)


class Portions:
    """The next entries at a place of the ring, and the events of each group among them.

    `taken` is what was read, `after` the place behind it. On the event loop only. `events_of` is
    quickest in the order of the groups that the wishes are made of; in the end comes `close`.
    """

    def __init__(self, place: Cursor, upto: int, wishes: Wishes) -> None:
        self.after = place.copy()
        self.taken: Taken | Lagged = self.after.take(TURN_ROWS, upto)
        self._wishes = wishes
        self._merged = [] if isinstance(self.taken, Lagged) else _merge(self.taken)
        self._entries = [merged for merged, _ in self._merged]
        self._shares: dict[Kind, _Share] = {}
        try:
            self._shares = _shares(wishes.kinds, self._entries)
        except Exception:
            _LOG.exception("what is wanted could not be found and encoded at once")

    def events_of(self, one: Subscription) -> Events:
        """Return the events that a subscription wants.

        Where they could not be found together it tries for itself, and raises what that raises.
        """
        kind, place = self._wishes.place_of(one)
        share = self._shares.get(kind)
        return one.encoded(one.wanted(self._entries)) if share is None else share.events_of(place)

    def close(self) -> None:
        """Give the entries of the ring what was encoded of them."""
        for merged, entries in self._merged:
            merged.split(entries)


class _Share:
    """The events of the wishes of a kind: what is encoded of each entry, and who gets what."""

    def __init__(self, parts: Sequence[tuple[EncodedRows, Chosen]]) -> None:
        self._parts = parts
        self._span = range(0)
        self._taken: list[tuple[Events, list[int]]] = []

    def events_of(self, place: int) -> Events:
        """Return the events of a wish."""
        if not self._parts:
            return NO_EVENTS
        if place not in self._span:
            self._take_from(place)
        at = place - self._span.start
        parts = [events.part(edges[at], edges[at + 1]) for events, edges in self._taken]
        return parts[0] if len(parts) == 1 else Events.together(parts)

    def _take_from(self, first: int) -> None:
        """Take the events of a wish and of those behind it, until there are `TOGETHER`."""
        edges = np.sum([chosen.edges for _, chosen in self._parts], axis=0)
        enough = int(np.searchsorted(edges, edges[first] + TOGETHER))
        end = max(first + 1, min(enough, len(edges) - 1))
        self._span = range(first, end)
        self._taken = []
        for encoded, chosen in self._parts:
            low, high = chosen.edges[first], chosen.edges[end]
            events = Events.of_array(encoded.take(chosen.rows[low:high]))
            self._taken.append((events, (chosen.edges[first : end + 1] - low).tolist()))


def _shares(kinds: Sequence[Kind], entries: Sequence[Published]) -> dict[Kind, _Share]:
    """Find the rows of all wishes, and encode those that any of them wants."""
    found: dict[Kind, list[tuple[Published, Chosen]]] = {}
    union: dict[tuple[int, str], tuple[Kind, Published, NDArray[np.bool_]]] = {}
    for kind in kinds:
        found[kind] = []
        for entry in entries:
            if entry.topic in kind.topics and len((chosen := kind.choose(entry)).rows):
                found[kind].append((entry, chosen))
                nothing = kind, entry, np.zeros(entry.count, np.bool_)
                union.setdefault((id(entry), kind.codec_name), nothing)[2][chosen.rows] = True
    encoded = {
        key: kind.lead.encode(entry, np.flatnonzero(rows))
        for key, (kind, entry, rows) in union.items()
    }
    return {
        kind: _Share([(encoded[id(entry), kind.codec_name], chosen) for entry, chosen in some])
        for kind, some in found.items()
    }


def _kind_key(lead: Subscription) -> Hashable:
    plain = lead.chooses_by_instrument
    return frozenset(lead.topics), lead.codec_name, plain, plain and lead.selection.numbers is None


def _merge(taken: Taken) -> list[tuple[Published, Taken]]:
    """Return one entry for each topic, with those that it was made of."""
    topics: dict[Hashable, Taken] = {}
    for entry in taken:
        # Notices have no rows to be put together.
        topics.setdefault(entry.topic if entry.rows is not None else entry.position, []).append(
            entry
        )
    return [
        (entries[0], []) if len(entries) == 1 else (Published.merged(entries), entries)
        for entries in topics.values()
    ]
