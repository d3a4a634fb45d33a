"""The best prices of instruments, whoever asks: `/spread`, `/liquidity`, the market's gauges."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tickplant.books.book import Level
from tickplant.books.measures import IMBALANCE_LEVELS, Measures, measure
from tickplant.model.events import QUOTES, TRADES
from tickplant.model.instruments import Instrument
from tickplant.model.times import INT64_MIN, NS_PER_S
from tickplant.observe.outward import Top
from tickplant.plant.books import BookView
from tickplant.plant.history import History
from tickplant.plant.latest import book_times


def top_of(history: History, instrument: Instrument) -> tuple[BookView, Measures]:
    """Return the best five levels and their measures: of the live book, else of the last quote.

    A quote is a book of one level. What is neither is a view without levels.
    """
    quotes, _ = history.last_rows(QUOTES, [instrument])
    return _better(history.order_book(instrument, IMBALANCE_LEVELS), instrument, quotes[0])


def tops(history: History, instruments: Sequence[Instrument], now: int) -> list[Top]:
    """Return what the market's gauges show of instruments at `now`, ns.

    Of books those that are held: nobody reads a store for every instrument at every scrape.
    """
    quotes, quoted = history.last_rows(QUOTES, instruments)
    _, traded = history.last_rows(TRADES, instruments)
    booked = book_times(history, np.array([one.number for one in instruments], np.int64)).tolist()
    found = []
    for place, instrument in enumerate(instruments):
        _, measures = _better(_held(history, instrument), instrument, quotes[place])
        newest = max(quoted[place], traded[place], booked[place])
        age_s = None if newest == INT64_MIN else (now - newest) / NS_PER_S
        found.append(
            Top(instrument.symbol, instrument.venue, measures.mid, measures.spread_bps,
                measures.imbalance, age_s)
        )  # fmt: skip
    return found


def _held(history: History, instrument: Instrument) -> BookView:
    books = history.books
    view = None if books is None else books.view(instrument.number, IMBALANCE_LEVELS)
    return BookView(instrument.number, "none") if view is None else view


def _better(
    view: BookView, instrument: Instrument, quote: dict[str, Any] | None
) -> tuple[BookView, Measures]:
    quoted = quote_view(instrument, quote)
    newer = quoted.ts_event is not None and (view.ts_event or INT64_MIN) < quoted.ts_event
    if view.state != "live" and newer:
        view = quoted
    found = measure(view.bids, view.asks)
    if any(np.isnan(level.size) for level in (*view.bids, *view.asks)):
        found = found._replace(imbalance=None, signal=None)  # a quote without sizes
    return view, found


def quote_view(instrument: Instrument, row: dict[str, Any] | None) -> BookView:
    """Return a row of `quotes` as a book of one level a side."""
    if row is None:
        return BookView(instrument.number, "none")
    sides = [_level(row[f"{side}_price"], row[f"{side}_size"]) for side in ("bid", "ask")]
    return BookView(instrument.number, "live", row["ts_event"], row["ts_recv"], row["seq"], *sides)


def _level(price: float | None, size: float | None) -> tuple[Level, ...]:
    if price is None or np.isnan(price):
        return ()
    return (Level(price, np.nan if size is None else size),)
