"""Symbols of Binance: what it calls an instrument, and what it lists of it."""

from __future__ import annotations

from tickplant.feeds.venues.binance import wire
from tickplant.feeds.venues.contract import Listing
from tickplant.model.times import NS_PER_MS, format_time


def native(symbol: str) -> str:
    """Return the venue's spelling of a canonical symbol that is not listed, upper case."""
    base, _, rest = symbol.upper().partition("-")
    return base + rest.replace("-", "_")


def read_listings(body: bytes) -> list[Listing]:
    """Return the instruments of an answer to `exchangeInfo`. Raises what `UNREADABLE` names."""
    return [_listing(symbol) for symbol in wire.decode_exchange(body).symbols]


def _listing(symbol: wire.Symbol) -> Listing:
    pair = f"{symbol.baseAsset}-{symbol.quoteAsset}".upper()
    expires = symbol.native_expiry
    return Listing(
        symbol=f"{pair}-{expires}" if expires else pair,
        native=symbol.symbol,
        kind=_kind(symbol),
        base=symbol.baseAsset,
        quote=symbol.quoteAsset,
        tick_size=_filter(symbol, "PRICE_FILTER", "tickSize"),
        lot_size=_filter(symbol, "LOT_SIZE", "stepSize"),
        underlying=pair if symbol.contractType else None,
        expiry=format_time(symbol.deliveryDate * NS_PER_MS) if expires else None,
        status="active" if symbol.status == "TRADING" else "inactive",
    )


def _kind(symbol: wire.Symbol) -> str:
    if not symbol.contractType:
        return "future" if symbol.native_expiry else "spot"
    return "perpetual" if "PERPETUAL" in symbol.contractType else "future"


def _filter(symbol: wire.Symbol, kind: str, field: str) -> float | None:
    found = next((one for one in symbol.filters if one.filterType == kind), None)
    text = getattr(found, field, "")
    return float(text) if text else None
