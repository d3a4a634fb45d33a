"""Many rows of a channel as events, by columns: the members of the events, in their order."""

from __future__ import annotations

import threading
from weakref import WeakKeyDictionary

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tickplant.formats.drafts import Draft
from tickplant.formats.pieces import SLACK, Pen, Picked
from tickplant.formats.rows import PLACE_COLUMNS, SPREAD_COLUMNS
from tickplant.gateway.stream.protocol import Codec
from tickplant.model.events import QUOTES, SIDES, STATS, TRADES, flag_names
from tickplant.model.instruments import Registry
from tickplant.plant.published import CANDLES, CandleKey

_FLOATS = {
    TRADES: ("price", "size"),
    QUOTES: ("bid_price", "bid_size", "ask_price", "ask_size"),
    CANDLES: ("open", "high", "low", "close", "volume", "vwap"),
}


def draft_rows(
    channel: str, rows: pa.RecordBatch, codec: Codec, registry: Registry, key: CandleKey | None
) -> Draft:
    """Return rows of a channel as events; trades that amend others must not be among them.

    Raises `Odd` where there is a value for which there is no quick way.
    """
    draft = Draft(codec.pen, rows.num_rows)
    _instruments(draft, _ints(rows, "instrument"), registry, codec)
    if channel == CANDLES:
        assert key is not None
        _candles(draft, rows, key)
        return draft
    draft.times("ts_event", _ints(rows, "ts_event"))
    draft.times("ts_recv", _ints(rows, "ts_recv"))
    draft.ints("seq", rows.column("seq"))
    for name in _FLOATS.get(channel, ()):
        draft.floats(name, rows.column(name))
    if channel == TRADES:
        _sides(draft, _ints(rows, "side"))
        for name in ("id", "conditions", "exchange"):
            draft.texts(name, rows.column(name))
    elif channel == QUOTES:
        draft.texts("exchange", rows.column("exchange"))
    else:
        assert channel == STATS
        draft.texts("name", rows.column("name"))
        draft.floats("value", rows.column("value"))
    _flags(draft, _ints(rows, "flags"))
    return draft


def _candles(draft: Draft, rows: pa.RecordBatch, key: CandleKey) -> None:
    interval, basis, timezone, day_start, calendar, session = key
    draft.same(interval=interval, basis=basis, timezone=timezone, day_start=day_start)
    draft.times("start", _ints(rows, "start"))
    draft.times("end", _ints(rows, "end"))
    for name in _FLOATS[CANDLES]:
        draft.floats(name, rows.column(name))
    draft.ints("count", rows.column("count"))
    draft.ints("revision", rows.column("revision"))
    draft.texts("state", rows.column("state"))
    draft.floats("coverage", rows.column("coverage"))
    given = {"calendar": calendar, "session": session}
    draft.same(**{name: value for name, value in given.items() if value})
    if basis != "trade":
        for name in SPREAD_COLUMNS:
            draft.floats(name, rows.column(name))
    if PLACE_COLUMNS[0] in rows.schema.names:
        draft.times("day", _ints(rows, "day"))
        draft.ints("index", rows.column("index"))


class _Named:
    """The members that name each instrument of a registry, encoded once. Used on any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._encoded: list[bytes] = []
        self._array = pa.array([bytes(SLACK)], pa.binary())
        self._changes = 0

    def of(self, numbers: NDArray[np.int64], registry: Registry, pen: Pen) -> Picked:
        """Return the members of these instruments; those that came since are added first."""
        with self._lock:
            if registry.changes != self._changes:
                self._grow(registry, pen)
            array = self._array
        return Picked(array, numbers - 1)

    def _grow(self, registry: Registry, pen: Pen) -> None:
        changes, known = registry.changes, len(registry)
        if changes - self._changes != known - len(self._encoded):
            self._encoded.clear()  # one has another name now
        self._changes = changes
        for number in range(len(self._encoded) + 1, known + 1):
            one = registry.number(number)
            self._encoded.append(pen.members({"symbol": one.symbol, "venue": one.venue}))
        self._array = pa.array([*self._encoded, bytes(SLACK)], pa.binary())


_NAMED: WeakKeyDictionary[Registry, dict[str, _Named]] = WeakKeyDictionary()
"""By registry and wire format."""


def _instruments(
    draft: Draft, numbers: NDArray[np.int64], registry: Registry, codec: Codec
) -> None:
    named = _NAMED.setdefault(registry, {}).setdefault(codec.name, _Named())
    draft.picked(named.of(numbers, registry, codec.pen), 2)


def _sides(draft: Draft, codes: NDArray[np.int64]) -> None:
    draft.chosen([{"side": side} for side in SIDES], codes)


def _flags(draft: Draft, bits: NDArray[np.int64]) -> None:
    found, codes = np.unique(bits, return_inverse=True)
    draft.chosen([{"flags": flag_names(value)} for value in found.tolist()], codes)


def _ints(rows: pa.RecordBatch, name: str) -> NDArray[np.int64]:
    values: NDArray[np.int64] = rows.column(name).to_numpy()
    return values
