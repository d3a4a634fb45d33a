"""Whatever happens to the connections of a feed: nothing is lost, doubled, or wrongly covered.

Faults are data: what happens, to which connection or symbol, and how long until the next. The
oracle is the server's own list of what happened, and simple loops over it.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from supervisor_kit import Scene, play, streams_of
from tickplant.feeds.venues.contract import Limits, VitalSigns
from tickplant.model.events import Flag

SYMBOLS = ("A-USD", "B-USD", "C-USD")
EXAMPLES = int(os.environ.get("FAULT_EXAMPLES", "2"))
TRADE_S, MARKET_S = 0.7, 20.0


class Fault(NamedTuple):
    kind: str
    which: int
    seconds: float


FAULTS = st.lists(
    st.builds(
        Fault,
        st.sampled_from(["cut", "stall", "skip", "refuse", "bye", "http", "cut_all"]),
        st.integers(0, 2),
        st.sampled_from([0.0, 0.3, 1.7, 6.0]),
    ),
    min_size=1,
    max_size=6,
)


def do(scene: Scene, fault: Fault) -> None:
    server = scene.server
    alive = sorted(server.connections)
    chosen = server.connections[alive[fault.which % len(alive)]] if alive else None
    match fault.kind:
        case "cut" if chosen is not None:
            chosen.cut()
        case "cut_all":
            for connection in list(server.connections.values()):
                connection.cut()
        case "stall" if chosen is not None:
            chosen.stalled = True
        case "bye" if chosen is not None:
            chosen.push({"op": "bye"})
        case "skip":
            server.skip(SYMBOLS[fault.which])
        case "refuse":
            server.refuse_connects += 1 + fault.which
        case "http":
            server.http_status = 503 if fault.which else 429


async def suffer(scene: Scene, faults: list[Fault]) -> None:
    now = scene.loop.clock
    await scene.until(lambda: scene.feed.board.counts(now())["live"] == 2 * len(SYMBOLS))
    market = asyncio.create_task(scene.server.market(SYMBOLS, TRADE_S, MARKET_S))
    await asyncio.sleep(2)
    for fault in faults:
        do(scene, fault)
        await asyncio.sleep(fault.seconds)
    await market
    scene.server.http_status = 200
    settled = ("repaired", "unrepairable")

    def over() -> bool:
        states = scene.feed.board.counts(now())
        live = states["live"] + states["quiet"] == 2 * len(SYMBOLS)
        return live and all(gap["status"] in settled and gap["end"] for gap in scene.gaps())

    await scene.until(over, 1_500)
    await scene.settle(2)
    for symbol in SYMBOLS:
        check_symbol(scene, symbol)


def check_symbol(scene: Scene, symbol: str) -> None:
    truth = [trade for trade in scene.server.truth if trade["symbol"] == symbol]
    rows = scene.stored(symbol)
    ids = Counter(row["id"] for row in rows)
    assert ids == Counter(trade["id"] for trade in truth)
    gaps = [g for g in scene.gaps() if g["symbol"] in (None, symbol)]
    for row in rows:  # what did not come by itself is in a gap that says so
        if row["flags"] & Flag.BACKFILLED:
            assert any(g["start"] <= row["ts_event"] < g["end"] for g in gaps), (row, gaps)
    assert {g["status"] for g in gaps} <= {"repaired"}
    states = scene.states(symbol, "5s")
    assert set(states[1:]) <= {"complete", "quiet", "forming"}  # the feed began within the first


@settings(
    max_examples=EXAMPLES, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.large_base_example],
)  # fmt: skip
@given(FAULTS)
def test_nothing_is_lost_or_doubled_or_wrongly_covered(faults: list[Fault]) -> None:
    async def act(scene: Scene) -> Any:
        await suffer(scene, faults)

    with tempfile.TemporaryDirectory() as folder:
        play(
            Path(folder), streams_of(*SYMBOLS), act,
            limits=Limits(streams_max=2, connects=None), vital_signs=VitalSigns(1.0, None, 5.0),
        )  # fmt: skip
