"""The stream of a whole plant: posted over HTTP, heard over the WebSocket, resumed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stream_fakes import Served
from tickplant.client import Client
from tickplant.compose import OpenPlant
from tickplant.config import Settings, StreamSettings
from tickplant.gateway.app import create_app

MINUTE = 60 * 10**9
START = 1_715_040_000_000_000_000


@contextmanager
def plant_on(folder: Path, port: int = 0, **stream: Any) -> Iterator[Client]:
    settings = Settings(data=str(folder), stream=StreamSettings(**stream))
    with (
        OpenPlant(settings) as opened,
        Served(create_app(opened.plant), port) as served,
        Client(served.url) as client,
    ):
        yield client


def row(price: float, second: int = 0, symbol: str = "EURUSD") -> dict[str, Any]:
    return {"symbol": symbol, "ts_event": START + second * 10**9, "price": price, "size": 2.0}


def test_trades_corrections_and_cancels_are_heard_in_the_order_of_their_numbers(
    tmp_path: Path,
) -> None:
    with plant_on(tmp_path) as client, client.stream("trades", "*", from_=0) as stream:
        first = client.post_trades([row(1.0), row(2.0, 1)]).seq_first
        assert first is not None
        client.correct("EURUSD", first, price=1.5)
        client.cancel("EURUSD", first + 1)
        heard = [next(stream) for _ in range(4)]
        assert [(e["seq"] - first, e["price"], e["flags"], e.get("corrects")) for e in heard] == [
            (0, 1.0, [], None),
            (1, 2.0, [], None),
            (2, 1.5, ["correction"], first),
            (3, 2.0, ["cancel"], first + 1),
        ]


def test_a_bar_heard_is_the_bar_read(tmp_path: Path) -> None:
    with plant_on(tmp_path) as client:
        client.post_trades([row(1.0)])
        with client.stream("candles", "EURUSD", interval="1m", from_=0) as stream:
            kept: dict[str, dict[str, Any]] = {}

            def hear(count: int) -> None:
                for _ in range(count):
                    bar = next(stream)
                    kept[bar["start"]] = bar

            hear(1)
            client.post_trades([row(5.0, 30)])
            hear(1)
            last = client.post_trades([row(7.0, 61)]).seq_last
            assert last is not None
            hear(2)  # the first bar once more, closed, and the second
            client.correct("EURUSD", last, price=9.0)
            hear(1)
            read = client.candles("EURUSD", "1m").arrow().to_pydict()
            names = ("open", "high", "low", "close", "volume", "count", "revision")
            assert [[bar[name] for name in names] for bar in kept.values()] == [
                [read[name][place] for name in names] for place in range(2)
            ]
            assert [bar.get("state") for bar in kept.values()] == read["state"]


def test_a_bar_that_was_emptied_meanwhile_is_heard_with_a_count_of_zero(tmp_path: Path) -> None:
    with plant_on(tmp_path) as client:
        kept = client.post_trades([row(1.0), row(2.0, 61)]).seq_last
        assert kept is not None
        moved, cancelled = kept - 1, kept
        client.correct("EURUSD", moved, ts_event=START + 120 * 10**9)
        client.cancel("EURUSD", cancelled)
        with client.stream("candles", "EURUSD", interval="1m", from_=kept) as stream:
            bars = [next(stream) for _ in range(3)]
        shown = [(b["start"][14:16], b["count"], b["close"], b["revision"] - kept) for b in bars]
        assert shown == [("00", 0, None, 1), ("01", 0, None, 2), ("02", 1, 1.0, 1)]


def test_a_late_trade_far_beyond_the_ring_and_a_restart_make_no_hole(tmp_path: Path) -> None:
    with plant_on(tmp_path / "data", ring_rows=1_000) as client:
        for start in range(0, 5_000, 500):
            client.post_trades([row(float(n + 1), n) for n in range(start, start + 500)])
        port = int(client.url.rpartition(":")[2])
        stream = client.stream("trades", "EURUSD", from_=0, backoff_s=(0.01, 0.05))
        heard = [next(stream)["price"] for _ in range(5_000)]
    with plant_on(tmp_path / "data", port, ring_rows=1_000) as client:
        client.post_trades([row(0.5)])
        heard.append(next(stream)["price"])
        assert heard == [float(n + 1) for n in range(5_000)] + [0.5]
        stream.close()


def test_the_state_is_heard_again_from_a_plant_that_was_restarted(tmp_path: Path) -> None:
    with plant_on(tmp_path / "data") as client:
        port = int(client.url.rpartition(":")[2])
        stream = client.stream("status", backoff_s=(0.01, 0.05))
        first = next(stream)
        assert first.keys() == {"ts", "state", "ready", "reason", "backpressure", "run"}
        assert (first["state"], first["ready"], first["reason"]) == ("running", True, "accepting")
    with plant_on(tmp_path / "data", port):
        assert next(stream)["run"] == first["run"] + 1
        stream.close()
