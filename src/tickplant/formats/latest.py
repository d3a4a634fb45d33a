"""The last that is known of an instrument, as JSON shows it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tickplant.formats.rows import candle_structs, quote_structs, trade_structs
from tickplant.model.instruments import Instrument
from tickplant.model.times import INT64_MIN, NS_PER_S, format_times
from tickplant.observe.freshness import freshness

_STRUCTS: Mapping[str, Callable[[pa.Table], list[Any]]] = {
    "trade": trade_structs,
    "quote": quote_structs,
    "candle": candle_structs,
}


def public_latest(
    instruments: Sequence[Instrument],
    tables: Mapping[str, Sequence[pa.Table]],
    places: Mapping[str, NDArray[np.int64]],
    last: NDArray[np.int64],
    now: int,
) -> list[dict[str, Any]]:
    """Return the last of instruments, with its age at `now` (ns) and its freshness.

    `tables` are those of `trade`, `quote` and `candle`, in parts, `places` the row of each
    instrument in them, or -1, and `last` the latest event time, or `INT64_MIN`. Rows become structs
    of `formats.rows`; what there is none of is None.
    """
    rows: dict[str, list[Any]] = {}
    for name, parts in tables.items():
        structs = [struct for part in parts for struct in _STRUCTS[name](part)]
        structs.append(None)  # which is what place -1 gives
        rows[name] = [structs[place] for place in places[name].tolist()]
    known = last != INT64_MIN
    texts = format_times(last * known)
    times: list[tuple[str | None, float | None]] = [
        (text, age_of(ts, now)) if there else (None, None)
        for text, ts, there in zip(texts, last.tolist(), known.tolist(), strict=True)
    ]
    return [
        _shown(instrument, text, age_s, dict(zip(rows, found, strict=True)))
        for instrument, (text, age_s), *found in zip(
            instruments, times, *rows.values(), strict=True
        )
    ]


def age_of(ts: int | None, now: int) -> float | None:
    """Return how old an event of this time is, s; None for none."""
    return None if ts is None else round((now - ts) / NS_PER_S, 6)


def _shown(
    instrument: Instrument, ts_event: str | None, age_s: float | None, rows: Mapping[str, Any]
) -> dict[str, Any]:
    return {
        "symbol": instrument.symbol,
        "venue": instrument.venue,
        "ts_event": ts_event,
        "age_s": age_s,
        "freshness": freshness(age_s).status,
        **rows,
    }
