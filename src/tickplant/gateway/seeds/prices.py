"""Polled prices: `/prices/latest`; the jobs are `gateway.rest.polling`."""

from __future__ import annotations

from starlette.responses import Response

from tickplant.gateway.doors import Call, Door
from tickplant.gateway.rest.answers import answer_json
from tickplant.gateway.rest.params import text
from tickplant.gateway.seeds.common import SYMBOL, TAG, wanted
from tickplant.gateway.seeds.trades import last_price, price_of
from tickplant.model.errors import Complaint, UnknownSymbol
from tickplant.model.instruments import Instrument

ALIASES = {"YFINANCE": "YAHOO"}
"""Providers whose venue has another name."""


def read_price(call: Call) -> Response:
    """Answer the last price of a symbol, of one provider where one is named."""
    instrument = _instrument(call)
    price, ts = price_of(last_price(call, instrument))
    return answer_json(
        {
            "symbol": instrument.symbol,
            "price": price,
            "timestamp": ts,
            "provider": instrument.venue.lower(),
        }
    )


def _instrument(call: Call) -> Instrument:
    provider, symbol = call.query["provider"], call.query["symbol"]
    if provider is None or symbol is None or ":" in symbol:
        return wanted(call)
    venue = ALIASES.get(provider.upper(), provider.upper())
    found = call.plant.registry.find(symbol.strip().upper(), venue)
    if found is None:
        fault = UnknownSymbol(f"{venue}:{symbol}")
        said = f"{symbol} is not known from the provider {provider}"
        fault.complaints = (Complaint(("query", "symbol"), said, symbol),)
        raise fault
    return found


DOORS = (
    Door(
        method="GET",
        path="/prices/latest",
        tag=TAG,
        summary="Last price from a provider",
        doc="The last price, as it was told and when it was told of, from this provider alone "
        "where one is named: `yahoo`, one of the configuration, or any venue.",
        model="ProvidedPriceModel",
        params=(
            SYMBOL,
            text("provider", "The provider, or venue, in any case.", length=32, example="yahoo"),
        ),
        refusals=(400, 404),
        read=read_price,
    ),
)
