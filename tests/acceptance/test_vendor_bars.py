"""Candles of real quotes and trades against the vendor's own bars, over HTTP and the stream."""

from __future__ import annotations

import csv
import gzip
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from realdata import real
from stream_fakes import Served
from tickplant.client import Client
from tickplant.compose import OpenPlant
from tickplant.config import load
from tickplant.feeds.files import import_files
from tickplant.gateway.app import create_app
from tickplant.model.times import format_time

FX = [
    ("OANDA", "oanda-eurusd-20140504"),
    ("OANDA", "oanda-eurusd-20140505"),
    ("OANDA", "oanda-eurusd-20140506"),
    ("OANDA", "oanda-eurusd-20140507"),
    ("FXCM", "fxcm-eurusd-20140507"),
]
SIDES = ("bid", "ask")
PRICES = ("open", "high", "low", "close")
Bars = dict[tuple[str, str, str], tuple[float, ...]]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


def read_csv(path: Path) -> list[dict[str, str]]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def vendor_bars() -> Bars:
    """Every bar of the five files, by (venue, side, start)."""
    bars: Bars = {}
    for venue, name in FX:
        for row in read_csv(real(f"vendor-bars/{name}-1m.csv.gz")):
            start = format_time(int(row["ts"]))
            for side in SIDES:
                bars[venue, side, start] = tuple(float(row[f"{side}_{p}"]) for p in PRICES)
    return bars


@contextmanager
def served(folder: Path, config: Path | None = None) -> Iterator[tuple[OpenPlant, str]]:
    settings = load(file=config, flags={"data": str(folder), "store.compact_after_s": 0})
    with OpenPlant(settings) as opened, Served(create_app(opened.plant)) as server:
        yield opened, server.url


def import_into(opened: OpenPlant, venue: str, *paths: Path) -> Any:
    return import_files([str(p) for p in paths], sink=opened.plant, venue=venue)


def import_all(opened: OpenPlant) -> None:
    for venue, name in FX:
        import_into(opened, venue, real(f"quotes/{name}.csv.gz"))


def bars_over_http(url: str) -> Bars:
    bars: Bars = {}
    for venue in ("OANDA", "FXCM"):
        for side in SIDES:
            query: dict[str, str] = {
                "interval": "1m", "basis": side, "limit": "1000", "start": "2014-05-01T00:00:00Z",
            }  # fmt: skip
            while True:
                answer = httpx.get(f"{url}/v1/candles/{venue}:EURUSD", params=query)
                assert answer.status_code == 200, answer.text
                page = answer.json()
                for bar in page["candles"]:
                    bars[venue, side, bar["start"]] = tuple(bar[p] for p in PRICES)
                if page["next_page_token"] is None:
                    break
                query["page_token"] = page["next_page_token"]
    return bars


class Listener:
    """Subscribes to bid and ask bars and keeps the last that it heard of each."""

    def __init__(self, url: str) -> None:
        self.client = Client(url)
        self.streams = {
            side: self.client.stream("candles", "*", interval="1m", basis=side, from_=0)
            for side in SIDES
        }
        self.bars: Bars = {}
        self.threads = [
            threading.Thread(target=self.listen, args=(side,), daemon=True) for side in SIDES
        ]

    def listen(self, side: str) -> None:
        for bar in self.streams[side]:
            self.bars[bar["venue"], side, bar["start"]] = tuple(bar[p] for p in PRICES)

    def start(self) -> None:
        for thread in self.threads:
            thread.start()

    def wait_for(self, wanted: Bars, timeout_s: float = 30) -> Bars:
        pause = threading.Event()
        for _ in range(int(timeout_s / 0.05)):
            if dict(self.bars) == wanted:
                break
            pause.wait(0.05)
        for stream in self.streams.values():
            stream.close()
        for thread in self.threads:
            thread.join(10)
        self.client.close()
        return self.bars


def shuffled(path: Path, folder: Path, seed: int, *, keep_ties: bool) -> Path:
    """Write the rows in random order; rows of the same time stay in their order if asked."""
    rows = read_csv(path)
    order = list(range(len(rows)))
    random.Random(seed).shuffle(order)
    if keep_ties:
        places: dict[str, list[int]] = {}
        for place in order:
            places.setdefault(rows[place]["ts_event"], []).append(place)
        ties = {ts: iter(sorted(found)) for ts, found in places.items()}
        order = [next(ties[rows[place]["ts_event"]]) for place in order]
    target = folder / path.name
    with gzip.open(target, "wt", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows[place] for place in order)
    return target


