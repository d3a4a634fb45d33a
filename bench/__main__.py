"""Run benchmarks: `python -m bench [b1] [b4] [f4] … [--rounds 5] [--scale 1.0] [--no-peers]`."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime

from bench import (
    b1_ingest,
    b3_feeds,
    b4_plant,
    b5_fanout,
    b6_slow,
    b7_candles,
    b8_late,
    b10_http,
    f4_abuse,
)
from bench.harness import Comparison, report

KNOWN = ("b1", "b3", "b4", "b5", "b6", "b7", "b8", "b10", "f4")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "which", nargs="*", default=[], help=f"{', '.join(KNOWN)}; all when none is named"
    )
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each side (default 5)")
    parser.add_argument("--scale", type=float, default=1.0, help="part of the data, 0.01 to 1")
    parser.add_argument("--no-peers", action="store_true", help="leave the peers out")
    options = parser.parse_args()
    unknown = set(options.which) - set(KNOWN)
    if unknown:
        parser.error(f"{min(unknown)}: no such benchmark; there are {', '.join(KNOWN)}")
    which = options.which or KNOWN
    found: list[Comparison] = []
    if "b1" in which:
        batches = max(int(4_000 * options.scale), 20)
        found += b1_ingest.run(batches=batches, rounds=options.rounds, peers=not options.no_peers)
    if "b3" in which:
        messages = max(int(100_000 * options.scale), 2_000)
        found += b3_feeds.run(messages=messages, rounds=options.rounds)
    if "b4" in which:
        found += b4_plant.run(seconds=max(60 * options.scale, 1))
    if "b5" in which:
        found += b5_fanout.run(
            seconds=max(4 * options.scale, 0.2),
            rounds=options.rounds,
            peers=not options.no_peers,
        )
    if "b6" in which:
        found += b6_slow.run(
            seconds=max(8 * options.scale, 4),
            rounds=options.rounds,
            peers=not options.no_peers,
        )
    if "b7" in which:
        ticks = max(int(100_000 * options.scale), 100)
        found += b7_candles.run(ticks=ticks, rounds=options.rounds)
    if "b8" in which:
        found += b8_late.run(
            rows=max(int(3_000_000 * options.scale), b8_late.BATCH),
            seconds=max(20 * options.scale, 1),
            rounds=options.rounds,
            peers=not options.no_peers,
        )
    if "b10" in which:
        found += b10_http.run(requests=max(int(2_000 * options.scale), 64), rounds=options.rounds)
    if "f4" in which:
        found += f4_abuse.run(seconds=max(8 * options.scale, 1), rounds=options.rounds)
    report(found, f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{'-'.join(which)}")


if __name__ == "__main__":
    main()
