"""What a grid costs: `python -m bench.grids`. CPU time, best of several, a million times."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from tickplant.candles.grid import Grid
from tickplant.candles.interval import parse_interval
from tickplant.candles.states import build

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

ROWS = 1_000_000
NS = 1_000_000_000
BEGIN = 1_710_115_200 * NS  # Monday 2024-03-11, for five days
GRIDS: list[tuple[str, dict[str, str]]] = [
    ("1m", {}),
    ("1h", {"day_start": "22:00"}),
    ("1d", {}),
    ("1h", {"timezone": "America/New_York", "day_start": "17:00"}),
    ("1d", {"timezone": "America/New_York", "day_start": "17:00"}),
    ("1m", {"calendar": "XNYS"}),
    ("1d", {"calendar": "XNYS"}),
    ("1h", {"calendar": "XHKG"}),
    ("1m", {"calendar": "CMES"}),
]


def best_ms(run: Callable[[], object], rounds: int = 5) -> float:
    """Return the CPU time of the fastest of some rounds, in milliseconds."""
    taken = []
    for _ in range(rounds):
        before = time.process_time()
        run()
        taken.append(time.process_time() - before)
    return min(taken) * 1_000


def measure(grid: Grid, ts: Ints, shuffled: Ints, price: Floats) -> tuple[float, ...]:
    """Return the milliseconds of starts, shuffled starts, inside and build."""
    seq = np.arange(ts.size)
    return (
        best_ms(lambda: grid.starts(ts)),
        best_ms(lambda: grid.starts(shuffled)),
        best_ms(lambda: grid.inside(ts)),
        best_ms(lambda: build(grid, 1, ts, seq, price, price)),
    )


def main() -> None:
    """Print a line a grid."""
    random = np.random.default_rng(1)
    shuffled = BEGIN + random.integers(0, 5 * 86_400 * NS, ROWS)
    ts, price = np.sort(shuffled), random.random(ROWS) + 1.0
    print(f"{'grid':<44}{'starts':>9}{'shuffled':>10}{'inside':>9}{'build':>9}  ms a million")
    for interval, origin in GRIDS:
        grid = Grid.of(parse_interval(interval), **origin)
        starts, mixed, inside, built = measure(grid, ts, shuffled, price)
        name = " ".join([interval, *origin.values()])
        print(f"{name:<44}{starts:9.2f}{mixed:10.2f}{inside:9.2f}{built:9.2f}")


if __name__ == "__main__":
    main()