def test_eurusd_bars_equal_the_vendors_to_the_last_digit(tmp_path: Path) -> None:
    wanted = vendor_bars()
    assert len(wanted) == 2 * (157 + 1350 + 1389 + 1406 + 1428)
    with served(tmp_path / "data") as (opened, url):
        listener = Listener(url)
        listener.start()
        import_all(opened)
        assert bars_over_http(url) == wanted
        assert listener.wait_for(wanted) == wanted
    with served(tmp_path / "data") as (opened, url):
        assert bars_over_http(url) == wanted, "after a restart"
        import_again(opened, tmp_path)
        store, catalog = opened.plant.store, opened.plant.catalog
        store.checkpoint(catalog.encode())
        store.compact()
        assert bars_over_http(url) == wanted, "after compaction"
        days = {entry.day for entry in store.archive.manifest.files if entry.table == "quotes"}
        files = [entry for entry in store.archive.manifest.files if entry.table == "quotes"]
        assert len(files) == len(days)


def import_again(opened: OpenPlant, folder: Path) -> None:
    """Import the same files and their rows in random order once more: nothing is added."""
    for venue, name in FX:
        path = real(f"quotes/{name}.csv.gz")
        for again in (path, shuffled(path, folder, seed=1, keep_ties=False)):
            totals = import_into(opened, venue, again)
            assert (totals.accepted, totals.duplicates) == (0, totals.rows)


def test_rows_in_random_order_give_the_same_bars(tmp_path: Path) -> None:
    """Into an empty folder. Rows of one time keep their order: no file says it otherwise."""
    with served(tmp_path / "data") as (opened, url):
        listener = Listener(url)
        listener.start()
        for seed, (venue, name) in enumerate(FX):
            path = shuffled(real(f"quotes/{name}.csv.gz"), tmp_path, seed, keep_ties=True)
            import_into(opened, venue, path)
        wanted = vendor_bars()
        assert bars_over_http(url) == wanted
        assert listener.wait_for(wanted) == wanted


RULES = """
[conditions.venues]
TAPE = "tape"

# The conditions of these trades are a set of bits. The vendor's bars have prices of extended hours.
[conditions.sets.tape]
form = "bits"

[conditions.sets.tape.codes]
100000 = ["volume"]               # average price
40000 = ["volume"]                # contingent
200 = ["high_low", "volume"]      # derivatively priced
4000 = ["high_low", "volume"]     # sold out of sequence
1000000 = []                      # official close
4000000 = []                      # official open
"""
FIELDS = (*PRICES, "volume")


def test_spy_bars_come_closer_to_the_vendors_by_rules(tmp_path: Path) -> None:
    wanted = {
        format_time(int(row["ts"])): {name: float(row[name]) for name in FIELDS}
        for row in read_csv(real("vendor-bars/spy-20131007-1m.csv.gz"))
    }
    assert len(wanted) == 828
    file = tmp_path / "tickplant.toml"
    file.write_text(RULES, "utf-8")
    same = {}
    with served(tmp_path / "data", file) as (opened, url):
        for venue in ("PLAIN", "TAPE"):
            totals = import_into(opened, venue, real("trades/spy-20131007.csv.gz"))
            assert (totals.accepted, totals.rejected) == (250_601, {})
            answer = httpx.get(f"{url}/v1/candles/{venue}:SPY?interval=1m&limit=10000").json()
            found = {bar["start"]: bar for bar in answer["candles"]}
            same[venue] = {
                name: sum(found[start][name] == bar[name] for start, bar in wanted.items())
                for name in FIELDS
            }
            official = 0x5000000 if venue == "TAPE" else 0
            assert sum(bar["volume"] for bar in found.values()) == sum(
                float(row["size"])
                for row in read_csv(real("trades/spy-20131007.csv.gz"))
                if not int(row["conditions"], 16) & official
            )
    assert min(bars["volume"] for bars in same.values()) >= 825
    assert same == {
        "PLAIN": {"open": 794, "high": 785, "low": 777, "close": 785, "volume": 825},
        "TAPE": {"open": 793, "high": 792, "low": 799, "close": 785, "volume": 825},
    }
