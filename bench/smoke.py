"""Run every benchmark once with little data: that they work and verify, not how fast they are."""

from __future__ import annotations

from bench import b1_ingest, b3_feeds, b4_plant, b6_slow, b7_candles, b8_late, b10_http, f4_abuse
from bench.harness import print_table

if __name__ == "__main__":
    for comparison in (
        *b1_ingest.run(batches=20, rounds=1, peers=False, brief=True),
        *b3_feeds.run(messages=1_000, rounds=1),
        *b4_plant.run(instruments=(50,), rate=20_000, seconds=0.5, batch=100),
        *b6_slow.smoke(),
        *b7_candles.run(symbols=5, days=2, ticks=500, rounds=1),
        *b8_late.run(
            rows=9_000, instruments=5, seconds=1, rate=6_000, rounds=1, peers=False, brief=True
        ),
        *b10_http.run(requests=64, rounds=1),
        *f4_abuse.smoke(),
    ):
        print_table(comparison)
