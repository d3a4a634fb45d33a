"""Made-up markets: chunk after chunk of quotes and trades, as columns.

Each instrument has a price that is a geometric Brownian motion without drift, quotes around it at
a spread of about a basis point in whole ticks, and trades at the bid or the ask that was quoted
last. Event k happens `k / rate` seconds after the origin.

Chunks have a size that depends on the settings only, and each is made from the state that the
last one left, so that the same seed makes the same events however they are cut into batches.
Within a chunk the rows are put in runs, one an instrument, so that a walk is a cumulative sum.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tickplant.config import SyntheticSettings
from tickplant.feeds.universe import HALF_SPREAD, Floats, Universe, make_universe
from tickplant.model.events import INCOMING, QUOTES, TRADES
from tickplant.model.times import NS_PER_S

Ints = NDArray[np.int64]

_YEAR_S = 365.25 * 86_400


class _Runs(NamedTuple):
    """A chunk's rows by instrument, then by number: `order` sorts them so, `held` says whose.

    `starts`, `ends` (inclusive) and `lengths` have an entry for each run.
    """

    order: Ints
    held: Ints
    starts: Ints
    ends: Ints
    lengths: Ints

    @classmethod
    def of(cls, instrument: Ints) -> _Runs:
        order = np.argsort(instrument, kind="stable")
        held = instrument[order]
        starts = np.flatnonzero(np.diff(held, prepend=-1))
        lengths = np.diff(starts, append=len(held))
        return cls(order, held, starts, starts + lengths - 1, lengths)


@dataclass(frozen=True, slots=True)
class Chunk:
    """Events `first .. first + count - 1`, ready to be sliced.

    `at` is the time of each event after the origin, ns, shape (count,). `index[table]` are the
    places of the table's rows in it, ascending; `columns[table]` their columns but for `ts_event`.
    """

    first: int
    count: int
    at: Ints
    index: dict[str, Ints]
    columns: dict[str, dict[str, pa.Array]]

    def rows(self, table: str, start: int, stop: int, origin: int) -> pa.RecordBatch:
        """Return the table's rows among events `first + start .. first + stop - 1`."""
        index = self.index[table]
        low, high = (int(i) for i in np.searchsorted(index, (start, stop)))
        schema, columns = INCOMING[table], self.columns[table]
        times = pa.array(self.at[index[low:high]] + origin)
        arrays = [
            times
            if field.name == "ts_event"
            else columns[field.name].slice(low, high - low)
            if field.name in columns
            else pa.nulls(high - low, field.type)
            for field in schema
        ]
        return pa.RecordBatch.from_arrays(arrays, schema=schema)


