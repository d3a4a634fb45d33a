"""The last that is known of an instrument, as JSON shows it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pyarrow as pa

from tickplant.formats.rows import candle_structs, quote_structs, trade_structs
from tickplant.model.instruments import Instrument
from tickplant.model.times import NS_PER_S, format_time
from tickplant.observe.freshness import freshness

_STRUCTS: Mapping[str, Callable[[pa.Table], list[Any]]] = {
    "trade": trade_structs,
    "quote": quote_structs,
    "candle": candle_structs,
}


def public_latest(instrument: Instrument, found: Mapping[str, Any], now: int) -> dict[str, Any]:
    """Return what `History.latest` found, with its age at `now` (ns) and its freshness.

    Its rows are structs of `formats.rows`; what there is none of is None.
    """
    ts = found["ts_event"]
    age_s = None if ts is None else round((now - ts) / NS_PER_S, 6)
    rows = {name: found[name] for name in _STRUCTS}
    return {
        "symbol": instrument.symbol,
        "venue": instrument.venue,
        "ts_event": None if ts is None else format_time(ts),
        "age_s": age_s,
        "freshness": freshness(age_s).status,
        **{n: None if row is None else _STRUCTS[n](row)[0] for n, row in rows.items()},
    }
