"""What a follower answers is what its plant answers, at once and whatever happens meanwhile."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from plant_kit import NOW, WAIT_S, Clock, amend, open_plant, submit
from tickplant.candles.grid import Grid
from tickplant.candles.interval import parse_interval
from tickplant.compose import open_follower
from tickplant.config import load
from tickplant.model.errors import Stopping
from tickplant.plant import served as served_module
from tickplant.plant.feed_notes import Alive, Begun, Finished, Hole, Lost
from tickplant.plant.follower import Follower
from tickplant.plant.plant import Plant

SECOND = 10**9
BASE = NOW - 10_000 * SECOND
KINDS = [(text, basis) for text in ("1s", "1m", "1h", "7s") for basis in ("trade", "mid")]


@contextmanager
def followed(folder: Path) -> Iterator[Follower]:
    served = {"candles.served": "1s,1m,1h", "candles.bases": "trade,mid"}
    follower = open_follower(load(flags={"data": str(folder), **served}), Clock())
    try:
        yield follower
    finally:
        follower.stop()


def check(plant: Plant, follower: Follower) -> None:
    """Compare what both say of everything, once the plant has answered."""
    plant.drain()
    follower.catch_up()
    assert follower.seq_last == plant.seq_last
    assert list(follower.registry) == list(plant.registry)
    assert follower.history.gaps().equals(plant.history.gaps())
    for one in plant.registry:
        assert follower.history.trades(one).equals(plant.history.trades(one))
        assert follower.history.coverage(one.number).watermark == plant.history.watermark(
            one.number
        )
        for text, basis in KINDS:
            asked = {"limit": 9} if text == "1s" else {}
            grid = Grid(parse_interval(text))
            mine = follower.history.candles(one, grid, basis=basis, **asked)
            theirs = plant.history.candles(one, grid, basis=basis, **asked)
            assert mine.table.equals(theirs.table), (one.symbol, text, basis)
    ours, theirs = (p.history.latest(list(plant.registry)) for p in (follower, plant))
    assert ours.last.tolist() == theirs.last.tolist()


def act(plant: Plant, shuffle: random.Random, known: list[tuple[str, int]]) -> None:
    kinds = ["push", "push", "venue", "venue", "quotes", "amend", "note", "archive"]
    kind, rows = shuffle.choice(kinds), shuffle.randrange(1, 9)
    symbols = [shuffle.choice("AB") for _ in range(rows)]
    at = shuffle.randrange(0, 300)
    ts = [BASE + max(at - shuffle.choice([0, 0, 1, 90]), 0) * SECOND for _ in range(rows)]
    prices = [shuffle.randrange(1, 999) / 100 for _ in range(rows)]
    if kind in ("push", "venue"):
        receipt = submit(
            plant, symbol=symbols, ts_event=ts, price=prices, size=[1.5] * rows, feed=kind
        )
        known += [(symbol, receipt.seq_first + n) for n, symbol in enumerate(symbols)]
    elif kind == "quotes":
        asks = [price + 0.01 for price in prices]
        submit(plant, "quotes", symbol=symbols, ts_event=ts, bid_price=prices, ask_price=asks)
    elif kind == "archive":
        plant.store.checkpoint(plant.catalog.encode())
    elif kind == "amend" and known:
        symbol, seq = known.pop(shuffle.randrange(len(known)))
        changes = {"price": 5.0, "ts_event": BASE + shuffle.randrange(0, 200) * SECOND}
        amend(plant, symbol, seq, changes if shuffle.random() < 0.5 else None)
    elif kind == "note":
        hole = Hole("venue", BASE + at * SECOND, BASE + (at + 9) * SECOND, "sequence")
        notes = [Begun("venue"), Alive("venue", ts[0]), Lost("venue", "disconnect"), hole]
        plant.tell(shuffle.choice([*notes, Finished("venue")])).result(WAIT_S)


@pytest.mark.parametrize("seed", range(4))
def test_a_follower_answers_as_its_plant(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    shuffle, known = random.Random(seed), []
    monkeypatch.setattr(served_module, "FOLD_ROWS", shuffle.choice([1, 2_000]))
    options = {"log__sync": "none", "candles__served": "1s,1m,1h", "candles__bases": "trade,mid"}
    options["candles__kept_s"] = shuffle.choice([0, 600])
    with open_plant(tmp_path, **options) as plant:
        for _ in range(shuffle.randrange(0, 4)):
            act(plant, shuffle, known)
    with followed(tmp_path) as follower:
        for _ in range(2):  # the plant is started again while it is followed
            with open_plant(tmp_path, **options) as plant:
                for _ in range(shuffle.randrange(3, 9)):
                    act(plant, shuffle, known)
                    if shuffle.random() < 0.4:
                        check(plant, follower)
                check(plant, follower)


def test_rows_leave_memory_once_they_are_archived(tmp_path: Path) -> None:
    with open_plant(tmp_path, log__sync="none") as plant, followed(tmp_path) as follower:
        submit(
            plant, symbol=["A"] * 100, ts_event=[BASE + n for n in range(100)], price=[1.0] * 100
        )
        check(plant, follower)
        assert follower.store.status().bytes_in_memory > 0
        plant.store.checkpoint(plant.catalog.encode())
        follower.store.refresh()
        assert follower.store.status().tables["trades"].rows_in_memory == 0
        check(plant, follower)


def test_a_follower_that_lost_its_place_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_plant(tmp_path, log__sync="none") as plant, followed(tmp_path) as follower:
        assert follower.readiness() == (True, "following")

        def fail() -> None:
            raise OSError("gone")

        monkeypatch.setattr(follower._tail, "poll", fail)
        submit(plant, symbol=["A"], price=[1.0])
        follower._threads[0].join(WAIT_S)
        assert not follower.readiness()[0]
        with pytest.raises(Stopping, match="gone"):
            follower.catch_up()
