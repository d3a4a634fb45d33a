"""Which account a connection uses: each has room for so many; one that is refused comes last.

    session made ─► the first account with room ─► ended(status): room again; 403: refused
A connection that comes after a refusal so goes to another account, where there is room. Where there
is none, it tries the refused one again, which may have a new token by then.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from tickplant.feeds.venues.options import Account

REFUSALS = frozenset({400, 401, 403})
"""HTTP statuses by which Kite refuses a key or a token."""


@dataclass(slots=True)
class Seat:
    """An account, the `place`-th from 1, and the connections that it has open or is opening."""

    account: Account
    place: int
    open: int = 0
    refusals: int = 0


@dataclass(slots=True)
class Seats:
    """The accounts of a venue. One event loop."""

    each_max: int
    seats: list[Seat] = field(default_factory=list)

    @classmethod
    def of(cls, accounts: Sequence[Account], each_max: int) -> Seats:
        """Return seats of accounts that have room for `each_max` connections each."""
        return cls(each_max, [Seat(one, place) for place, one in enumerate(accounts, 1)])

    def take(self) -> Seat:
        """Return the account for one more connection, which counts as open until given back."""
        seat = min(
            self.seats,
            key=lambda one: (one.open >= self.each_max, one.refusals, one.open, one.place),
        )
        seat.open += 1
        return seat

    def give(self, seat: Seat, status: int | None) -> None:
        """Give an account back; `status` is the HTTP status that refused it, if any."""
        seat.open -= 1
        if status in REFUSALS:
            seat.refusals += 1
