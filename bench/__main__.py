"""Run benchmarks: `python -m bench [b1] [b3] [b7] [b8] [--rounds 5] [--scale 1.0] [--no-peers]`."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime

from bench import b1_ingest, b3_feeds, b7_candles, b8_late
from bench.harness import Comparison, report


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "which", nargs="*", default=[], help="b1, b3, b7, b8; all when none is named"
    )
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each side (default 5)")
    parser.add_argument("--scale", type=float, default=1.0, help="part of the data, 0.01 to 1")
    parser.add_argument("--no-peers", action="store_true", help="leave the peers of B1 and B8 out")
    options = parser.parse_args()
    unknown = set(options.which) - {"b1", "b3", "b7", "b8"}
    if unknown:
        parser.error(f"{min(unknown)}: no such benchmark; there are b1, b3, b7, b8")
    which = options.which or ["b1", "b3", "b7", "b8"]
    found: list[Comparison] = []
    if "b1" in which:
        batches = max(int(4_000 * options.scale), 20)
        found += b1_ingest.run(batches=batches, rounds=options.rounds, peers=not options.no_peers)
    if "b3" in which:
        messages = max(int(100_000 * options.scale), 2_000)
        found += b3_feeds.run(messages=messages, rounds=options.rounds)
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
    report(found, f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{'-'.join(which)}")


if __name__ == "__main__":
    main()
