"""Abuse plants with schemathesis until so many cases were answered: `make abuse CASES=10000`.

Two plants by turns, one that asks for keys and one that does not, each a process of its own as a
user starts it. Nothing is asked of other hosts: what the plants would ask goes to a closed port.
Prints what was checked how often, and ends with 1 where something was not as documented.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from abuse_kit import CHECKS, Result, abuse

from tickplant.gateway.keys.file import KeyFile

NOWHERE = "http://127.0.0.1:9"
EXAMPLES = 30


@contextmanager
def serving(folder: Path, *, keys: bool) -> Iterator[tuple[str, dict[str, str]]]:
    """Run a plant on a folder; give its URL, and the headers that open every door."""
    folder.mkdir(parents=True)
    headers = {}
    if keys:
        key, _ = KeyFile(folder).create(["read", "write", "admin"], now=1)
        headers = {"X-API-Key": key}
    command = [sys.executable, "-m", "tickplant", "serve", "--port", "0", "--json"]
    command += ["--data", str(folder), "--feed", "synthetic:instruments=5,rate=20"]
    command += ["--set", f"auth.required={str(keys).lower()}"]
    proxies = dict.fromkeys(("http_proxy", "https_proxy", "all_proxy"), NOWHERE)
    with (
        (folder.parent / f"plant-{keys}.log").open("wb") as log,
        subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=log,
            env={**os.environ, **proxies, "no_proxy": ""},
        ) as plant,
    ):
        try:
            assert plant.stdout is not None
            yield json.loads(plant.stdout.readline())["url"], headers
        finally:
            plant.send_signal(signal.SIGTERM)
            plant.wait(60)


def fill(url: str, headers: dict[str, str]) -> None:
    """Store what the examples of the document name."""
    with httpx.Client(base_url=url, headers=headers, trust_env=False, timeout=30) as http:
        trade = {"symbol": "EURUSD", "price": 1.3928, "size": 100}
        times = [f"2014-05-07T00:{minute:02d}:00Z" for minute in range(60)]
        rows = [{**trade, "ts_event": ts} for ts in times]
        http.post("/v1/trades", json=rows).raise_for_status()
        quote = {"symbol": "EURUSD", "bid_price": 1.3927, "ask_price": 1.3929}
        http.post("/v1/quotes", json={**quote, "ts_event": times[0]}).raise_for_status()
        stat = {"symbol": "BTC-USDT", "name": "open_interest", "value": 81_450.5}
        http.post("/v1/stats", json=stat).raise_for_status()


def run(cases: int, seed: int, folder: Path) -> Result:
    """Return what came of at least so many cases."""
    found = Result()
    turn = 0
    while found.cases < cases:
        for keys in (False, True):
            began, before = time.monotonic(), found.cases
            with serving(folder / f"{turn}-{keys}" / "data", keys=keys) as (url, headers):
                fill(url, headers)
                found.merge(abuse(url, seed=seed + turn, examples=EXAMPLES, headers=headers))
            said = "keys" if keys else "no keys"
            took = time.monotonic() - began
            new = found.cases - before
            print(f"seed {seed + turn}, {said}: {new:,} cases in {took:.0f} s", flush=True)
        turn += 1
    return found


def show(found: Result) -> None:
    """Print what was asked, what was answered, what was checked and what failed."""
    print(f"\n{found.cases:,} cases of {len(found.operations)} operations")
    for name, count in found.phases.most_common():
        print(f"  {name:32} {count:>8,}")
    print("answers by status")
    for status, count in sorted(found.statuses.items()):
        print(f"  {status:<32} {count:>8,}")
    print("checks, and how many failed")
    for name in CHECKS:
        print(f"  {name:32} {found.checks[name]:>8,} {found.failed[name]:>6,}")
    for name, said in sorted(found.failures.items()):
        print(f"\nFAILED {name}\n{said}")
    for error in found.errors:
        print(f"\nERROR {error}")


def main() -> int:
    """Run, print, and say by the exit code whether everything was as documented."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="folder for data and logs; default: temporary")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = run(asked.cases, asked.seed, asked.keep or Path(folder))
    show(found)
    return int(bool(found.failures or found.errors or found.cases < asked.cases))


if __name__ == "__main__":
    sys.exit(main())
