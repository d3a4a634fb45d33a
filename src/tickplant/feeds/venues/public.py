"""What venues have in common that tell public data over a WebSocket and an HTTP API.

listings, book_snapshot, history ─► Question ─► ask ─► http.get ─► read(body)
                                                            └─ cannot be read ─► VenueFault
native(symbol) ─► as the venue lists it, by the venue's rule where it does not
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple, TypeVar

from tickplant.books.updates import Updates
from tickplant.feeds.venues.columns import UNREADABLE
from tickplant.feeds.venues.contract import Http, Listing, VenueFault
from tickplant.feeds.venues.options import VenueOptions
from tickplant.model.errors import ConfigError

T = TypeVar("T")


class Question(NamedTuple):
    """A request over HTTP; `weight` is what it counts by the venue's limits."""

    path: str
    params: Mapping[str, str] | None = None
    weight: int = 1


async def ask(http: Http, question: Question, read: Callable[[bytes], T], what: str) -> T:
    """Return what `read` makes of an answer; it raises one of `UNREADABLE` for a bad one.

    Raises `VenueFault`, which says that `what` cannot be read, or that nothing was answered.
    """
    body = await http.get(question.path, question.params, weight=question.weight)
    try:
        return read(body)
    except UNREADABLE as fault:
        raise VenueFault(f"{what} cannot be read: {fault}") from None


def refuse_accounts(name: str, options: VenueOptions, why: str = "public data needs none") -> None:
    """Raise `ConfigError` where a venue is given an account that it cannot use."""
    if options.accounts:
        raise ConfigError(f"{name}: account: {why}, and none is used; leave it out")


class PublicVenue:
    """The part of a `Venue` that these have in common: names, listings, snapshots of books.

    A venue has its facts besides, and says what to ask for and how to read it.
    """

    def __init__(self, options: VenueOptions, url: str, http_url: str) -> None:
        self._url = (options.url or url).rstrip("/")
        self.http_url: str | None = options.http_url or http_url
        self._natives: dict[str, str] = {}

    # -- what a venue says ---------------------------------------------------------------------

    def rule(self, symbol: str) -> str:
        """Return the spelling of a symbol that is not listed: the same."""
        return symbol

    def listed_by(self) -> Question:
        """Return what asks for everything that is listed."""
        raise NotImplementedError

    def read_listings(self, body: bytes) -> Sequence[Listing]:
        """Return what is listed. Raises one of `UNREADABLE`."""
        raise NotImplementedError

    def book_by(self, symbol: str) -> Question:
        """Return what asks for the book of a symbol."""
        raise NotImplementedError

    def read_book(self, symbol: str, body: bytes) -> Updates:
        """Return a book as one snapshot. Raises one of `UNREADABLE`."""
        raise NotImplementedError

    # -- what is done with it --------------------------------------------------------------------

    async def listings(self, http: Http) -> Sequence[Listing]:
        """See `Venue.listings`."""
        return await ask(http, self.listed_by(), self.read_listings, "what is listed")

    def learn(self, listings: Sequence[Listing]) -> None:
        """See `Venue.learn`."""
        self._natives.update((listing.symbol, listing.native) for listing in listings)

    def native(self, symbol: str) -> str:
        """See `Venue.native`."""
        return self._natives.get(symbol) or self.rule(symbol)

    async def book_snapshot(self, http: Http, symbol: str) -> Updates:
        """See `Venue.book_snapshot`."""
        read = partial(self.read_book, symbol)
        return await ask(http, self.book_by(symbol), read, f"{symbol}: the book")
