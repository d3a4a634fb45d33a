"""The venues that there are, by the name that a configuration calls them.

A venue is a module `feeds/venues/<module>/client.py` with `make(options: VenueOptions) -> Venue`.
It is imported when a feed of it is made and not before: some need packages of their own.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import cast

from tickplant.feeds.venues.contract import CHANNELS, Channel, Venue
from tickplant.feeds.venues.options import VenueOptions
from tickplant.model.errors import ConfigError, shorten

PACKAGE = "tickplant.feeds.venues"


@dataclass(frozen=True, slots=True)
class KnownVenue:
    """How a venue is configured. `keys` are those of its own, `required` those of them that must be
    given; `channels` what is subscribed to where a feed names no channels."""

    name: str
    module: str
    doc: str
    keys: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    channels: tuple[Channel, ...] = ("trades", "quotes")


KNOWN: dict[str, KnownVenue] = {
    venue.name: venue
    for venue in (
        KnownVenue("binance", "binance", "Binance spot"),
        KnownVenue("binance-futures", "binance_futures", "Binance USD-M futures"),
        KnownVenue("coinbase", "coinbase", "Coinbase Advanced Trade"),
        KnownVenue("coinbase-exchange", "coinbase_exchange", "Coinbase Exchange"),
        KnownVenue("kraken", "kraken", "Kraken, protocol version 2", keys=("depth",)),
        KnownVenue("deribit", "deribit", "Deribit"),
        KnownVenue(
            "kite",
            "kite",
            "Zerodha Kite",
            keys=("exchange", "instruments", "trades_mode", "instruments_max", "connections_max"),
            channels=CHANNELS,
        ),
        KnownVenue(
            "ccxt",
            "ccxt_pro",
            "any exchange of the ccxt library",
            keys=("exchange", "depth"),
            required=("exchange",),
        ),
    )
}
"""The venues by name. A venue that takes keys of its own lists them here."""


def known_venue(name: str) -> KnownVenue:
    """Return how a venue is configured; raises `ConfigError` with the nearest name there is."""
    found = KNOWN.get(name.strip().lower())
    if found is None:
        nearest = difflib.get_close_matches(name.strip().lower(), KNOWN, n=1, cutoff=0.0)[0]
        raise ConfigError(
            f"venue: {shorten(name) or 'an empty name'} is not known; the nearest is {nearest}; "
            f"known are {', '.join(KNOWN)}"
        )
    return found


def make_venue(name: str, options: VenueOptions) -> Venue:
    """Return the venue of this name; raises `ConfigError`, `NotInstalled` where it needs more."""
    known = known_venue(name)
    client = import_module(f"{PACKAGE}.{known.module}.client")
    make = cast(Callable[[VenueOptions], Venue], client.make)
    return make(options)
