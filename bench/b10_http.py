"""B10, HTTP: the last of an instrument, 500 candles, 1,000 trades, over 64 connections.

A served plant against plain FastAPI routes that return the same rows from memory, checked and
written by Pydantic. Both are one process; the same generator asks both, closed loop, for a few
instruments in turn. What counts is the processor time of the server: where a process is the limit
that is what its rate comes from, and it does not depend on what else a machine does. The ratio of
each pair of rounds is told too. The rate that was seen stands beside it, and so does that of a
server which answers without doing anything. The peer's uvicorn has the loop and the parser of the
plant's, one worker, no access log and no look at headers of proxies.

All bodies of the plain routes are the plant's own, value by value, before the load and after it.
While ticks arrive, in the last comparison, the plant's rows change and those of the peer do not.
"""

from __future__ import annotations

import statistics
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, NamedTuple

import httpx
import msgspec
import numpy as np

from bench.harness import Comparison, Done, Side, compare
from bench.plain_peer import ROWS
from bench.served import application, cpu_s, load, null_sink, pid_of, serving
from bench.ticks import START, arrow_body, symbols
from tickplant.formats.parsed import incoming_batch
from tickplant.model.times import NS_PER_MINUTE, NS_PER_MS

CONNECTIONS = 64
INSTRUMENTS = 16
MINUTES = 600
TRADES_A_MINUTE = 3
ARROW = "application/vnd.apache.arrow.stream"
TARGET = ">= 2x a plain FastAPI + Pydantic route"


class Hot(NamedTuple):
    """A route that is asked again and again; `rows` is the list in its answer, and how long."""

    name: str
    kind: str
    query: str
    rows: int

    def path(self, symbol: str) -> str:
        return f"/v1/{self.kind}/{symbol}{self.query}"


HOT = (
    Hot("the last of an instrument", "latest", "", 0),
    Hot("500 candles", "candles", "?interval=1m&limit=500", 500),
    Hot("1,000 trades", "trades", "?limit=1000&order=desc", 1_000),
)


class Served(NamedTuple):
    """A server, its process and port."""

    url: str
    port: int
    pid: int


