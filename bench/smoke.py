"""Run every benchmark once with little data: that they work and verify, not how fast they are.

python -m bench.smoke            all, in two processes side by side: most of it is waiting
python -m bench.smoke b8 b10     these, one after the other, in this one
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterable

from bench import b1_ingest, b3_feeds, b4_plant, b6_slow, b7_candles, b8_late, b10_http, f4_abuse
from bench.harness import Comparison, print_table

SMOKES: dict[str, Callable[[], Iterable[Comparison]]] = {
    "b1": lambda: b1_ingest.run(batches=20, rounds=1, peers=False, brief=True),
    "b3": lambda: b3_feeds.run(messages=1_000, rounds=1),
    "b4": lambda: b4_plant.run(instruments=(50,), rate=20_000, seconds=0.5, batch=100),
    "b6": b6_slow.smoke,
    "b7": lambda: b7_candles.run(symbols=5, days=2, ticks=500, rounds=1),
    "b8": lambda: b8_late.run(
        rows=9_000, instruments=5, seconds=1, rate=6_000, rounds=1, peers=False, brief=True
    ),
    "b10": lambda: b10_http.run(requests=64, rounds=1),
    "f4": f4_abuse.smoke,
}
APART = ("b8", "b10")
"""Which take as long as all the others."""


def main(names: list[str]) -> int:
    """Run the named benchmarks, or all; return how the worst of them ended."""
    if names:
        for name in names:
            for comparison in SMOKES[name]():
                print_table(comparison)
        return 0
    halves = [APART, [name for name in SMOKES if name not in APART]]
    command = [sys.executable, "-m", "bench.smoke"]
    started = [subprocess.Popen([*command, *half]) for half in halves]
    return max(abs(one.wait()) for one in started)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
