"""Examples of answers for the OpenAPI document, made of the examples that the models' fields have.

A test asks a running plant and holds the columns below against what it answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

_TRADES = (
    "symbol,venue,ts_event,ts_recv,seq,price,size,side,id,conditions,exchange,flags,corrects\n"
    "EURUSD,ORIGIN,2014-05-07T00:00:01Z,2014-05-07T00:00:01.25Z,1043,1.3928,100,buy,T-17,,,,\n"
)
_STATS = (
    "symbol,venue,ts_event,ts_recv,seq,name,value,flags\n"
    "BTC-USDT,ORIGIN,2014-05-07T00:00:01Z,2014-05-07T00:00:01.25Z,1045,open_interest,81450.5,\n"
)
_CANDLES = (
    "symbol,venue,interval,basis,start,end,open,high,low,close,volume,vwap,count,revision,state,"
    "coverage\n"
    "EURUSD,ORIGIN,1m,trade,2014-05-07T00:00:00Z,2014-05-07T00:01:00Z,1.3928,1.3931,1.3927,1.393,"
    "1200,1.39295,42,5077,complete,1\n"
)
CSV: Mapping[str, str] = {
    "/v1/instruments": (
        "symbol,venue,kind,base,quote,tick_size,lot_size,underlying,expiry,strike,right,timezone,"
        "calendar,status,aliases\n"
        "EURUSD,ORIGIN,fx,EUR,USD,,,,,,,,,active,\n"
    ),
    "/v1/trades/{symbol}": _TRADES,
    "/v1/quotes/{symbol}": (
        "symbol,venue,ts_event,ts_recv,seq,bid_price,bid_size,ask_price,ask_size,exchange,flags\n"
        "EURUSD,ORIGIN,2014-05-07T00:00:01Z,2014-05-07T00:00:01.25Z,1044,1.3927,1000000,1.3929,"
        "2000000,,\n"
    ),
    "/v1/stats/{symbol}": _STATS,
    "/v1/stats": _STATS,
    "/v1/books/{symbol}": (
        "symbol,venue,ts_event,ts_recv,seq,state,side,level,price,size,orders\n"
        "BTC-USDT,BINANCE,2026-05-07T00:00:01Z,2026-05-07T00:00:01.25Z,1046,live,bid,0,64000,"
        "1.5,\n"
    ),
    "/v1/candles/{symbol}": _CANDLES,
    "/candles": _CANDLES,
    "/v1/indicators/{symbol}": (
        "symbol,venue,interval,basis,start,end,state,revision,close,sma\n"
        "EURUSD,ORIGIN,1m,trade,2014-05-07T00:00:00Z,2014-05-07T00:01:00Z,complete,5077,1.393,"
        "1.39295\n"
    ),
    "/v1/latest": (
        "symbol,venue,ts_event,age_s,freshness,price,size,bid_price,bid_size,ask_price,ask_size\n"
        "EURUSD,ORIGIN,2014-05-07T00:00:01Z,0.25,FRESH,1.3928,100,1.3927,1000000,1.3929,2000000\n"
    ),
    "/v1/gaps": (
        "id,feed,symbol,venue,start,end,duration_s,cause,status,noticed,events,changed,detail\n"
        "5078,push,EURUSD,ORIGIN,2014-05-07T00:00:01Z,2014-05-07T00:03:00Z,179,restart,repaired,"
        "2014-05-07T00:03:01Z,17,5079,\n"
    ),
    "/v1/quarantine": (
        "ts_recv,seq,feed,table,symbol,reason,detail,row\n"
        "2014-05-07T00:00:01.25Z,1045,push,trades,EURUSD,price_not_positive,"
        '"price: -1 is not allowed; allowed is a number above 0",'
        '"{""symbol"":""EURUSD"",""price"":-1}"\n'
    ),
}
"""An answer as CSV of each route that has one, by path."""


def example_of(model: type[BaseModel]) -> Any:
    """Return an example that the model's schema allows.

    Raises `LookupError` where a field has neither an example nor a value that goes without saying.
    """
    schema = model.model_json_schema(mode="serialization")
    return _example(schema, schema.get("$defs", {}), model.__name__)


def _example(schema: Mapping[str, Any], known: Mapping[str, Any], where: str) -> Any:
    if schema.get("examples"):
        return schema["examples"][0]
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return _example(known[name], known, name)
    if "enum" in schema or "const" in schema:
        return schema.get("const") or schema["enum"][0]
    if "anyOf" in schema:
        return _any_of(schema["anyOf"], known, where)
    if schema.get("type") == "array":
        return [_example(schema["items"], known, where)] if "$ref" in schema["items"] else []
    if "properties" in schema:
        needed = schema.get("required", ())
        return {
            name: _example(schema["properties"][name], known, f"{where}.{name}") for name in needed
        }
    raise LookupError(f"{where} has no example")


def _any_of(choices: list[Mapping[str, Any]], known: Mapping[str, Any], where: str) -> Any:
    """Return one of a model, else null, which says that there is nothing to tell."""
    for choice in choices:
        if "$ref" in choice:
            return _example(choice, known, where)
    if any(choice.get("type") == "null" for choice in choices):
        return None
    raise LookupError(f"{where} has no example")
