"""How fast the page is: `python -m bench.page [--rounds 5] [--trades 100]`.

A plant holds a day of trades of a few instruments; a real Chromium without a cache opens the page.
Counted from the start of the navigation, by the page's own clock: the first paint, until the
watchlist, the tape and the chart have their data. Then trades are posted one at a time over HTTP,
and what is counted is from just before a trade is sent until its price stands in the tape, in the
document; a frame of the screen comes on top. Both clocks are this machine's. Every trade must
appear, and the page may write no error.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from bench.harness import RESULTS, machine
from bench.served import serving
from browser_kit import Tab, find_chromium, open_browser

SYMBOLS, TRADES = 12, 1_440
WATCH = """(() => {
    window.seen = {};
    const note = (name) => (window.seen[name] ??= performance.now());
    const look = () => {
        const chart = document.getElementById('chart');
        if (document.querySelector('#watch tr')) note('watchlist_ms');
        const cost = document.querySelector('#tape tr .cost');
        if (cost) note('tape_ms');
        if (/bars from/.test(chart?.ariaLabel)) note('chart_ms');
        const at = performance.timeOrigin + performance.now();
        if (cost) window.seen[`price ${cost.textContent}`] ??= at;
    };
    new MutationObserver(look).observe(document, {
        childList: true, subtree: true, characterData: true, attributes: true,
    });
})()"""
PAINT = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime"


@dataclass(frozen=True)
class Opened:
    """Milliseconds from the start of the navigation; `cpu_ms` is processor time of its thread."""

    first_paint_ms: float
    watchlist_ms: float
    tape_ms: float
    chart_ms: float
    cpu_ms: float


def fill(client: httpx.Client) -> None:
    """Store a trade a minute of each instrument, up to now."""
    now = time.time_ns() // 60_000_000_000 * 60_000_000_000
    rng = np.random.default_rng(7)
    for place in range(SYMBOLS):
        prices = 100 + np.cumsum(rng.normal(0, 0.02, TRADES)).round(2)
        rows = [
            {"symbol": f"S{place:02}", "price": round(float(price), 2), "size": 1 + n % 9,
             "ts_event": now - (TRADES - n) * 60_000_000_000}
            for n, price in enumerate(prices)
        ]  # fmt: skip
        client.post("/v1/trades", json=rows).raise_for_status()


def open_page(tab: Tab, url: str) -> Opened:
    tab.prepare(WATCH)
    tab.go(url + "/#symbol=ORIGIN:S00&interval=1m")
    for name in ("watchlist_ms", "tape_ms", "chart_ms"):
        tab.until(f"window.seen.{name}")
    seen = tab.run("window.seen")
    paint = tab.until(PAINT)
    return Opened(paint, seen["watchlist_ms"], seen["tape_ms"], seen["chart_ms"], tab.cpu_ms())


def watch_trades(tab: Tab, client: httpx.Client, trades: int) -> list[float]:
    """Return the milliseconds of each trade from before it is sent until it is in the document."""
    sent = {}
    for n in range(trades):
        price = f"{200 + n / 100:.2f}"
        sent[price] = time.time()
        body = {"symbol": "S00", "price": float(price), "size": 1}
        client.post("/v1/trades", json=body).raise_for_status()
        tab.until(f"window.seen['price {price}']")
    seen = tab.run("window.seen")
    return [seen[f"price {price}"] - at * 1_000 for price, at in sent.items()]


def measure(rounds: int, trades: int) -> dict[str, Any]:
    program = find_chromium()
    if program is None:
        raise SystemExit("bench.page: no Chromium here; `make install-tools` installs one")
    with (
        serving() as (url, _, _),
        httpx.Client(base_url=url, timeout=30) as client,
        tempfile.TemporaryDirectory(prefix="tickplant-bench-") as folder,
        open_browser(program, Path(folder)) as browser,
    ):
        fill(client)
        opened, live = [], []
        for place in range(rounds + 1):
            with browser.tab() as tab:
                found = open_page(tab, url)
                if place == rounds:
                    live = watch_trades(tab, client, trades)
                assert tab.faults == [], tab.faults
            if place:  # the first one also starts what a browser starts once
                opened.append(found)
    return {
        "opened": {
            name: [round(getattr(one, name), 1) for one in opened] for name in asdict(opened[0])
        },
        "live_ms": [round(one, 2) for one in live],
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.page", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="pages that are opened (default 5)")
    parser.add_argument("--trades", type=int, default=100, help="trades that are posted (100)")
    options = parser.parse_args()
    found = measure(options.rounds, options.trades)
    for name, values in found["opened"].items():
        middle = statistics.median(values)
        print(f"{name:16} {middle:8.1f}   {min(values):.1f} .. {max(values):.1f}")
    p50, p99 = np.percentile(found["live_ms"], [50, 99])
    print(f"{'live_update_ms':16} {p50:8.1f}   p99 {p99:.1f}, {options.trades} trades")
    RESULTS.mkdir(exist_ok=True)
    file = RESULTS / "page.json"
    file.write_text(json.dumps({"machine": machine(), **found}, indent=1))
    print(f"written to {file.relative_to(Path.cwd())}")


if __name__ == "__main__":
    main()
