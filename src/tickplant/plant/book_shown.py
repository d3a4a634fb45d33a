"""A book with what is measured of it, as an answer and as an event of the stream."""

from __future__ import annotations

from typing import Any

from tickplant.books.measures import IMBALANCE_LEVELS, Measures, measure
from tickplant.formats.books import listed_levels
from tickplant.model.errors import InvalidParameter
from tickplant.model.instruments import Instrument
from tickplant.model.times import format_time
from tickplant.plant.books import BookView
from tickplant.plant.history import History
from tickplant.store.contract import NOW, AsOf

DEPTH_DEFAULT, DEPTH_MAX = 20, 10_000
BPS_MAX = 10_000.0


def check_depth(depth: int, where: str = "query") -> int:
    """Return a number of levels a side. Raises `InvalidParameter`."""
    if not 1 <= depth <= DEPTH_MAX:
        allowed = f"a whole number from 1 to {DEPTH_MAX}"
        raise InvalidParameter("depth", depth, allowed, where=where)
    return depth


def check_bps(bps: float | None, where: str = "query") -> float | None:
    """Return basis points of a price. Raises `InvalidParameter`."""
    if bps is not None and not 0 < bps <= BPS_MAX:
        allowed = f"a number above 0 and not above {BPS_MAX:g}"
        raise InvalidParameter("bps", bps, allowed, where=where)
    return bps


def read_measured(
    history: History,
    instrument: Instrument,
    depth: int = DEPTH_DEFAULT,
    bps: float | None = None,
    as_of: AsOf = NOW,
) -> tuple[BookView, Measures]:
    """Return the best levels of a book and what is measured of all of it."""
    needed = 0 if bps is not None else max(depth, IMBALANCE_LEVELS)
    view = history.order_book(instrument, needed, as_of)
    return view.cut(depth), measure(view.bids, view.asks, bps)


def shown_book(
    instrument: Instrument, view: BookView, found: Measures, bps: float | None = None
) -> dict[str, Any]:
    """Return a book as JSON shows it; what there is not is None."""
    shown: dict[str, Any] = {
        "symbol": instrument.symbol,
        "venue": instrument.venue,
        "ts_event": None if view.ts_event is None else format_time(view.ts_event),
        "ts_recv": None if view.ts_recv is None else format_time(view.ts_recv),
        "seq": view.seq,
        "state": view.state,
        "mid": found.mid,
        "spread": found.spread,
        "spread_bps": found.spread_bps,
        "imbalance": found.imbalance,
        "signal": found.signal,
    }
    if bps is not None:
        near = found.depth
        shown["depth_bps"] = {
            "bps": bps,
            "bid": None if near is None else near.bid,
            "ask": None if near is None else near.ask,
        }
    return {**shown, "bids": listed_levels(view.bids), "asks": listed_levels(view.asks)}
