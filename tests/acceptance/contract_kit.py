"""A plant behind a real server, as a user sees it who has its address and the contract alone."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import httpx
from websockets.sync.client import ClientConnection, connect

from plant_kit import Clock
from stream_fakes import Served
from tickplant.compose import OpenPlant
from tickplant.config import load
from tickplant.gateway.app import create_app
from tickplant.model.times import parse_time

NOW_TEXT = "2024-05-08T12:00:00.5Z"
NOW = parse_time(NOW_TEXT)
WAIT_S = 10
Json = dict[str, Any]


class Site:
    """The server of a plant, whose clock stands at `NOW_TEXT` until it is moved."""

    def __init__(self, server: Served, clock: Clock) -> None:
        self.url, self.ws, self.clock = server.url, server.ws, clock
        self.app = server.app
        self.http = httpx.Client(base_url=server.url, timeout=WAIT_S)

    def get(self, path: str, **query: Any) -> Json:
        answer = self.http.get(path, params=query or None)
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"] == "application/json"
        found: Json = answer.json()
        return found

    def rows(self, path: str, **query: Any) -> list[Json]:
        """Return the rows of an answer, whichever they are."""
        (rows,) = (value for value in self.get(path, **query).values() if isinstance(value, list))
        return rows

    def post(self, path: str, body: Any, **query: Any) -> Json:
        answer = self.http.post(path, json=body, params=query)
        assert answer.status_code == 201, answer.text
        receipt: Json = answer.json()
        assert set(receipt) == {"accepted", "duplicates", "rejected", "seq_first", "seq_last"}
        return receipt

    @contextmanager
    def stream(self, **options: Any) -> Iterator[Talk]:
        with connect(self.ws, open_timeout=WAIT_S, **options) as socket:
            yield Talk(socket)


class Talk:
    """One connection of the stream: JSON messages out and in."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket

    def send(self, op: str, **fields: Any) -> None:
        self.socket.send(json.dumps({"op": op, **fields}))

    def hear(self) -> Json:
        """Return the next message that is no heartbeat."""
        while True:
            message: Json = json.loads(self.socket.recv(WAIT_S))
            if message["op"] != "heartbeat":
                return message

    def ask(self, op: str, **fields: Any) -> Json:
        """Send a message and return the next one that comes."""
        self.send(op, **fields)
        return self.hear()

    def events(self, count: int) -> list[Json]:
        """Return the events of the next data messages, of which there must be `count`."""
        found: list[Json] = []
        while len(found) < count:
            message = self.hear()
            if message["op"] == "data":
                found += message["events"]
        assert len(found) == count
        return found


@contextmanager
def site(folder: Path, **settings: Any) -> Iterator[Site]:
    """Start a plant in a folder; settings are named `room__key`."""
    flags = {"data": str(folder), "log.segment_mb": 1}
    flags |= {name.replace("__", "."): value for name, value in settings.items()}
    clock = Clock(NOW)
    pause_s = sys.getswitchinterval()
    sys.setswitchinterval(1e-4)  # client and server share an interpreter; turns must be short
    with (
        OpenPlant(load(flags=flags), clock=clock) as opened,
        Served(create_app(opened.plant)) as server,
    ):
        made = Site(server, clock)
        try:
            yield made
        finally:
            made.http.close()
            sys.setswitchinterval(pause_s)


def problem(answer: httpx.Response, status: int) -> Json:
    """Check that an answer is a problem as the contract has it, and return it."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body: Json = answer.json()
    assert {"type", "title", "status", "detail", "instance"} <= set(body)
    assert body["status"] == status
    assert body["instance"].isascii()
    assert unquote(body["instance"]) == unquote(answer.request.url.raw_path.partition(b"?")[0])
    assert body["title"]
    assert body["detail"]
    for error in body["errors"]:
        assert set(error) == {"loc", "msg", "value"}
    return body
