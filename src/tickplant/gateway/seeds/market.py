"""Order-book market data: `/ohlcv`, `/spread`, `/liquidity`, `/pipeline/lag`, `/symbols`."""

from __future__ import annotations

from typing import Any

import numpy as np
from starlette.responses import Response

from tickplant.books.book import Level
from tickplant.books.measures import Measures
from tickplant.candles.grid import Grid
from tickplant.candles.interval import parse_interval
from tickplant.gateway.doors import Call, Door
from tickplant.gateway.rest.answers import answer_json
from tickplant.gateway.rest.params import check_range, moment
from tickplant.gateway.seeds.common import TAG, seconds_since, time_text, whole
from tickplant.model.events import QUOTES, TRADES
from tickplant.model.instruments import Instrument
from tickplant.model.times import INT64_MIN
from tickplant.observe.freshness import freshness
from tickplant.plant.books import BookView
from tickplant.plant.history import History
from tickplant.plant.market import top_of

MINUTE = Grid(parse_interval("1m"))
BARS_MAX = 1440
LAG_MAX = 10_000
"""Instruments that `/pipeline/lag` lists; the counts are of all."""


def read_ohlcv(call: Call) -> Response:
    """Answer 1-minute bars of trades, the newest first."""
    history, query = call.plant.history, call.query
    instrument = history.registry.resolve(call.path["symbol"])
    start, end, limit = query["from_ts"], query["to_ts"], query["limit"]
    check_range(start, end)
    # The newest of the span are wanted, and a limit with a start would give the oldest.
    found = history.candles(instrument, MINUTE, basis="trade", end=end, limit=limit).table
    bars = found.to_pylist()
    if start is not None:
        bars = [bar for bar in bars if bar["start"] >= MINUTE.floor(start)]
    first, last = _extremes(history, instrument, bars)
    shown = [
        {
            "window_start": time_text(bar["start"]),
            "window_end": time_text(bar["end"]),
            "open_price": bar["open"],
            "high_price": bar["high"],
            "low_price": bar["low"],
            "close_price": bar["close"],
            "volume": bar["volume"],
            "vwap": None if bar["vwap"] is None or np.isnan(bar["vwap"]) else bar["vwap"],
            "tick_count": bar["count"],
            "first_ts": time_text(first[place]),
            "last_ts": time_text(last[place]),
            "state": bar["state"],
        }
        for place, bar in enumerate(bars)
    ]
    return answer_json(
        {
            "symbol": instrument.symbol,
            "exchange": instrument.venue,
            "interval": "1m",
            "count": len(shown),
            "bars": shown[::-1],
        }
    )


def _extremes(
    history: History, instrument: Instrument, bars: list[dict[str, Any]]
) -> tuple[list[int | None], list[int | None]]:
    """Return the times of the first and the last trade in each bar, ascending by start."""
    if not bars:
        return [], []
    first: list[int | None] = []
    last: list[int | None] = []
    # One look at the times of an hour's bars at a time, which bounds what is in memory.
    for low in range(0, len(bars), 60):
        part = bars[low : low + 60]
        ts = history.store.scan(
            TRADES,
            instrument.number,
            start=part[0]["start"],
            end=part[-1]["end"],
            columns=["ts_event"],
        )["ts_event"].to_numpy()
        begins = np.searchsorted(ts, [bar["start"] for bar in part])
        ends = np.searchsorted(ts, [bar["end"] for bar in part])
        for begin, end in zip(begins.tolist(), ends.tolist(), strict=True):
            first.append(int(ts[begin]) if begin < end else None)
            last.append(int(ts[end - 1]) if begin < end else None)
    return first, last


def _size(levels: tuple[Level, ...]) -> float | None:
    """Return the size at the best price; None where there is none, or nobody says."""
    return levels[0].size if levels and not np.isnan(levels[0].size) else None


def read_spread(call: Call) -> Response:
    """Answer the best bid and ask, and what lies between them."""
    instrument = call.plant.registry.resolve(call.path["symbol"])
    view, found = top_of(call.plant.history, instrument)
    return answer_json(_spread(instrument, view, found))


def read_liquidity(call: Call) -> Response:
    """Answer the spread, what stands on both sides, and how old that is."""
    plant = call.plant
    instrument = plant.registry.resolve(call.path["symbol"])
    view, found = top_of(plant.history, instrument)
    age_s = seconds_since(view.ts_event, plant.clock())
    return answer_json(
        {
            **_spread(instrument, view, found),
            "best_bid_qty": _size(view.bids),
            "best_ask_qty": _size(view.asks),
            "imbalance": found.imbalance,
            "market_signal": found.signal,
            "staleness_seconds": age_s,
            "freshness_status": freshness(age_s).status,
        }
    )


