"""What it costs to know the rhythm of each stream: CPU time of a beat, and memory.

    python -m bench.rhythm

A beat is counted once a second, whatever comes; an event costs nothing besides. The streams are as
those of a venue: a third is heard of every second, a third now and then, a third hardly ever.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from tickplant.feeds.supervisor.board import Board
from tickplant.feeds.supervisor.pulse import Offset
from tickplant.feeds.supervisor.vigil import Vigil
from tickplant.feeds.venues.contract import Stream
from tickplant.model.times import NS_PER_S

BEATS = 120
HOUR_NS = 3_600 * NS_PER_S
START = 472_222 * HOUR_NS


@dataclass
class Made:
    """A board of streams on one line, and who watches over them."""

    board: Board
    vigil: Vigil


def make(count: int) -> Made:
    """Return so many live streams."""
    board = Board()
    streams = [Stream(f"S{n}", "trades") for n in range(count)]
    board.add(streams)
    for stream in streams:
        board.streams[stream].line = 0
    board.set(streams, "live", None, START)
    nobody = cast("Any", None)
    return Made(board, Vigil(nobody, board, Offset(), clock=lambda: START, sleep=nobody))


def beat_ns(made: Made, randomness: random.Random) -> float:
    """Return the CPU time of a beat, what is marked for it not counted."""
    entries = list(made.board.streams.values())
    spent = 0
    for beat in range(BEATS):
        now = START + beat * NS_PER_S
        for place, entry in enumerate(entries):
            if place % 3 == 0 or (place % 3 == 1 and randomness.random() < 0.1):
                entry.last_event = now
        began = time.thread_time_ns()
        made.vigil.beat(now, set())
        spent += time.thread_time_ns() - began
    return spent / BEATS


def main() -> None:
    """Print a line for each number of streams."""
    print(f"{'streams':>8} {'ms a beat':>10} {'of a core':>10} {'bytes a stream':>15}")
    for count in (300, 3_000, 9_000):
        made = make(count)
        cost_ns = min(beat_ns(made, random.Random(1)) for _ in range(3))
        share, size = cost_ns / NS_PER_S, memory(made) / count
        print(f"{count:>8} {cost_ns / 1e6:>10.2f} {share:>10.3%} {size:>15.0f}")


def memory(made: Made) -> int:
    """Return the bytes of all columns; those of hours not yet seen are not touched."""
    columns = vars(made.vigil.habits).values()
    return sum(column.nbytes for column in columns if isinstance(column, np.ndarray))


if __name__ == "__main__":
    main()