class Market:
    """The prices of a universe as they walk on, chunk by chunk. No clock, no I/O."""

    def __init__(self, settings: SyntheticSettings) -> None:
        self._universe: Universe = make_universe(settings.instruments)
        self._random = np.random.Generator(np.random.PCG64(settings.seed % 2**64))
        self._rate = Fraction(repr(settings.rate))  # 0.01 is a hundredth here
        self._quote_share = settings.quote_share
        self._sigma = settings.volatility / _YEAR_S**0.5
        self._chunk_rows = 1 << max(10, min(16, int(settings.rate * 0.05).bit_length()))
        self._next = 0
        count = len(self._universe)
        self._log_price = np.log(self._universe.price)
        self._last = np.zeros(count, np.int64)  # event number of each instrument's last event
        half = np.maximum(self._universe.price * HALF_SPREAD * self._universe.price_scale, 0.5)
        self._bid = np.floor(self._universe.price * self._universe.price_scale - half)
        self._ask = self._bid + np.ceil(2 * half)

    def at(self, number: int) -> int:
        """Return when event `number` happens, ns after the origin."""
        return int(number * NS_PER_S / self._rate)

    def make_chunk(self, id_prefix: str) -> Chunk:
        """Return the next chunk; trade ids are `id_prefix` and the event's number."""
        first, count = self._next, self._chunk_rows
        self._next += count
        instrument = self._random.integers(0, len(self._universe), count)
        is_quote = self._random.random(count) < self._quote_share
        bid, ask = self._walk(first, instrument, is_quote)
        quotes, trades = np.flatnonzero(is_quote), np.flatnonzero(~is_quote)
        columns = {
            QUOTES: self._quotes(instrument[quotes], bid[quotes], ask[quotes]),
            TRADES: self._trades(instrument[trades], bid[trades], ask[trades]),
        }
        numbers = pc.cast(pa.array(trades + first), pa.string())
        columns[TRADES]["id"] = pc.binary_join_element_wise(id_prefix, numbers, "")
        return Chunk(first, count, self._times(first), {QUOTES: quotes, TRADES: trades}, columns)

    def _times(self, first: int) -> Ints:
        begin, end = self.at(first), self.at(first + self._chunk_rows)
        steps = np.arange(self._chunk_rows) * (NS_PER_S / float(self._rate))
        return np.minimum(begin + steps.astype(np.int64), end)

    def _walk(
        self, first: int, instrument: Ints, is_quote: NDArray[np.bool_]
    ) -> tuple[Floats, Floats]:
        """Move the prices on; return bid and ask in ticks at each event, in order of events."""
        runs = _Runs.of(instrument)
        bid, ask = self._spread(runs.held, self._brownian(first + runs.order, runs))
        if self._quote_share > 0.0:
            bid, ask = self._as_quoted(is_quote[runs.order], runs, bid, ask)
        last = runs.held[runs.ends]
        self._bid[last], self._ask[last] = bid[runs.ends], ask[runs.ends]
        at_bid, at_ask = np.empty_like(bid), np.empty_like(ask)
        at_bid[runs.order], at_ask[runs.order] = bid, ask
        return at_bid, at_ask

    def _brownian(self, number: Ints, runs: _Runs) -> Floats:
        """Return the price at each event; `number` is in the order of the runs."""
        held, starts, ends = runs.held, runs.starts, runs.ends
        waited = np.diff(number, prepend=0)
        waited[starts] = number[starts] - self._last[held[starts]]
        variance = self._sigma**2 * (waited / float(self._rate))
        step = np.sqrt(variance) * self._random.standard_normal(len(held)) - variance / 2
        summed = np.cumsum(step)
        before = summed[starts] - step[starts] - self._log_price[held[starts]]
        walked = summed - np.repeat(before, runs.lengths)
        self._log_price[held[ends]], self._last[held[ends]] = walked[ends], number[ends]
        home = np.log(self._universe.price)[held]  # wild settings must not overflow a float
        return np.asarray(np.exp(np.clip(walked, home - 12.0, home + 12.0)))

    def _spread(self, held: Ints, price: Floats) -> tuple[Floats, Floats]:
        ticks = price * self._universe.price_scale[held]
        half = ticks * HALF_SPREAD * self._random.uniform(0.5, 1.5, len(held))
        bid = np.maximum(np.floor(ticks - half), 1.0)
        return bid, np.maximum(np.ceil(ticks + half), bid + 1.0)

    def _as_quoted(
        self, is_quote: NDArray[np.bool_], runs: _Runs, bid: Floats, ask: Floats
    ) -> tuple[Floats, Floats]:
        """Return the bid and ask of the last quote of the same instrument, for each row."""
        place = np.maximum.accumulate(np.where(is_quote, np.arange(len(bid)), -1))
        earlier = place < np.repeat(runs.starts, runs.lengths)  # no quote yet in this chunk
        return (
            np.where(earlier, self._bid[runs.held], bid[place]),
            np.where(earlier, self._ask[runs.held], ask[place]),
        )

    def _quotes(self, instrument: Ints, bid: Floats, ask: Floats) -> dict[str, pa.Array]:
        scale = self._universe.price_scale[instrument]
        return {
            "symbol": self._universe.symbols.take(pa.array(instrument)),
            "bid_price": pa.array(bid / scale),
            "bid_size": pa.array(self._sizes(instrument)),
            "ask_price": pa.array(ask / scale),
            "ask_size": pa.array(self._sizes(instrument)),
        }

    def _trades(self, instrument: Ints, bid: Floats, ask: Floats) -> dict[str, pa.Array]:
        side = self._random.integers(1, 3, len(instrument), dtype=np.int8)
        price = np.where(side == 1, ask, bid) / self._universe.price_scale[instrument]
        return {
            "symbol": self._universe.symbols.take(pa.array(instrument)),
            "price": pa.array(price),
            "size": pa.array(self._sizes(instrument)),
            "side": pa.array(side),
        }

    def _sizes(self, instrument: Ints) -> Floats:
        lots = self._universe.size_lots[instrument] * self._random.exponential(1.0, len(instrument))
        return np.asarray(np.maximum(np.rint(lots), 1.0) / self._universe.lot_scale[instrument])
