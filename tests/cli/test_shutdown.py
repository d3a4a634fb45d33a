"""The way down: what was begun is finished, subscribers are told 1012, and all of it has a bound.

The server is the one of `tickplant serve`, with the settings of one; only the signal is not sent.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from plant_kit import trades
from served_kit import WAIT_S, Behind, behind

BOUND_S = 1.0
SLACK_S = 8.0  # of a starved machine; without a bound it would be for ever
TRADE = {"symbol": "EURUSD", "price": 1.5, "ts_event": "2024-05-08T11:00:00Z"}
SUBSCRIBE = {"op": "subscribe", "id": 1, "channel": "trades", "symbols": ["*"], "from": 0}


def stopped(made: Behind) -> float:
    """Stop the server; return how long that took, s."""
    began = time.monotonic()
    made.stop()
    return time.monotonic() - began


def closed(socket: ClientConnection, said: list[str] | None = None) -> int:
    """Return the code with which a WebSocket is closed; what it says before is added to `said`."""
    with pytest.raises(ConnectionClosed) as caught:
        (said if said is not None else []).extend(iter(lambda: str(socket.recv(WAIT_S)), None))
    assert caught.value.rcvd is not None
    return caught.value.rcvd.code


def begin_post(made: Behind, body: bytes, part: int) -> socket.socket:
    """Send a request to store a trade, and only the first bytes of its body."""
    address = urlsplit(made.url)
    raw = socket.create_connection((address.hostname, address.port), WAIT_S)
    head = "POST /v1/trades HTTP/1.1\r\nhost: plant\r\ncontent-type: application/json\r\n"
    raw.sendall(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body[:part])
    return raw


def test_a_write_that_was_begun_is_finished_and_answered(tmp_path: Path) -> None:
    with behind(tmp_path, server__shutdown_s_max=WAIT_S) as made:
        body = json.dumps(TRADE).encode()
        with begin_post(made, body, 10) as raw:
            httpx.get(f"{made.url}/ready").raise_for_status()  # so it has come to the plant by now
            stopping = threading.Thread(target=made.stop)
            stopping.start()
            with suppress(httpx.TransportError):
                while True:
                    httpx.get(f"{made.url}/ready")  # until nobody new is let in
            raw.sendall(body[10:])
            answer = b"".join(iter(lambda: raw.recv(4096), b""))
            stopping.join(WAIT_S)
        assert answer.startswith(b"HTTP/1.1 201 ")
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["accepted"] == 1
        assert [row["price"] for row in trades(made.plant, "EURUSD")] == [1.5]


def test_a_write_that_never_ends_is_cut_after_the_bound(tmp_path: Path) -> None:
    with behind(tmp_path, server__shutdown_s_max=BOUND_S) as made:
        with begin_post(made, json.dumps(TRADE).encode(), 10) as raw:
            httpx.get(f"{made.url}/ready").raise_for_status()
            assert BOUND_S * 0.9 <= stopped(made) < BOUND_S + SLACK_S
            answer = b"".join(iter(lambda: raw.recv(4096), b""))
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"retry-after: 5" in answer
        assert made.plant.registry.find("EURUSD", "ORIGIN") is None


def test_subscribers_are_told_1012_and_one_that_reads_nothing_is_not_waited_for(
    tmp_path: Path,
) -> None:
    rows = [{**TRADE, "id": str(number), "conditions": "x" * 200} for number in range(5_000)]
    with behind(tmp_path, server__shutdown_s_max=BOUND_S) as made:
        httpx.post(f"{made.url}/v1/trades", json=rows, timeout=WAIT_S).raise_for_status()
        address = f"{made.url.replace('http', 'ws')}/v1/stream"
        small = {"max_queue": 1, "compression": None, "close_timeout": 0.1}
        with connect(address) as good, connect(address, **small) as stuck:  # type: ignore[arg-type]
            stuck.send(json.dumps(SUBSCRIBE))
            good.send('{"op":"ping"}')
            assert json.loads(good.recv(WAIT_S))["op"] == "pong"
            took: list[float] = []
            stopping = threading.Thread(target=lambda: took.append(stopped(made)))
            stopping.start()
            assert closed(good) == 1012
            stopping.join(WAIT_S)
        assert took[0] < BOUND_S + SLACK_S


def test_a_producer_is_told_1012_and_what_it_was_acknowledged_is_kept(tmp_path: Path) -> None:
    with behind(tmp_path, server__shutdown_s_max=BOUND_S) as made:
        with connect(f"{made.url.replace('http', 'ws')}/v1/ingest") as producer:
            for number in range(50):
                row = {**TRADE, "id": str(number)}
                message = {"op": "rows", "seq": number, "table": "trades", "rows": [row]}
                producer.send(json.dumps(message))
            while json.loads(producer.recv(WAIT_S))["op"] != "ack":
                pass
            stopping = threading.Thread(target=made.stop)
            stopping.start()
            later: list[str] = []
            assert closed(producer, later) == 1012
            acked = 1 + sum(json.loads(text)["op"] == "ack" for text in later)
            stopping.join(WAIT_S)
        assert len(trades(made.plant, "EURUSD")) >= acked > 0
