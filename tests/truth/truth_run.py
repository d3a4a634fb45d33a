"""Play a world on a real plant and compare every bar: the stream's last word, history, the oracle.

Run as a program it plays many worlds and writes down what it found:

    make truth CASES=1000000
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from truth_oracle import Bar, Clock, Event, Gap, Known, bars
from truth_worlds import Kind, World, make_world

from plant_kit import Clock as PlantClock
from plant_kit import amend, open_plant, submit
from tickplant.candles.grid import Grid
from tickplant.candles.interval import parse_interval
from tickplant.plant.plant import Plant
from tickplant.store.contract import NOW, AsOf

NS = 1_000_000_000
CLOCK = 2_000_000_000 * NS  # in 2033, behind every event of any world
FIELDS = (
    "start", "end", "open", "high", "low", "close", "volume", "vwap", "count", "revision",
    "coverage", "state",
)  # fmt: skip
SIZES = {"symbols": 16, "ticks": 30, "grids": 4}


@dataclass
class Told:
    """What the oracle is told: every accepted event, and which ids were taken."""

    events: list[Event] = field(default_factory=list)
    ids: set[tuple[str, str]] = field(default_factory=set)
    standing: dict[int, Event] = field(default_factory=dict)

    def take(self, table: str, columns: dict[str, list[Any]], seq: int | None) -> tuple[int, int]:
        """Note the rows of a batch; return how many were accepted and how many were doubles."""
        doubles = 0
        for place in range(len(columns["symbol"])):
            row = {name: values[place] for name, values in columns.items()}
            symbol, ts, key = row.pop("symbol"), row.pop("ts_event"), row.pop("id", None)
            if key is not None and table == "trades":
                if (symbol, key) in self.ids:
                    doubles += 1
                    continue
                self.ids.add((symbol, key))
            assert seq is not None
            event = Event(seq, table, symbol, ts, row)
            self.events.append(event)
            if table == "trades":
                self.standing[seq] = event
            seq += 1
        return len(columns["symbol"]) - doubles, doubles


class Listener:
    """The last word of the stream about each bar of each kind."""

    def __init__(self, kinds: list[Kind]) -> None:
        self._grids = {kind: grid_of(kind) for kind in kinds}
        self.last: dict[tuple[Kind, str, int], tuple[Any, ...]] = {}

    def listen(self, plant: Plant) -> None:
        """Watch all kinds on a plant that has just been opened."""
        self._plant = plant
        for kind, grid in self._grids.items():
            plant.watch_candles(grid, kind.basis)
        self._cursor = plant.hub.attach(plant.hub.seq)

    def hear(self) -> None:
        """Take what was published since the last time."""
        self._plant.drain()
        assert self._cursor is not None
        while entries := self._cursor.take(100_000):
            assert isinstance(entries, list), "the ring has lost entries"
            for entry in entries:
                if entry.channel == "candles":
                    self._note(entry)

    def _note(self, entry: Any) -> None:
        kinds = [k for k, grid in self._grids.items() if is_of(entry.key, grid, k.basis)]
        columns = [entry.rows.column(name).to_pylist() for name in ("instrument", *FIELDS)]
        for number, *values in zip(*columns, strict=True):
            symbol = self._plant.registry.number(number).symbol
            for kind in kinds:
                self.last[kind, symbol, values[0]] = tuple(values)


def as_told(bar: tuple[Any, ...]) -> tuple[Any, ...]:
    """A bar as the stream told it: what is covered of a forming one grows without a word."""
    place = FIELDS.index("coverage")
    return (*bar[:place], None, *bar[place + 1 :]) if bar[-1] == "forming" else bar


def ends(row: dict[str, Any]) -> tuple[int | None, int | None]:
    """Start and end of a row about a gap."""
    return row["start"], row["end"]


def grid_of(kind: Kind) -> Grid:
    return Grid(parse_interval(kind.interval), kind.zone, kind.day_start)


def is_of(key: Any, grid: Grid, basis: str) -> bool:
    """Say whether a published key is that of these candles."""
    wanted = (str(grid.interval), basis, grid.timezone, grid.day_start)
    return (str(key.interval), key.basis, key.timezone, key.day_start) == wanted


class Play:
    """One world on one plant; `run` returns how many cases were compared."""

    def __init__(self, world: World, folder: Path) -> None:
        self.world = world
        self._folder = folder
        self._known = Told()
        self._listener = Listener(world.kinds)
        self._clock = PlantClock(CLOCK)
        self._looks: list[int] = []
        self.bars = 0  # of the oracle, each compared live, stored and compacted

    def run(self) -> int:
        steps = list(self.world.steps)
        while True:
            with self._plant() as plant:
                while steps and steps[0][0] != "restart":
                    self._step(plant, *steps.pop(0))
                if not steps:
                    return self._compare_all(plant)
                steps.pop(0)
                self._listener.hear()
                self._known.events.append(Event(plant.seq_last, "restart", "", 0, {}))

    @contextmanager
    def _plant(self) -> Iterator[Plant]:
        with open_plant(self._folder, self._clock, log__sync="none") as plant:
            self._listener.listen(plant)
            yield plant

    def _step(self, plant: Plant, what: str, *given: Any) -> None:
        self._clock.now += NS
        if what in ("trades", "quotes"):
            receipt = submit(plant, what, **given[0])
            found = (receipt.accepted, receipt.duplicates)
            assert not receipt.rejected, f"seed {self.world.seed}: {receipt.rejected[0]}"
            known = self._known.take(what, given[0], receipt.seq_first)
            assert found == known, f"seed {self.world.seed}: {found}, not {known}"
        elif what == "archive":
            plant.store.checkpoint(plant.catalog.encode())
            plant.store.compact()
        elif what == "look":
            self._looks.append(plant.seq_last)
        elif self._known.standing:
            self._amend(plant, what, *given)

    def _amend(
        self, plant: Plant, what: str, place: int, changes: dict[str, Any] | None = None
    ) -> None:
        known = self._known
        roots = list(known.standing)
        root = roots[place % len(roots)]
        old = known.standing[root]
        if changes is None:
            seq = amend(plant, old.symbol, root, None)
            known.events.append(Event(seq, what, old.symbol, old.ts, {}, root))
            del known.standing[root]
            return
        changes = dict(changes)
        ts = old.ts + changes.pop("shift_s", 0) * NS
        seq = amend(plant, old.symbol, root, changes | {"ts_event": ts})
        known.events.append(Event(seq, what, old.symbol, ts, changes, root))
        known.standing[root] = old._replace(ts=ts, values=old.values | changes)

    def _compare_all(self, plant: Plant) -> int:
        self._listener.hear()
        self._gaps = self._read_gaps(plant)
        wanted = {}
        for kind in self.world.kinds:
            for symbol in self.world.symbols:
                wanted[kind, symbol] = self._oracle(kind, symbol, plant.seq_last)
                self.bars += len(wanted[kind, symbol])
        self._compare_history(plant, wanted, "history")
        self._compare_stream(wanted)
        for seq in self._looks[:2]:
            kind = self.world.kinds[seq % len(self.world.kinds)]
            then = {(kind, s): self._oracle(kind, s, seq) for s in self.world.symbols}
            self._compare_history(plant, then, f"as of {seq}", AsOf(seq_max=seq))
        plant.store.checkpoint(plant.catalog.encode())
        plant.store.compact()
        self._compare_history(plant, wanted, "history after compaction")
        return len(wanted)

    def _oracle(self, kind: Kind, symbol: str, upto: int) -> list[Bar]:
        clock = Clock(kind.zone, kind.day_start)
        mine = [event for event in self._known.events if event.symbol in (symbol, "")]
        gaps = [gap for gap in self._gaps if gap.symbol == symbol]
        return bars(mine, gaps, symbol, kind.interval, clock, kind.basis, upto)

    def _read_gaps(self, plant: Plant) -> list[Gap]:
        """Read the rows of the ledger, and see that its gaps are those between the runs."""
        rows = plant.store.scan("coverage", amended=False).sort_by("seq").to_pylist()
        names = {number.number: number.symbol for number in plant.registry}
        gaps = [
            Gap(row["seq"], row["ref_seq"] or row["seq"], names[row["instrument"]], *ends(row))
            for row in rows
            if row["kind"] in ("gap", "change")
        ]
        for symbol in self.world.symbols:
            known = Known(self._known.events, symbol, plant.seq_last)
            number = plant.registry.resolve(symbol).number
            table = plant.history.gaps(instrument=number)
            said = zip(table["start"].to_pylist(), table["end"].to_pylist(), strict=True)
            assert sorted(said) == sorted(known.gaps), f"seed {self.world.seed}: gaps of {symbol}"
        return gaps

    def _compare_history(
        self, plant: Plant, wanted: dict[tuple[Kind, str], list[Bar]], where: str, as_of: AsOf = NOW
    ) -> None:
        for (kind, symbol), mine in wanted.items():
            instrument = plant.registry.resolve(symbol)
            found = plant.history.candles(instrument, grid_of(kind), basis=kind.basis, as_of=as_of)
            rows = list(zip(*(found.table[name].to_pylist() for name in FIELDS), strict=True))
            self._same(rows, [tuple(bar.values()) for bar in mine], kind, symbol, where)

    def _compare_stream(self, wanted: dict[tuple[Kind, str], list[Bar]]) -> None:
        said: dict[tuple[Kind, str], list[tuple[Any, ...]]] = {key: [] for key in wanted}
        for (kind, symbol, _), bar in self._listener.last.items():
            if bar[FIELDS.index("count")]:
                said[kind, symbol].append(as_told(bar))
        for (kind, symbol), rows in said.items():
            mine = [as_told(tuple(bar.values())) for bar in wanted[kind, symbol]]
            self._same(sorted(rows), mine, kind, symbol, "stream")

    def _same(self, found: Any, wanted: Any, kind: Kind, symbol: str, where: str) -> None:
        if found == wanted:
            return
        lines = [f"seed {self.world.seed}: {where} of {symbol}, {kind}"]
        lines += [f"  found only  {bar}" for bar in found if bar not in wanted][:5]
        lines += [f"  oracle only {bar}" for bar in wanted if bar not in found][:5]
        raise AssertionError("\n".join([*lines, f"  {FIELDS}"]))


def play(seed: int, **sizes: int) -> tuple[int, int]:
    """Play the world of a seed; return how many cases, and bars, agree. Raises AssertionError."""
    with tempfile.TemporaryDirectory() as folder:
        one = Play(make_world(seed, **(SIZES | sizes)), Path(folder))
        return one.run(), one.bars


def main() -> None:
    """Play worlds until so many cases were compared, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1, help="the first world's seed")
    parser.add_argument("--symbols", type=int, default=64)
    parser.add_argument("--ticks", type=int, default=30, help="events of each symbol")
    parser.add_argument("--minutes", type=float, default=600.0, help="stop after so long")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    began, cases, compared, seed = time.perf_counter(), 0, 0, options.seed
    failures: list[str] = []
    while cases < options.cases and time.perf_counter() - began < options.minutes * 60:
        try:
            found = play(seed, symbols=options.symbols, ticks=options.ticks)
            cases, compared = cases + found[0], compared + found[1]
        except AssertionError as fault:
            failures.append(str(fault))
            print(fault, file=sys.stderr)
        seed += 1
        if seed % 20 == 0:
            print(f"{cases} cases, {len(failures)} worlds failed", file=sys.stderr)
    result = {
        "cases": cases,
        "bars": compared,
        "worlds": seed - options.seed,
        "seeds": [options.seed, seed - 1],
        "symbols": options.symbols,
        "ticks": options.ticks,
        "failures": failures,
        "seconds": round(time.perf_counter() - began, 1),
        "python": platform.python_version(),
    }
    print(json.dumps(result, indent=2))
    if options.out:
        options.out.write_text(json.dumps(result, indent=2) + "\n", "utf-8")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
