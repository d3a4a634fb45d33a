import asyncio
import math
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest

from tickplant.config import SyntheticSettings
from tickplant.feeds.synthetic import SyntheticFeed
from tickplant.feeds.universe import make_universe
from tickplant.model.events import INCOMING, QUOTES, TRADES, Flag
from tickplant.plant.feed_notes import Begun, Note
from tickplant.plant.submission import Submission

START = 1_700_000_000_000_000_000
SECOND = 1_000_000_000


class Clock:
    """A clock that only sleeping moves. `end` stops the run; `oversleep` are extra ns by turn."""

    def __init__(self, seconds: float, oversleep: Iterator[int] | None = None) -> None:
        self.now = START
        self.end = START + int(seconds * SECOND)
        self.oversleep = oversleep
        self.slept: list[float] = []

    def __call__(self) -> int:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += round(seconds * SECOND) + (next(self.oversleep) if self.oversleep else 0)
        if self.now > self.end:
            raise asyncio.CancelledError


class Kept:
    """A sink that keeps what it gets."""

    def __init__(self) -> None:
        self.submissions: list[Submission] = []
        self.notes: list[Note] = []

    async def submit(self, submission: Submission) -> None:
        self.submissions.append(submission)

    async def say(self, note: Note) -> None:
        self.notes.append(note)

    def table(self, table: str) -> pa.Table:
        rows = [s.rows for s in self.submissions if s.table == table]
        return pa.Table.from_batches(rows, INCOMING[table])


def run(clock: Clock, feed: SyntheticFeed | None = None, **settings: object) -> Kept:
    feed = feed or make(clock, **settings)
    sink = Kept()
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(feed.run(sink))
    return sink


def make(clock: Clock, **settings: object) -> SyntheticFeed:
    return SyntheticFeed(SyntheticSettings(**settings), clock=clock, sleep=clock.sleep)  # type: ignore[arg-type]


def test_the_rate_is_kept_and_events_are_evenly_spaced() -> None:
    sink = run(Clock(10), rate=1_000.0)
    times = sorted(
        sink.table(TRADES)["ts_event"].to_pylist() + sink.table(QUOTES)["ts_event"].to_pylist()
    )
    assert times == [START + k * 1_000_000 for k in range(10_001)]


def test_every_submission_is_flagged_synthetic_and_has_the_incoming_schema() -> None:
    sink = run(Clock(2), rate=500.0, venue="madeup")
    assert {s.table for s in sink.submissions} == {TRADES, QUOTES}
    for submission in sink.submissions:
        assert submission.flags == Flag.SYNTHETIC
        assert submission.feed == "synthetic"
        assert submission.venue == "MADEUP"
        assert submission.rows.schema == INCOMING[submission.table]
        assert submission.rows.num_rows > 0
        submission.rows.validate(full=True)


def test_the_same_seed_makes_the_same_events_however_they_are_cut() -> None:
    even = run(Clock(20), rate=1_000.0, seed=7)
    jitter = iter(np.random.default_rng(3).integers(0, 300_000_000, 10_000).tolist())
    uneven = run(Clock(20, jitter), rate=1_000.0, seed=7)
    assert len(uneven.submissions) < len(even.submissions)
    for table in (TRADES, QUOTES):
        few, many = sorted((even.table(table), uneven.table(table)), key=len)
        assert len(few) > 5_000
        assert many.slice(0, len(few)).combine_chunks() == few.combine_chunks()


def test_another_seed_makes_other_prices() -> None:
    one, two = (run(Clock(1), rate=1_000.0, seed=seed).table(QUOTES) for seed in (1, -1))
    assert one["bid_price"].to_pylist()[:50] != two["bid_price"].to_pylist()[:50]


def test_trades_are_made_at_the_bid_or_ask_quoted_last() -> None:
    sink = run(Clock(10), rate=5_000.0, instruments=50)
    quoted: dict[str, tuple[float, float]] = {}
    events = [(r["ts_event"], r) for t in (QUOTES, TRADES) for r in sink.table(t).to_pylist()]
    checked = 0
    for _, row in sorted(events, key=lambda event: event[0]):
        if "bid_price" in row:
            quoted[row["symbol"]] = (row["bid_price"], row["ask_price"])
        elif row["symbol"] in quoted:
            bid, ask = quoted[row["symbol"]]
            assert row["price"] == (ask if row["side"] == 1 else bid)
            checked += 1
    assert checked > 10_000


def test_quotes_are_never_crossed_and_all_prices_are_whole_ticks() -> None:
    sink = run(Clock(10), rate=5_000.0, instruments=100)
    universe = make_universe(100)
    scale = dict(zip(universe.symbols.to_pylist(), universe.price_scale.tolist(), strict=True))
    lot_scale = dict(zip(universe.symbols.to_pylist(), universe.lot_scale.tolist(), strict=True))
    for row in sink.table(QUOTES).to_pylist():
        assert 0 < row["bid_price"] < row["ask_price"]
        assert min(row["bid_size"], row["ask_size"]) > 0
        for price in (row["bid_price"], row["ask_price"]):
            decimals = round(math.log10(scale[row["symbol"]]))
            assert float(f"{price:.{decimals}f}") == price
    for row in sink.table(TRADES).to_pylist():
        lots = row["size"] * lot_scale[row["symbol"]]
        assert lots == pytest.approx(round(lots), abs=1e-6)
        assert round(lots) >= 1


