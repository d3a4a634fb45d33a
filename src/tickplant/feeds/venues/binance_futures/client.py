"""Binance USD-M futures as a venue.

Since 2026 its streams come by two routes (developers.binance.com, USDS-M futures, "Important
WebSocket Change Notice"): what changes most at `/public`, the rest at `/market`. A stream that is
asked for at the other route is confirmed and stays silent. Past aggregate trades are kept for a
day.
"""

from __future__ import annotations

from tickplant.feeds.venues.binance.client import DAY_S, Binance, Market
from tickplant.feeds.venues.binance.session import BATCH
from tickplant.feeds.venues.contract import Limits, Rate
from tickplant.feeds.venues.options import VenueOptions
from tickplant.model.times import NS_PER_S

PUBLIC, MARKET = "/public/stream", "/market/stream"

FUTURES = Market(
    name="BINANCE-FUTURES",
    url="wss://fstream.binance.com",
    http_url="https://fapi.binance.com",
    base="/fapi/v1",
    channels=("trades", "quotes", "book", "stats"),
    routes={"trades": MARKET, "quotes": PUBLIC, "book": PUBLIC, "stats": MARKET},
    limits=Limits(
        streams_max=1_024,
        connects=Rate(300, 300.0),
        messages=Rate(9, 1.0),  # of ten, one is kept for what answers a ping
        batch_max=BATCH,
        weight=Rate(2_400, 60.0),
        age_s_max=DAY_S,
    ),
    book_rule="binance-futures",
    weights={"depth": 20, "aggTrades": 20, "exchangeInfo": 1},
    reach_ns=int(DAY_S) * NS_PER_S,
)


def make(options: VenueOptions) -> Binance:
    """Return the futures. Raises `ConfigError` where it is given an account."""
    return Binance(FUTURES, options)
