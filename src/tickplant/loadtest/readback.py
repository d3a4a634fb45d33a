"""Reading back what was acknowledged: from the folder of a plant, or from a running one.

Only ticks of this run count, told by their ids, and each must be there once, with its own price
and size as the sums say.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tickplant.client import Client
from tickplant.loadtest.ticks import VENUE, Ints, Sums, symbols
from tickplant.model.events import TRADES
from tickplant.model.times import format_time

READERS = 4
COLUMNS = ["id", "price", "size"]


@dataclass(frozen=True, slots=True)
class Found:
    """What is stored of a run: its sums, ticks that are there twice, and numbers that are not."""

    sums: Sums
    doubled: int
    missing: int


def from_folder(folder: Path, *, base: int, count: int) -> Found:
    """Read the ticks `base .. base + count - 1` from a data folder; no plant may write to it."""
    from tickplant.compose import open_history  # noqa: PLC0415 - heavy, not for a plant elsewhere

    return _found([open_history(folder).store.scan(TRADES, columns=COLUMNS)], base, count)


def from_plant(
    url: str, key: str | None, *, instruments: int, base: int, count: int, span: tuple[int, int]
) -> Found:
    """Read the ticks of a run from a running plant, all instruments, by `GET /v1/trades/{symbol}`.

    `span` are the event times of the run, ns: the first, and one behind the last.
    """
    start, end = map(format_time, span)
    with Client(url, key=key) as client, ThreadPoolExecutor(READERS) as pool:

        def read(symbol: str) -> pa.Table:
            found = client.trades(f"{VENUE}:{symbol}", start=start, end=end).arrow()
            return found.select(COLUMNS)

        return _found(pool.map(read, symbols(instruments)), base, count)


def _found(tables: Iterable[pa.Table], base: int, count: int) -> Found:
    sums, seen = Sums(), np.zeros(count, np.int32)
    for table in tables:
        numbers = _numbers(table, base)
        mine = (numbers >= 0) & (numbers < count)
        np.add.at(seen, numbers[mine], 1)
        columns = (table[name].to_numpy()[mine] for name in ("price", "size"))
        sums += Sums.of(*columns)
    return Found(sums, int((seen > 1).sum()), int((seen == 0).sum()))


def _numbers(table: pa.Table, base: int) -> Ints:
    """Return the number of each tick; negative for those of other runs."""
    ids = table["id"]
    ours = pc.fill_null(pc.match_substring_regex(ids, r"^\d{18,19}$"), False)
    whole: Ints = pc.if_else(ours, ids, pa.scalar("0")).cast(pa.int64()).to_numpy()
    return whole - base
