"""Indicators over single events: the moving average of the last prices, trade by trade.

The price of an event is that of the basis: a trade's, or one side of a quote or their middle. An
event without such a price has no value and is no part of any window, nor has or is a trade that by
its conditions must not update the last price.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tickplant.analytics.ask import columns_of
from tickplant.analytics.catalogue import KINDS, Indicator
from tickplant.analytics.evaluate import evaluate
from tickplant.candles.basis import BASES, rows_of, table_of
from tickplant.model.conditions import Update
from tickplant.model.errors import InvalidParameter
from tickplant.model.events import TRADES
from tickplant.model.instruments import Instrument
from tickplant.plant.history import History
from tickplant.store.contract import NOW, AsOf, Cursor

Floats = NDArray[np.float64]

BAR_DEFAULTS = {"interval": "1m", "fill": "none"}
"""What chooses bars, which there are none of over events, by default."""

NEWEST_MAX = 10_000
"""Most events of a reading that has no start, which gives the newest."""


@dataclass(frozen=True, slots=True)
class IndicatedEvents:
    """Events in order: `ts_event`, `seq`, and the price and values by the name of their column."""

    instrument: Instrument
    basis: str
    rows: pa.Table
    columns: dict[str, Floats]


def check_over_events(indicators: Sequence[Indicator]) -> None:
    """Raise `InvalidParameter` for indicators that need bars, and for a source that is a bar's."""
    for one in indicators:
        if not one.kind.on_events:
            allowed = ", ".join(name for name, kind in KINDS.items() if kind.on_events)
            raise InvalidParameter("name", one.kind.name, f"{allowed} over events")
        source = one.parameters["source"]
        if source != one.kind.defaults["source"]:
            raise InvalidParameter("source", source, "none over events: it is their price")


def check_no_bars(query: Mapping[str, Any]) -> None:
    """Raise `InvalidParameter` for a parameter that chooses bars and is not as by default."""
    for name, value in query.items():
        if value != BAR_DEFAULTS.get(name):
            raise InvalidParameter(name, str(value), "only with over=bars")


def read_event_indicators(
    history: History,
    instrument: Instrument,
    indicators: Sequence[Indicator],
    *,
    basis: str | None = None,
    start: int | None = None,
    end: int | None = None,
    limit: int | None = None,
    after: Cursor | None = None,
    as_of: AsOf = NOW,
) -> IndicatedEvents:
    """Return events with `start <= ts_event < end` and their indicators, in event order.

    Without `start`, and with a `limit`, they are the newest ones. `after` continues behind an
    event. A value does not depend on `start`, `end`, `limit` and `after`. Blocks; any thread.
    """
    check_over_events(indicators)
    basis = history.default_basis(instrument.number, as_of) if basis is None else basis
    if basis not in BASES:
        raise InvalidParameter("basis", basis, ", ".join(BASES))
    newest = start is None and after is None and limit is not None
    if newest and limit is not None and limit > NEWEST_MAX:
        raise InvalidParameter("limit", limit, f"at most {NEWEST_MAX} without a start")
    read = history.trades if table_of(basis) == TRADES else history.quotes
    rows = read(
        instrument,
        start=start,
        end=end,
        limit=limit,
        after=after,
        descending=newest,
        as_of=as_of,
    )
    rows = _reversed(rows) if newest else rows
    prices, counting = _prices(history, basis, rows)
    before = np.empty(0)
    if rows.num_rows and (start, limit, after) != (None, None, None):
        place = Cursor(rows["ts_event"][0].as_py(), rows["seq"][0].as_py())
        reach = max((one.window or 0) - 1 for one in indicators)
        before = _prices_before(history, instrument, basis, place, reach, as_of)
    series = np.append(before, counting)
    places = np.arange(len(before), len(series))
    columns = {"price": prices}
    for one, names in zip(indicators, columns_of(indicators), strict=True):
        columns.update(zip(names, evaluate(one, {"close": series}, places), strict=True))
    return IndicatedEvents(instrument, basis, rows.select(["ts_event", "seq"]), columns)


def _prices_before(
    history: History, instrument: Instrument, basis: str, place: Cursor, count: int, as_of: AsOf
) -> Floats:
    """Return the last `count` prices before an event, oldest first."""
    read = history.trades if table_of(basis) == TRADES else history.quotes
    found: list[Floats] = []
    missing = count
    while missing > 0:
        rows = read(instrument, limit=missing, after=place, descending=True, as_of=as_of)
        _, prices = _prices(history, basis, rows)
        found.append(prices[~np.isnan(prices)])
        if rows.num_rows < missing:
            break
        missing -= len(found[-1])
        place = Cursor(rows["ts_event"][-1].as_py(), rows["seq"][-1].as_py())
    return np.concatenate(found)[::-1] if found else np.empty(0)


def _prices(history: History, basis: str, rows: pa.Table) -> tuple[Floats, Floats]:
    """Return the prices of events, and the same with NaN where one is no part of any window."""
    events = rows_of(basis, rows, history.rules)
    if events.updates is None:
        return events.price, events.price
    return events.price, np.where(events.updates & int(Update.LAST), events.price, np.nan)


def _reversed(rows: pa.Table) -> pa.Table:
    return rows.take(pa.array(np.arange(rows.num_rows)[::-1]))