def _spread(instrument: Instrument, view: BookView, found: Measures) -> dict[str, Any]:
    return {
        "exchange": instrument.venue,
        "symbol": instrument.symbol,
        "latest_ts": time_text(view.ts_event),
        "best_bid_price": view.bids[0].price if view.bids else None,
        "best_ask_price": view.asks[0].price if view.asks else None,
        "spread": found.spread,
        "mid_price": found.mid,
        "spread_bps": found.spread_bps,
    }


def read_lag(call: Call) -> Response:
    """Answer how old the newest data of every instrument is."""
    plant = call.plant
    instruments = list(plant.registry)
    latest = plant.history.latest(instruments)
    now = plant.clock()
    received = _received(latest.tables, latest.places)
    items = []
    for instrument, last, recv in zip(instruments, latest.last.tolist(), received, strict=True):
        ts = None if last == INT64_MIN else last
        age_s = seconds_since(ts, now)
        fresh = freshness(age_s)
        items.append(
            {
                "exchange": instrument.venue,
                "symbol": instrument.symbol,
                "latest_event_ts": time_text(ts),
                "latest_ingest_ts": time_text(recv),
                "staleness_seconds": age_s,
                "freshness_status": fresh.status,
                "health_score": fresh.health,
            }
        )
    return answer_json(
        {
            "items": items[:LAG_MAX],
            "checked_at": time_text(now),
            "healthy_count": sum(item["health_score"] == 1.0 for item in items),
            "total_count": len(items),
        }
    )


def _received(tables: Any, places: Any) -> list[int | None]:
    """Return when the newest row of each instrument came, of trades and quotes alike."""
    count = len(places[_KINDS[TRADES]])
    found = np.full(count, INT64_MIN, np.int64)
    for kind in _KINDS.values():
        parts = [table["ts_recv"].to_numpy() for table in tables[kind]]
        times = np.append(np.concatenate(parts) if parts else np.empty(0, np.int64), INT64_MIN)
        np.maximum(found, times[places[kind]], out=found)
    return [None if ts == INT64_MIN else ts for ts in found.tolist()]


_KINDS = {TRADES: "trade", QUOTES: "quote"}


def read_symbols(call: Call) -> Response:
    """Answer what is known to be traded."""
    symbols = [
        {
            "symbol": one.symbol,
            "exchange": one.venue,
            "status": one.status,
            "base": one.base,
            "quote": one.quote,
            "tick_size": one.tick_size,
            "lot_size": one.lot_size,
            "expiry": one.expiry,
            "strike": one.strike,
            "right": one.right,
            "underlying": one.underlying,
        }
        for one in call.plant.registry
    ]
    return answer_json({"symbols": symbols, "count": len(symbols)})


_PATH = {"symbol": "`SYMBOL` or `VENUE:SYMBOL`, in any case."}
_FROM = moment("from_ts", "First time, included. RFC 3339 with a zone, or integer nanoseconds.")
_TO = moment("to_ts", "Time after the last, not included.")
_LIMIT = whole("limit", 1, BARS_MAX, 60, "Most bars.")

DOORS = (
    Door(
        method="GET",
        path="/ohlcv/{symbol}",
        tag=TAG,
        summary="1-minute bars, the newest first",
        doc="Bars of trades: volume and VWAP from trades, open and close by event time. "
        "`first_ts` and `last_ts` are the times of the first and the last trade in the bar.",
        model="OhlcvModel",
        params=(_LIMIT, _FROM, _TO),
        path_params=_PATH,
        refusals=(400, 404),
        read=read_ohlcv,
    ),
    Door(
        method="GET",
        path="/spread/{symbol}",
        tag=TAG,
        summary="Spread of an instrument",
        doc="Of its live order book, else of its last quote. `spread_bps` is spread / mid x "
        "10,000; where there is no book there are no numbers.",
        model="SpreadModel",
        path_params=_PATH,
        refusals=(400, 404),
        read=read_spread,
    ),
    Door(
        method="GET",
        path="/liquidity/{symbol}",
        tag=TAG,
        summary="Liquidity of an instrument",
        doc="The spread, the sizes at the best prices, the imbalance of the best five levels (bid "
        "/ (bid + ask), from 0 to 1; of a quote its one level), the signal (above 0.6 "
        "BUY_PRESSURE, below 0.4 SELL_PRESSURE, else NEUTRAL) and how fresh that is.",
        model="LiquidityModel",
        path_params=_PATH,
        refusals=(400, 404),
        read=read_liquidity,
    ),
    Door(
        method="GET",
        path="/pipeline/lag",
        tag=TAG,
        summary="How old the newest data is",
        doc=f"Of every instrument, the first {LAG_MAX:,} listed; FRESH up to 60 s, WARN up to "
        "120 s, else STALE, with a health of 1, 0.5 and 0.",
        model="LagModel",
        read=read_lag,
    ),
    Door(
        method="GET",
        path="/symbols",
        tag=TAG,
        summary="What is known to be traded",
        doc="Every instrument with what is known of it.",
        model="SymbolsModel",
        read=read_symbols,
    ),
)