def fill(url: str, headers: Mapping[str, str] = {}) -> None:
    """Give a plant trades of each instrument, some of every minute."""
    random = np.random.default_rng(10)
    names = np.array(symbols(INSTRUMENTS))
    minutes = np.repeat(np.arange(MINUTES), INSTRUMENTS * TRADES_A_MINUTE)
    rows = len(minutes)
    ts = START + minutes * NS_PER_MINUTE + random.integers(0, 60_000, rows) * NS_PER_MS
    batch = incoming_batch(
        "trades",
        symbol=names[np.tile(np.arange(INSTRUMENTS), rows // INSTRUMENTS)].tolist(),
        ts_event=np.sort(ts),
        price=np.round(100 + random.standard_normal(rows).cumsum() * 0.01, 2),
        size=random.integers(1, 500, rows) / 4,
        side=random.integers(1, 3, rows).astype(np.int8),
    )
    told = {"Content-Type": ARROW, **headers}
    answer = httpx.post(f"{url}/v1/trades", content=arrow_body(batch), headers=told, timeout=60)
    answer.raise_for_status()


def answers(url: str, hot: Hot) -> dict[str, Any]:
    """Return what a server answers of each instrument; what depends on the clock is taken out."""
    with httpx.Client(base_url=url, timeout=60) as client:
        found = {name: client.get(hot.path(name)).json() for name in symbols(INSTRUMENTS)}
    for answer in found.values():
        if hot.rows and len(answer[hot.kind]) != hot.rows:
            raise AssertionError(f"{len(answer[hot.kind])} rows instead of {hot.rows}")
        answer.pop("age_s", None)
        answer.pop("next_page_token", None)
    return found


@contextmanager
def plain_peer(plant: str) -> Iterator[Served]:
    """Yield the plain application with the rows that a plant answers."""
    with (
        tempfile.NamedTemporaryFile("wb", suffix=".json") as file,
        httpx.Client(base_url=plant, timeout=60) as client,
    ):
        rows = {
            hot.kind: {name: client.get(hot.path(name)).json() for name in symbols(INSTRUMENTS)}
            for hot in HOT
        }
        file.write(msgspec.json.encode(rows))
        file.flush()
        with application("bench.plain_peer:app", {ROWS: file.name}) as (url, port, pid):
            yield Served(url, port, pid)


def ask(server: Served, hot: Hot, requests: int, same: bool) -> Done:
    """Ask for a route; with `same` every answer of an instrument must be the same bytes."""
    names = symbols(INSTRUMENTS)
    asked = [_request(hot.path(names[turn % INSTRUMENTS])) for turn in range(requests)]
    used = cpu_s(server.pid)
    found = load(server.port, asked, CONNECTIONS)
    used = cpu_s(server.pid) - used
    if found["statuses"] != {"200": requests}:
        raise AssertionError(f"not all was answered: {found['statuses']}")
    if same and found["distinct"] != INSTRUMENTS:
        raise AssertionError(f"{found['distinct']} answers of {INSTRUMENTS} instruments")
    extra = {
        "us of a core each": used / requests * 1e6,
        "seen answers/s": requests / found["seconds"],
        "p99 ms": found["p99_ms"],
        "MB/s": found["bytes"] / found["seconds"] / 1e6,
    }
    return Done(requests, used, extra)


def _request(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: */*\r\n\r\n".encode()


@contextmanager
def ticking(url: str, rate: int) -> Iterator[None]:
    """Post a tick of each instrument in turn, so many a second, while the context lasts."""
    stop = threading.Event()

    def tick() -> None:
        names, turn = symbols(INSTRUMENTS), 0
        with httpx.Client(base_url=url, timeout=60) as client:
            while not stop.wait(1 / rate):
                ts = START + (MINUTES - 1) * NS_PER_MINUTE + 60_000 * NS_PER_MS + turn
                row = {"symbol": names[turn % INSTRUMENTS], "price": 100.0 + turn, "ts_event": ts}
                client.post("/v1/trades", json=row).raise_for_status()
                turn += 1

    thread = threading.Thread(target=tick)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def generator_limit(requests: int) -> float:
    """Return how many answers/s the generator takes of a server that does nothing."""
    with null_sink() as port:
        found = load(port, [_request("/")] * requests, CONNECTIONS)
    return float(requests / found["seconds"])


def run(*, requests: int = 2_000, rounds: int = 5, rate: int = 200) -> list[Comparison]:
    """Run B10 with so many requests a round; `rate` ticks/s arrive in the last part."""
    found: list[Comparison] = []
    with ExitStack() as stack:
        url, port, folder = stack.enter_context(serving())
        pid = pid_of(folder)
        plant = Served(url, port, pid)
        fill(url)
        peer = stack.enter_context(plain_peer(url))
        limit = generator_limit(requests)
        for hot in HOT:
            # A short answer takes little, and what the plant does besides should not show.
            many = requests if hot.rows else 5 * requests
            found.append(_held_against(plant, peer, hot, many, rounds, limit))
        with ticking(url, rate):
            found.append(_held_against(plant, peer, HOT[1], requests, rounds, limit, rate))
    return found


def _held_against(
    plant: Served,
    peer: Served,
    hot: Hot,
    requests: int,
    rounds: int,
    limit: float,
    rate: int = 0,
) -> Comparison:
    if not rate and answers(plant.url, hot) != answers(peer.url, hot):
        raise AssertionError(f"{hot.name}: the answers differ")
    moving = f" while {rate} ticks/s arrive" if rate else ""
    same = bool(hot.rows) and not rate
    sides = [
        Side("tickplant", partial(ask, plant, hot, requests, same), "the whole plant"),
        Side("FastAPI + Pydantic, rows in memory", partial(ask, peer, hot, requests, same)),
    ]
    outcome = compare(
        f"B10 {hot.name}, {CONNECTIONS} connections{moving}",
        sides,
        rounds=rounds,
        unit="answers/s of a core",
        target=TARGET,
    )
    if not rate and answers(plant.url, hot) != answers(peer.url, hot):
        raise AssertionError(f"{hot.name}: the answers differ after the load")
    for side in outcome.outcomes:
        side.extra["generator's limit, answers/s"] = limit
    ours, peers = outcome.outcomes
    ratios = [mine / its for mine, its in zip(ours.rates, peers.rates, strict=True)]
    peers.extra["times ours by pairs, median"] = statistics.median(ratios)
    peers.extra["least"], peers.extra["greatest"] = min(ratios), max(ratios)
    return outcome
