"""What order books cost: `python -m bench.books [--seconds 5] [--depth 0] [--interval-ms 0]`.

2,000 instruments with books of 50 levels a side take 20,000 messages a second, each of two level
changes, which come in batches of 10 ms: through the desk of a feed into a plant with its log, its
store and its live books. Printed is the CPU time of the process, all threads, per second of that
market: below 1 it is less than one core. At the end every book, of the desk and of the plant, must
equal one that was kept in dictionaries.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pyarrow as pa

from tickplant.books.updates import NONE, Updates
from tickplant.checks.batch import check_batch
from tickplant.checks.bounds import Bounds
from tickplant.checks.spellings import Spellings
from tickplant.compose import OpenPlant
from tickplant.config import BookSettings, load
from tickplant.feeds.book_desk import BookDesk
from tickplant.model.events import ASK, BID
from tickplant.plant.books import LiveBooks
from tickplant.plant.plant import Plant
from tickplant.plant.submission import Submission

BOOKS, LEVELS = 2_000, 50
RATE, BATCH_S = 20_000, 0.01
T = 1_700_000_000_000_000_000
SYMBOLS = tuple(f"C{number:04d}-USDT" for number in range(BOOKS))
Plain = dict[int, dict[int, dict[float, float]]]


def main() -> None:
    """Print CPU seconds a second of each stage and of the whole plant."""
    parser = argparse.ArgumentParser(prog="python -m bench.books", description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="of the market (default 5)")
    parser.add_argument("--depth", type=int, default=0, help="levels that are kept (default all)")
    parser.add_argument("--interval-ms", type=float, default=0.0, help="rate at which they are")
    options = parser.parse_args()
    settings = BookSettings(depth=options.depth, interval_ms=options.interval_ms)
    run(options.seconds, settings)


def run(seconds: float, settings: BookSettings) -> None:
    """Run the stages one by one, then the plant; raises where a book is wrong at the end."""
    rng = np.random.default_rng(1)
    per_batch = int(RATE * BATCH_S)
    batches = [changes(rng, n * per_batch, per_batch) for n in range(int(seconds / BATCH_S))]
    print(f"{BOOKS:,} books, {RATE:,} messages a second, {2 * RATE:,} level changes a second")

    desk = BookDesk("binance-spot", "http", settings)
    start = desk.take(snapshots(rng), T).rows
    rows: list[pa.RecordBatch] = []
    _say("desk", seconds, lambda: rows.extend(_told(desk, batches)))
    _say("checks", seconds, lambda: _check(rows))
    stamped = _stamped([start, *rows])
    live = LiveBooks()
    live.apply(stamped[0])
    _say("live books", seconds, lambda: [live.apply(part) for part in stamped[1:]])
    with tempfile.TemporaryDirectory(prefix="tickplant-bench-") as folder:
        flags = {"data": folder, "candles.served": "none"}
        with OpenPlant(load(flags=flags), clock=lambda: T) as opened:
            plant = opened.plant
            _submit(plant, start)
            plant.drain()
            fresh = BookDesk("binance-spot", "http", settings)
            fresh.take(snapshots(np.random.default_rng(1), skip=batches), T)
            _say("desk and plant", seconds, lambda: _flow(fresh, plant, batches))
            if not settings.depth and not settings.interval_ms:
                _verify(desk, plant, batches)


def snapshots(rng: np.random.Generator, skip: list[Updates] | None = None) -> Updates:
    """Return a snapshot of every book: prices 100 to 149 bid, 150 to 199 ask."""
    if skip is not None:  # the same sizes as the first time
        for number in range(len(skip)):
            changes(rng, number * len(skip[0]), len(skip[0]))
    ladder = np.concatenate((np.arange(100.0, 150.0), np.arange(150.0, 200.0)))
    side = np.repeat(np.array([BID, ASK], np.int8), LEVELS)
    return _updates(
        np.arange(BOOKS, dtype=np.int32),
        np.full(BOOKS, 0),
        2 * LEVELS,
        np.tile(side, BOOKS),
        np.tile(ladder, BOOKS),
        rng.integers(1, 100, BOOKS * 2 * LEVELS).astype(np.float64),
        snapshot=True,
    )


def changes(rng: np.random.Generator, first: int, count: int) -> Updates:
    """Return messages, each of a bid and an ask near the middle; one in five removes a level."""
    code = ((np.arange(count) + first) * 7919 % BOOKS).astype(np.int32)
    last = (np.arange(count) + first) // BOOKS + 1
    away = rng.geometric(0.2, 2 * count).clip(max=LEVELS).astype(np.float64)
    side = np.tile(np.array([BID, ASK], np.int8), count)
    size = np.where(rng.random(2 * count) < 0.2, 0.0, rng.integers(1, 100, 2 * count))
    price = np.where(side == BID, 150.0 - away, 149.0 + away)
    return _updates(code, last, 2, side, price, size, snapshot=False)


def _updates(
    code: np.ndarray,
    last: np.ndarray,
    width: int,
    side: np.ndarray,
    price: np.ndarray,
    size: np.ndarray,
    *,
    snapshot: bool,
) -> Updates:
    count = len(code)
    numbers = last.astype(np.int64)
    none = np.full(count, NONE, np.int64)
    return Updates(
        SYMBOLS,
        code,
        np.full(count, T, np.int64) + numbers,
        numbers,
        numbers,
        none,
        np.full(count, snapshot),
        none,
        np.arange(count + 1, dtype=np.int64) * width,
        side,
        price,
        size,
    )


def _told(desk: BookDesk, batches: list[Updates]) -> list[pa.RecordBatch]:
    now = T
    told = []
    for updates in batches:
        now += int(BATCH_S * 1e9)
        told.append(desk.take(updates, now).rows)
    return told


def _check(rows: list[pa.RecordBatch]) -> None:
    bounds, spellings = Bounds(), Spellings()
    for part in rows:
        found = check_batch("book", part, venue="V", bounds=bounds, now_ns=T, spellings=spellings)
        assert found.accepted.all()


def _stamped(rows: list[pa.RecordBatch]) -> list[pa.RecordBatch]:
    """Return rows as a plant stores them."""
    with (
        tempfile.TemporaryDirectory(prefix="tickplant-bench-") as folder,
        OpenPlant(load(flags={"data": folder}), clock=lambda: T) as opened,
    ):
        for part in rows:
            _submit(opened.plant, part)
        opened.plant.drain()
        table = opened.plant.store.scan("book").sort_by("seq").combine_chunks()
    cuts = np.cumsum([0, *(len(part) for part in rows)]).tolist()
    whole = table.to_batches()[0] if table.num_rows else None
    assert whole is not None
    return [whole.slice(start, end - start) for start, end in pairwise(cuts) if end > start]


def _submit(plant: Plant, rows: pa.RecordBatch) -> None:
    if rows.num_rows:
        plant.submit(Submission("book", rows, feed="bench", venue="V"))


def _flow(desk: BookDesk, plant: Plant, batches: list[Updates]) -> None:
    now = T
    for place, updates in enumerate(batches):
        now += int(BATCH_S * 1e9)
        _submit(plant, desk.take(updates, now).rows)
        if place % 10 == 9:  # as far ahead as a feed may be; the batches stay those of 10 ms
            plant.drain()
    plant.drain()


def _say(name: str, seconds: float, act: Callable[[], object]) -> None:
    began = time.process_time()
    act()
    took = time.process_time() - began
    print(f"{name:<16}{took / seconds:7.3f} CPU seconds a second")


def _verify(desk: BookDesk, plant: Plant, batches: list[Updates]) -> None:
    """Compare every book with one kept in dictionaries."""
    oracle: Plain = {}
    first = snapshots(np.random.default_rng(1), skip=batches)
    for updates in (first, *batches):
        offsets = updates.offsets.tolist()
        for place, code in enumerate(updates.code.tolist()):
            book = oracle.setdefault(code, {BID: {}, ASK: {}})
            for level in range(offsets[place], offsets[place + 1]):
                side, price = int(updates.side[level]), float(updates.price[level])
                if updates.size[level]:
                    book[side][price] = float(updates.size[level])
                else:
                    book[side].pop(price, None)
    for code, symbol in enumerate(SYMBOLS):
        one = desk.book(symbol)
        view = plant.history.order_book(plant.registry.resolve(f"V:{symbol}"))
        assert one is not None
        for bids, asks in ((one.bids.top(), one.asks.top()), (view.bids, view.asks)):
            found = {BID: {lv[0]: lv[1] for lv in bids}, ASK: {lv[0]: lv[1] for lv in asks}}
            assert found == oracle[code], symbol
    print(f"{len(SYMBOLS):,} books of the desk and of the plant equal the dictionaries")


if __name__ == "__main__":
    main()
