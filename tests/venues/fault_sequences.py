"""Random sequences of faults at fake venues, and what must hold of the plant when they are over.

A sequence is a seed: which venue, what happens in which order. The market goes on all the while.
At the end the stored trades are those that the venue made, each once; books are the venue's; every
trade that was not delivered lies in a gap of the ledger, every gap in a time at which something was
done to the feed, and the bars say the same as the ledger, before repair and after it.

    make faults CASES=1000          PYTHONPATH=tests python -m venues.fault_sequences --cases 1000
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from random import Random
from typing import Any

from tickplant.candles.grid import Grid
from tickplant.candles.interval import parse_interval
from tickplant.feeds.venues.catalogue import make_venue
from tickplant.feeds.venues.contract import Stream, Venue
from tickplant.feeds.venues.options import VenueOptions
from tickplant.model.events import Flag
from venues.venue_kit import FakeVenue, VenueOpFailed, fake_venue, trade
from venues.venue_plant import VenueScene, venue_plant

NS = 1_000_000_000
MS = 1_000_000
"""How exact the times of most venues are: they are cut, while those of gaps are not."""
PATIENCE_S = 60.0
"""Much more than any pause, which are a tenth of what they are, and than a breaker rests."""
BEFORE_NS = 3 * NS
"""How long before a fault the last proof of a connection may lie: a heartbeat or a ping."""
SECOND = Grid(parse_interval("1s"))
CHANNELS = ("trades", "quotes", "book")


@dataclass(frozen=True)
class Setup:
    """A venue as it is tried. `depth` is how much of a book is compared."""

    name: str
    dialect: str
    path: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)
    depth: int = 20
    numbered_books: bool = True
    checksums: bool = False
    notices: bool = True

    def symbols(self) -> list[str]:
        listed = import_module(f"venues.dialect_{self.dialect}").INSTRUMENTS
        return [one.symbol for one in listed][:3:2]

    def venue(self, fake: FakeVenue) -> Venue:
        return make_venue(
            self.name, VenueOptions(fake.url + self.path, fake.http_url, extra=self.extra)
        )


SETUPS = (
    Setup("binance", "binance", options={"market": "binance"}),
    Setup("binance-futures", "binance", options={"market": "futures"}),
    Setup("coinbase", "coinbase", notices=False),
    Setup("coinbase-exchange", "coinbase_exchange", numbered_books=False, notices=False),
    Setup("kraken", "kraken", "/v2", extra={"depth": 10}, depth=10, checksums=True, notices=False),
    Setup("deribit", "deribit", "/ws/api/v2", notices=False),
)


@dataclass
class Window:
    """A time in which something was done to a feed, and the causes that gaps of it may have."""

    start: int
    end: int
    causes: frozenset[str]


class Sequence:
    """One run of a sequence; `play` raises `AssertionError` where something does not hold."""

    def __init__(self, seed: int, setup: Setup, fake: FakeVenue, folder: Path) -> None:
        self.random = Random(seed)
        self.setup, self.fake, self.folder = setup, fake, folder
        self.symbols = setup.symbols()
        self.windows: list[Window] = []
        self.done: list[str] = []
        self.since: dict[str, int] = {}
        """The last trade of each symbol when the feed had settled for the first time."""
        self.began = 0
        self.scene: VenueScene

    # -- what happens ------------------------------------------------------------------------------

    def play(self) -> Counter[str]:
        self.fake.op("reset", options=self.setup.options)
        self.fake.op("market", seed=self.random.randrange(10**6), steps=60)
        runs, closing = 1 + (self.random.random() < 0.3), 0
        for run in range(runs):
            if run:
                self.window("restart", lambda: self.market(20), since=closing)
            with self.opened():
                self.settle()
                if not run:
                    self.since = {s: max(self.stored(s)) for s in self.symbols}
                    self.began = time.time_ns()
                for _ in range(self.random.randint(1, 4)):
                    self.fault()
                    self.market(self.random.randint(0, 20))
                dark = self.random.random() < 0.4
                if dark:
                    self.fake.op("history_off")
                    self.settle(repaired=False)
                    self.check_bars()
                    self.fake.op("history_on")
                self.settle()
                self.check()
                found = Counter(gap["cause"] for gap in self.gaps())
                closing = time.time_ns()  # a plant that is busy takes its time to stop
        return found + Counter(self.done)

    def opened(self) -> Any:
        stack = ExitStack()
        streams = [Stream(s, c) for s in self.symbols for c in CHANNELS]
        venue = self.setup.venue(self.fake)
        self.scene = stack.enter_context(venue_plant(self.folder, self.fake, venue, streams))
        return stack

    def market(self, steps: int) -> None:
        if steps:
            self.fake.op("market", steps=steps, symbols=self.symbols)

    def fault(self) -> None:
        kinds: list[Callable[[], None]] = [
            self.cut, self.cut, self.refused, self.skip_trades, self.skip_trades, self.skip_book,
            self.double, self.swap, self.garbage, self.slow_history,
        ]  # fmt: skip
        if self.setup.checksums:
            kinds.append(self.wrong_checksum)
        if self.setup.notices:
            kinds.append(self.expire)
        kind = self.random.choice(kinds)
        self.done.append(kind.__name__)
        kind()

    def window(self, causes: str, act: Callable[[], None], since: int | None = None) -> None:
        """Do something to the feed; the window lasts until the feed has settled after it.

        It begins now, or where that began before, `since`.
        """
        opened = Window(since or time.time_ns(), 2**62, frozenset(causes.split()))
        self.windows.append(opened)
        act()

    def cut(self) -> None:
        code = self.random.choice([None, None, 1001, 1011])
        self.window(
            "disconnect", lambda: self.fake.op("cut", **({} if code is None else {"code": code}))
        )
        self.market(self.random.randint(0, 30))

    def refused(self) -> None:
        times, status = self.random.randint(1, 3), self.random.choice([429, 500, 503])
        self.fake.op("refuse", what="connect", times=times, status=status)
        self.cut()

    def skip_trades(self) -> None:
        symbol, n = self.random.choice(self.symbols), self.random.randint(1, 3)

        # A venue whose numbers count all messages of a connection loses the other streams, too.
        def act() -> None:
            self.fake.op("skip", n=n, symbol=symbol, channel="trades")
            self.fake.send(*(trade(symbol, 100 + i) for i in range(n + 1)))
            self.fake.op("calm")  # what has not struck would strike the first of a connection

        self.window("sequence", act)

    def skip_book(self) -> None:
        if not self.setup.numbered_books:
            return
        symbol = self.random.choice(self.symbols)

        def act() -> None:
            self.fake.op("skip", n=1, symbol=symbol, channel="book")
            self.market(12)
            self.fake.op("calm")

        self.window("sequence", act)

    def wrong_checksum(self) -> None:
        self.fake.op("corrupt_checksum", symbol=self.random.choice(self.symbols), channel="book")
        self.market(12)

    def double(self) -> None:
        self.fake.op("duplicate", n=self.random.randint(1, 3), channel="trades")
        self.window("sequence", lambda: self.market(12))

    def swap(self) -> None:
        symbol = self.random.choice(self.symbols)

        def act() -> None:
            self.fake.op("reorder", n=1, symbol=symbol, channel="trades")
            self.fake.send(*(trade(symbol, 100 + i) for i in range(2)))

        self.window("sequence", act)

    def garbage(self) -> None:
        frame = self.random.choice(["{not of this world", "[]", "{}", '"x"', "\\u0000"])
        self.fake.op("raw", frame=frame)

    def slow_history(self) -> None:
        self.fake.op("rate_limit", what="http", times=self.random.randint(1, 2))
        self.cut()

    def expire(self) -> None:
        self.window("disconnect", lambda: self.fake.op("expire"))

    # -- what must come of it ----------------------------------------------------------------------

    def settle(self, *, repaired: bool = True) -> None:
        """Let the market go on until all is right, or for too long."""
        end, look_s = time.monotonic() + PATIENCE_S, 0.3
        self.fake.op("calm")
        while True:
            self.fake.send(*(trade(symbol, 100) for symbol in self.symbols))
            self.market(4)
            look_s = min(look_s * 1.5, 2.0)  # a machine that is busy needs longer
            deadline = time.monotonic() + look_s
            while time.monotonic() < deadline:
                self.scene.plant.drain()
                wrong = self.wrong(repaired=repaired)
                if wrong is None:
                    for window in self.windows:
                        window.end = min(window.end, time.time_ns())
                    return
                time.sleep(0.05)
            assert time.monotonic() < end, f"{wrong}; after {self.done}"

    def wrong(self, *, repaired: bool) -> str | None:
        """Say what is not right yet.

        The last trade must have come live: a trade that is skipped as the first of a connection is
        known by no number.
        """
        truth = self.fake.op("truth")
        for symbol in self.symbols:
            if truth["trades"][symbol][-1][0] not in self.sent(symbol, truth):
                return f"no trade of {symbol} has come live yet"
            if not self.scene.has_book(symbol, self.setup.depth, truth):
                return f"the book of {symbol} is not the venue's"
            stored, true = self.stored(symbol), self.true(symbol, truth)
            if not stored or max(stored) != max(true):
                return f"the last trade of {symbol} is not there"
            if repaired and (missing := self.missing(symbol, truth)):
                return f"trades of {symbol} are missing: {sorted(missing)[:9]}"
        if repaired and (left := [g for g in self.gaps() if g["status"] != "repaired"]):
            return f"gaps are not repaired: {left}"
        return None

    def stored(self, symbol: str) -> set[int]:
        return {int(row["id"]) for row in self.scene.trades(symbol)}

    def true(self, symbol: str, truth: dict[str, Any]) -> dict[int, list[float]]:
        return {int(n): [price, size] for n, price, size in self.scene.true_trades(symbol, truth)}

    def missing(self, symbol: str, truth: dict[str, Any]) -> set[int]:
        stored = self.stored(symbol)
        since = self.since.get(symbol, max(stored))
        return {n for n in self.true(symbol, truth) if n >= since} - stored

    def gaps(self) -> list[dict[str, Any]]:
        """The entries of the ledger that have a length."""
        return [gap for gap in self.scene.gaps() if gap["end"] is None or gap["end"] > gap["start"]]

    def check(self) -> None:
        """Check trades, the ledger and the bars after everything was repaired."""
        truth = self.fake.op("truth")
        for symbol in self.symbols:
            rows = self.scene.trades(symbol)
            stored = [(int(row["id"]), row["price"], row["size"]) for row in rows]
            assert len(stored) == len(set(stored)), f"{symbol}: a trade is stored twice"
            true = self.true(symbol, truth)
            assert all([price, size] == true[n] for n, price, size in stored), symbol
            missing = self.missing(symbol, truth)
            assert not missing, (symbol, missing, self.done)
            self.check_ledger(symbol, truth)
        for gap in self.gaps():
            assert self.is_explained(gap), (gap, self.windows, self.done)
        self.check_bars()

    def check_ledger(self, symbol: str, truth: dict[str, Any]) -> None:
        """Check that each trade that was never sent lies in a gap of its symbol."""
        sent = self.sent(symbol, truth)
        spans = [(gap["start"], gap["end"]) for gap in self.gaps_of(symbol)]
        for row in self.scene.trades(symbol):  # whose times are as exact as the venue tells them
            number, ts = int(row["id"]), row["ts_event"]
            if number > self.since[symbol] and number not in sent:
                inside = any(start - MS <= ts < end for start, end in spans)
                assert inside, f"{symbol}: trade {number} at {ts} was not sent; {spans} {self.done}"

    def sent(self, symbol: str, truth: dict[str, Any]) -> set[int]:
        """Return the trades that went out over some connection."""
        return {
            mark for one in truth["sent"]
            if (one["symbol"], one["channel"]) == (symbol, "trades") for mark in one["marks"]
        }  # fmt: skip

    def gaps_of(self, symbol: str) -> list[dict[str, Any]]:
        number = self.scene.plant.registry.find(symbol, self.scene.feed.venue).number
        return [gap for gap in self.gaps() if gap["instrument"] in (0, number)]

    def is_explained(self, gap: dict[str, Any]) -> bool:
        return any(
            gap["cause"] in window.causes
            and gap["start"] >= min(window.start - BEFORE_NS, self.last_live(gap, window.start))
            and gap["end"] <= window.end
            for window in self.windows
        )

    def last_live(self, gap: dict[str, Any], until: int) -> int:
        """Return when the last trade was that came by itself before then, of those of a gap.

        On a machine that is busy nothing may have come for long.
        """
        find, venue = self.scene.plant.registry.find, self.scene.feed.venue
        times = [
            row["ts_event"]
            for symbol in self.symbols
            if gap["instrument"] in (0, find(symbol, venue).number)
            for row in self.scene.trades(symbol)
            if row["ts_event"] <= until and not row["flags"] & Flag.BACKFILLED
        ]
        return max(times, default=until) - MS

    def check_bars(self) -> None:
        """Check that bars say partial or gap just where the ledger has an unrepaired gap."""
        history = self.scene.plant.history
        for symbol in self.symbols:
            found = self.scene.plant.registry.find(symbol, self.scene.feed.venue)
            bars = history.candles(found, SECOND, basis="trade", fill="null").table.to_pylist()
            left = [g for g in self.gaps_of(symbol) if g["status"] != "repaired"]
            for bar in bars:
                if bar["start"] < self.began or bar["state"] == "forming":
                    continue
                out = any(g["start"] < bar["end"] and (g["end"] is None or g["end"] > bar["start"])
                          for g in left)  # fmt: skip
                said = bar["state"] in ("partial", "gap")
                assert said == out, (symbol, bar, left, self.done)


def play(seed: int, fakes: dict[str, FakeVenue]) -> Counter[str]:
    """Play the sequence of a seed; `fakes` are running venues by their dialect."""
    setup = SETUPS[seed % len(SETUPS)]
    with tempfile.TemporaryDirectory() as folder:
        return Sequence(seed, setup, fakes[setup.dialect], Path(folder)).play()


def running(stack: ExitStack) -> dict[str, FakeVenue]:
    """Start every venue; they end with the stack."""
    return {
        dialect: stack.enter_context(fake_venue(dialect))
        for dialect in dict.fromkeys(setup.dialect for setup in SETUPS)
    }


def seeds(options: argparse.Namespace) -> Iterator[int]:
    end = time.monotonic() + options.minutes * 60
    for seed in range(options.seed, options.seed + options.cases):
        if time.monotonic() > end:
            return
        yield seed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=0, help="the first sequence's seed")
    parser.add_argument("--minutes", type=float, default=600.0, help="stop after so long")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    began, played = time.monotonic(), 0
    counted: Counter[str] = Counter()
    failures: list[str] = []
    with ExitStack() as stack:
        fakes = running(stack)
        for seed in seeds(options):
            try:
                counted += play(seed, fakes)
            except (AssertionError, VenueOpFailed) as fault:
                failures.append(f"seed {seed} ({SETUPS[seed % len(SETUPS)].name}): {fault}")
                print(failures[-1], file=sys.stderr, flush=True)
            played += 1
            if played % 20 == 0:
                print(f"{played} sequences, {len(failures)} failed", file=sys.stderr, flush=True)
    result = {
        "sequences": played, "seeds": [options.seed, options.seed + played - 1],
        "happened": dict(sorted(counted.items())), "failures": failures,
        "seconds": round(time.monotonic() - began, 1), "python": platform.python_version(),
    }  # fmt: skip
    print(json.dumps(result, indent=2))
    if options.out:
        options.out.write_text(json.dumps(result, indent=2) + "\n", "utf-8")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
