"""Trades and freshness: `/price/latest`, `/trades`, `/candles`, `/status/ingestion`."""

from __future__ import annotations

import math
from typing import Any

import msgspec
from starlette.responses import Response

from tickplant.formats.rows import trade_structs
from tickplant.gateway.doors import Call, Door
from tickplant.gateway.rest import candles
from tickplant.gateway.rest.answers import answer_json
from tickplant.gateway.rest.latest import latest_of
from tickplant.gateway.rest.params import AS_OF, END, LIMIT, ORDER, PAGE_TOKEN, START
from tickplant.gateway.rest.ticks import read_page
from tickplant.gateway.seeds.common import SYMBOL, TAG, seconds_since, time_text, wanted
from tickplant.model.errors import Complaint, NotFound
from tickplant.model.events import TRADES
from tickplant.model.instruments import Instrument
from tickplant.model.times import NS_PER_S
from tickplant.plant.health import ingestion, probe_all


def last_price(call: Call, instrument: Instrument) -> dict[str, Any]:
    """Return the last of an instrument with a price. Raises `NotFound` where it has none."""
    row = latest_of(call.plant, [instrument])[0]
    if row["trade"] is None and row["quote"] is None:
        said = f"there is no price of {instrument.name} yet"
        raise NotFound(f"symbol: {said}", [Complaint(("query", "symbol"), said, instrument.name)])
    return row


def price_of(row: dict[str, Any]) -> tuple[float | None, str | None]:
    """Return the last trade's price and time; without trades the middle of the last quote."""
    if row["trade"] is not None:
        return row["trade"].price, row["trade"].ts_event
    quote = row["quote"]
    sides = (quote.bid_price, quote.ask_price)
    known = [side for side in sides if side is not None and not math.isnan(side)]
    return (sum(known) / len(known) if known else None), quote.ts_event


def read_latest_price(call: Call) -> Response:
    """Answer the last price with its age."""
    instrument = wanted(call)
    row = last_price(call, instrument)
    price, ts = price_of(row)
    return answer_json(
        {
            "symbol": instrument.symbol,
            "venue": instrument.venue,
            "price": price,
            "timestamp": ts,
            "age_seconds": row["age_s"],
            "freshness": row["freshness"],
        }
    )


def read_trades(call: Call) -> Response:
    """Answer trades by event time, then sequence number."""
    instrument = wanted(call)
    history = call.plant.history

    def rows_of(**query: Any) -> Any:
        return history.trades(instrument, **query)

    rows, token = read_page(call, rows_of, instrument.number)
    trades = [
        {"symbol": instrument.symbol, "timestamp": row["ts_event"], **row}
        for row in msgspec.to_builtins(trade_structs(rows))
    ]
    return answer_json(
        {
            "symbol": instrument.symbol,
            "count": len(trades),
            "trades": trades,
            "next_page_token": token,
        }
    )


def read_candles(call: Call) -> Response:
    """Answer candles as `/v1/candles/{symbol}` does."""
    instrument = wanted(call)
    return candles.read_candles(call._replace(path={"symbol": instrument.name}))


def read_ingestion(call: Call) -> Response:
    """Answer whether rows are being stored, and since when not."""
    return answer_json(ingestion_of(call))


def ingestion_of(call: Call) -> dict[str, Any]:
    """Return what consumers decide by whether they may trust what is here."""
    plant = call.plant
    now = plant.clock()
    span = plant.history.store.span(TRADES)
    probes = probe_all(plant)
    return {
        **ingestion(plant, now),
        "seconds_since_last_trade": None if span is None else seconds_since(span[1], now),
        "db_healthy": probes["log"][0] and probes["store"][0],
        "uptime_seconds": round((now - plant.started_at) / NS_PER_S, 3),
        "process_started_at": time_text(plant.started_at),
    }


DOORS = (
    Door(
        method="GET",
        path="/price/latest",
        tag=TAG,
        summary="Last price with its age",
        doc="The price of the last trade, or the middle of the last quote where there are no "
        "trades. An unknown symbol, or one without a price, is 404.",
        model="PriceModel",
        params=(SYMBOL,),
        refusals=(400, 404),
        read=read_latest_price,
    ),
    Door(
        method="GET",
        path="/trades",
        tag=TAG,
        summary="Trades of a symbol",
        doc="Trades with `start <= timestamp < end`, by event time and then sequence number.",
        model="TradesModel",
        params=(SYMBOL, START, END, ORDER, LIMIT, PAGE_TOKEN, AS_OF),
        refusals=(400, 404),
        read=read_trades,
    ),
    Door(
        method="GET",
        path="/candles",
        tag=TAG,
        summary="Candles of a symbol",
        doc="As `GET /v1/candles/{symbol}`, with the symbol in the query. A bar that is not over "
        "says so; it never replaces a whole one.",
        model="CandlesPage",
        params=(SYMBOL, *candles.CANDLE_PARAMS),
        rows=True,
        refusals=(400, 404, 406),
        read=read_candles,
    ),
    Door(
        method="GET",
        path="/status/ingestion",
        tag=TAG,
        summary="Is ingestion alive?",
        doc="The heartbeat is the last durable commit of rows. Ingestion is alive while that is "
        "not older than three times `plant.ingestion_interval_s`.",
        model="IngestionModel",
        read=read_ingestion,
    ),
)
