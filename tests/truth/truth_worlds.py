"""Random worlds by seed: what a plant is given, step by step, and the kinds of bars to compare.

A world is a few symbols whose trades and quotes lie around some moment (a change of the clock, the
end of a year, any day), sent in random batches, in order or not, some twice, with corrections and
cancels of earlier trades, restarts and archive runs in between.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from random import Random
from typing import Any

NS = 1_000_000_000
SIDES = ("bid", "ask", "mid")
ZONES = (
    "UTC", "America/New_York", "Europe/London", "Australia/Sydney", "Australia/Lord_Howe",
    "Asia/Kolkata", "Asia/Kathmandu", "Europe/Moscow", "Africa/Casablanca", "America/Sao_Paulo",
)  # fmt: skip
DAY_STARTS = ("00:00", "17:00", "22:00", "09:15", "02:30", "12:00", "11:59")
INTERVALS = (
    "1s", "5s", "7s", "1m", "5m", "7m", "15m", "1h", "4h", "7h", "11h", "24h", "36h", "1d", "2d",
    "5d", "1w", "2w", "1mo", "3mo",
)  # fmt: skip
MOMENTS = (
    "2014-03-09T06:59:00Z", "2014-11-02T05:30:00Z", "2024-03-10T06:30:00Z", "2024-11-03T05:59:59Z",
    "2014-03-30T00:59:00Z", "2014-10-26T00:30:00Z", "2024-03-31T00:59:59Z", "2024-10-27T00:10:00Z",
    "2014-04-05T15:59:00Z", "2014-10-04T15:59:00Z", "2024-04-06T15:30:00Z", "2024-10-05T15:59:00Z",
    "2014-10-25T21:59:00Z", "2019-12-31T23:59:00Z", "2020-02-28T23:00:00Z", "2014-05-04T20:59:00Z",
    "2018-10-28T01:00:00Z",
)  # fmt: skip
SPREADS_S = (20, 600, 7_200, 200_000, 3_000_000, 40_000_000)
DAYS, NEAR_S = (
    (1, 1, 2, 5),
    7_200,
)  # a world with events on every day of two years would be mostly files


@dataclass(frozen=True)
class Kind:
    """Bars of one interval, origin and basis."""

    interval: str
    zone: str
    day_start: str
    basis: str


@dataclass
class World:
    """Steps: ("trades" | "quotes", columns), ("correct", place, changes), ("cancel", place),
    ("restart",), ("archive",), ("look",). `place` counts among the trades sent so far.
    """

    seed: int
    symbols: list[str]
    kinds: list[Kind]
    steps: list[tuple[Any, ...]] = field(default_factory=list)


def make_world(seed: int, symbols: int, ticks: int, grids: int) -> World:
    """The world of a seed: `ticks` events a symbol, `grids` origins and intervals."""
    rng = Random(seed)
    kinds = []
    for interval in rng.sample(INTERVALS, grids):
        grid = (interval, rng.choice(ZONES), rng.choice(DAY_STARTS))
        kinds += [Kind(*grid, "trade"), Kind(*grid, rng.choice(SIDES))]
    world = World(seed, [f"S{number}" for number in range(symbols)], kinds)
    moment = datetime.fromisoformat(rng.choice(MOMENTS))
    base = int(moment.timestamp()) * NS
    spread = rng.choice(SPREADS_S)
    centers = [
        base,
        *(base + rng.randrange(-spread, spread) * NS for _ in range(rng.choice(DAYS) - 1)),
    ]
    near = min(spread, NEAR_S)
    rows = [
        _row(rng, symbol, rng.choice(centers), near)
        for symbol in world.symbols
        for _ in range(ticks)
    ]
    _order(rng, rows)
    for number, row in enumerate(rows):
        if rng.random() < 0.3:
            row["id"] = f"{row['symbol']}-{number}"
    sent = 0
    while sent < len(rows):
        size = rng.choice((1, 2, 5, 20, 100, 400))
        batch = rows[sent : sent + size]
        sent += size
        if rng.random() < 0.3:  # rows that have been sent before
            batch = batch + [row for row in rng.sample(rows[:sent], min(5, sent)) if "id" in row]
        world.steps += _split(batch)
        world.steps += _between(rng)
    return world


def _row(rng: Random, symbol: str, base: int, spread: int) -> dict[str, Any]:
    grain = rng.choice((60 * NS, NS, NS // 10, 1))
    ts = (
        base
        + rng.randrange(-spread * NS, spread * NS) // grain * grain
        + rng.choice((0, 0, 0, -1, 1))
    )
    if rng.random() < 0.6:
        size = (
            None
            if rng.random() < 0.1
            else rng.choice((0.1, 0.25, 1.0, 100.0, 1e-6)) * rng.randrange(1, 999)
        )
        return {
            "table": "trades",
            "symbol": symbol,
            "ts_event": ts,
            "price": _price(rng),
            "size": size,
        }
    bid = _price(rng) if rng.random() < 0.9 else None
    ask = _price(rng) if bid is None or rng.random() < 0.9 else None
    return {"table": "quotes", "symbol": symbol, "ts_event": ts, "bid_price": bid, "ask_price": ask}


def _price(rng: Random) -> float:
    return rng.randrange(1, 200_000) / rng.choice((10, 100, 1_000, 100_000))


def _order(rng: Random, rows: list[dict[str, Any]]) -> None:
    how = rng.random()
    if how < 0.3:
        rng.shuffle(rows)
        return
    rows.sort(key=lambda row: row["ts_event"])
    if how < 0.7:  # one in twenty comes late
        late = [rows.pop(rng.randrange(len(rows))) for _ in range(len(rows) // 20)]
        for row in late:
            rows.insert(rng.randrange(len(rows) // 2, len(rows) + 1), row)


def _split(batch: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    steps = []
    for table in ("trades", "quotes"):
        mine = [row for row in batch if row["table"] == table]
        if table == "quotes":
            mine = [{name: v for name, v in row.items() if name != "id"} for row in mine]
            mine = [row for place, row in enumerate(mine) if row not in mine[:place]]
        if mine:
            names = dict.fromkeys(name for row in mine for name in row if name != "table")
            steps.append((table, {name: [row.get(name) for row in mine] for name in names}))
    return steps


def _between(rng: Random) -> list[tuple[Any, ...]]:
    steps: list[tuple[Any, ...]] = []
    if rng.random() < 0.35:
        changes: dict[str, Any] = {"price": _price(rng)}
        if rng.random() < 0.5:
            changes["size"] = rng.randrange(1, 500) / 10
        if rng.random() < 0.3:
            changes["shift_s"] = rng.choice((-86_400, -60, -1, 1, 3_600, 700_000))
        steps.append(("correct", rng.randrange(10**9), changes))
    if rng.random() < 0.25:
        steps.append(("cancel", rng.randrange(10**9)))
    if rng.random() < 0.08:
        steps.append(("archive",))
    if rng.random() < 0.05:
        steps.append(("restart",))
    if rng.random() < 0.05:
        steps.append(("look",))
    return steps
