"""What the routes of the seeds share: the symbol in the query, times, and models."""

from __future__ import annotations

import numpy as np

from tickplant.gateway.doors import Call
from tickplant.gateway.rest.params import Param, said_in_query, text
from tickplant.model.errors import InvalidParameter, UserError
from tickplant.model.instruments import Instrument, Registry
from tickplant.model.times import NS_PER_S, format_time

TAG = "Other systems' routes"

SYMBOL = text("symbol", "`SYMBOL` or `VENUE:SYMBOL`, in any case.", example="EURUSD", required=True)


def wanted(call: Call) -> Instrument:
    """Return the instrument that the query names. Raises `UserError`: 400, or 404 for none."""
    return named(call.plant.registry, call.query["symbol"])


def named(registry: Registry, symbol: str | None) -> Instrument:
    """Return the instrument that `symbol` of a query names. Raises `UserError`, as `wanted`."""
    if symbol is None:
        raise InvalidParameter("symbol", "", "SYMBOL or VENUE:SYMBOL; it must be given")
    try:
        return registry.resolve(symbol)
    except UserError as fault:
        raise said_in_query(fault, "symbol") from None


def whole(name: str, low: int, high: int, default: int, doc: str) -> Param:
    """Return a parameter that is a whole number from `low` to `high`."""

    def parse(given: str) -> int:
        digits = given.strip()
        if not digits.isascii() or not digits.isdigit() or not low <= int(digits[:10]) <= high:
            raise InvalidParameter(name, given, f"a whole number from {low} to {high}")
        return int(digits)

    schema = {"type": "integer", "minimum": low, "maximum": high}
    return Param(name, parse, doc, schema, default)


def time_text(ts: int | np.integer | None) -> str | None:
    """Return a time in RFC 3339, None for none."""
    return None if ts is None else format_time(int(ts))


def seconds_since(ts: int | None, now: int) -> float | None:
    """Return how long ago that was, s; None for never."""
    return None if ts is None else round((now - ts) / NS_PER_S, 6)