def test_the_volatility_asked_for_is_the_volatility_measured() -> None:
    # 30,000 independent steps: the standard error of the estimate is about 0.4 %.
    settings = {"rate": 1_000.0, "instruments": 1, "quote_share": 1.0, "volatility": 4.0}
    table = run(Clock(300), **settings).table(QUOTES)
    mid = (table["bid_price"].to_numpy() + table["ask_price"].to_numpy()) / 2
    measured = np.log(mid[10::10] / mid[:-10:10]).std() * math.sqrt(365.25 * 86_400 * 100)
    assert measured == pytest.approx(4.0, rel=0.02)


@pytest.mark.parametrize(("share", "table"), [(0.0, TRADES), (1.0, QUOTES)])
def test_one_table_alone(share: float, table: str) -> None:
    sink = run(Clock(2), rate=1_000.0, quote_share=share, volatility=50.0)
    assert {s.table for s in sink.submissions} == {table}
    column = "price" if table == TRADES else "bid_price"
    assert len(set(sink.table(table)[column].to_pylist())) > 100


def test_wild_settings_still_make_finite_prices() -> None:
    sink = run(Clock(100), rate=50.0, instruments=3, volatility=1e6)
    for price in sink.table(QUOTES)["ask_price"].to_pylist():
        assert math.isfinite(price)
        assert price > 0


def test_trade_ids_are_unique_over_restarts_of_the_plant() -> None:
    first, second = Clock(5), Clock(5)
    second.now, second.end = START + SECOND, START + 6 * SECOND
    ids = [
        text
        for clock in (first, second)
        for text in run(clock, rate=1_000.0).table(TRADES)["id"].to_pylist()
    ]
    assert len(ids) > 3_000
    assert len(set(ids)) == len(ids)


def test_a_feed_that_is_run_again_carries_on_with_new_ids() -> None:
    clock = Clock(5)
    feed = make(clock, rate=1_000.0)
    first = run(clock, feed).table(TRADES)
    clock.now += 60 * SECOND
    clock.end = clock.now + 5 * SECOND
    second = run(clock, feed).table(TRADES)
    ids = first["id"].to_pylist() + second["id"].to_pylist()
    assert len(set(ids)) == len(ids)
    assert second["ts_event"][0].as_py() > first["ts_event"][-1].as_py() + 59 * SECOND


def test_a_short_delay_is_caught_up() -> None:
    sink = run(Clock(10, iter([900_000_000] + [0] * 1_000)), rate=1_000.0, quote_share=0.0)
    times = sink.table(TRADES)["ts_event"].to_pylist()
    assert [b - a for a, b in pairwise(times)] == [1_000_000] * (len(times) - 1)


def test_a_long_delay_is_skipped_instead_of_sent_in_a_burst() -> None:
    clock = Clock(3_610, iter([3_600 * SECOND] + [0] * 1_000))
    feed = make(clock, rate=1_000.0, quote_share=0.0)
    times = run(clock, feed).table(TRADES)["ts_event"].to_pylist()
    gaps = [b - a for a, b in pairwise(times) if b - a != 1_000_000]
    assert len(gaps) == 1
    assert gaps[0] == pytest.approx(3_600 * SECOND, rel=1e-4)
    assert feed.skipped_ns == gaps[0] - 1_000_000
    assert len(times) < 11_000


def test_a_clock_that_is_set_back_does_not_silence_the_feed() -> None:
    clock = Clock(1_000)
    feed = make(clock, rate=100.0)
    clock.end = START + SECOND
    run(clock, feed)
    clock.now -= 3_600 * SECOND
    clock.end = clock.now + 2 * SECOND
    again = run(clock, feed)
    assert sum(s.rows.num_rows for s in again.submissions) == pytest.approx(200, abs=12)


def test_slow_feeds_sleep_until_the_next_event() -> None:
    clock = Clock(400)
    sink = run(clock, rate=0.01)
    assert len(sink.submissions) == 5
    assert set(clock.slept) == {1.0}
    begun, *heartbeats = sink.notes
    assert begun == Begun("synthetic", start=START)
    assert [note.ts - START for note in heartbeats] == [k * 10**9 for k in range(401)]


def test_the_universe_begins_with_known_names_and_goes_on_with_numbered_ones() -> None:
    universe = make_universe(10_050)
    symbols = universe.symbols.to_pylist()
    assert symbols[:3] == ["BTC-USDT", "EURUSD", "AAPL"]
    assert symbols[30:32] == ["SYN0001", "SYN0002"]
    assert len(set(symbols)) == 10_050
    assert ((universe.price[30:] >= 5) & (universe.price[30:] <= 500)).all()
