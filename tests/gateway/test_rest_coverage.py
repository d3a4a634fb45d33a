"""`POST /v1/coverage`: what a producer declares to be complete."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from plant_kit import NOW, WAIT_S, open_plant, submit
from stream_fakes import Served
from tickplant.client import Client
from tickplant.gateway.app import create_app
from tickplant.model.errors import InvalidParameter, UnknownSymbol
from tickplant.model.times import format_time

SECOND = 10**9
BASE = NOW // (3600 * SECOND) * 3600 * SECOND - 3600 * SECOND
SPAN = {"start": format_time(BASE), "end": format_time(BASE + 3600 * SECOND)}


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    path: Path = tmp_path_factory.mktemp("plant")
    with open_plant(path) as plant, Served(create_app(plant)) as served:
        submit(plant, symbol=["ABC"], ts_event=[BASE + 90 * SECOND], price=[1.0])
        yield served.url


def test_a_span_that_is_declared_counts_at_once_and_once(url: str) -> None:
    with Client(url) as client:
        hours = {"interval": "1h", "basis": "trade"}
        before = [bar["state"] for bar in client.candles("ABC", **hours)]
        said = client.declare("abc", BASE, BASE + 3600 * SECOND)
        after = [(bar["state"], bar["coverage"]) for bar in client.candles("ABC", **hours)]
        seq = client.status()["seq_last"]
        assert client.declare(["ORIGIN:ABC"], **SPAN) == said
        assert client.status()["seq_last"] == seq
    assert said == {"symbols": ["ORIGIN:ABC"], **SPAN}
    assert (before, after) == (["forming"], [("complete", 1.0)])


def test_what_cannot_be_declared_is_named(url: str) -> None:
    with Client(url) as client:
        with pytest.raises(UnknownSymbol, match="NOPE"):
            client.declare(["ABC", "NOPE"], **SPAN)
        with pytest.raises(InvalidParameter, match="a time that is past, up to"):
            client.declare("ABC", BASE, NOW + 1)


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b"{", 422, "body: is not JSON"),
        (b"[]", 422, "an object with symbols, start and end"),
        ({"symbols": ["ABC"], "start": 1}, 422, "an object with symbols, start and end"),
        ({"symbols": [], **SPAN}, 400, "symbols"),
        ({"symbols": ["ABC"] * 501, **SPAN}, 400, "a list of 1 to 500"),
        ({"symbols": "ABC", **SPAN}, 400, "a list of 1 to 500"),
        ({"symbols": [7], **SPAN}, 400, "SYMBOL or VENUE:SYMBOL"),
        ({"symbols": ["ABC"], **SPAN, "end": "2023-11-10T00:00:00"}, 400, "end: 2023-11-10"),
        ({"symbols": ["ABC"], **SPAN, "start": None}, 400, "start"),
        ({"symbols": ["ABC"], "start": SPAN["end"], "end": SPAN["start"]}, 400, "is after"),
    ],
)
def test_a_bad_body_is_refused(url: str, body: Any, status: int, said: str) -> None:
    given = {"content": body} if isinstance(body, bytes) else {"json": body}
    answer = httpx.post(f"{url}/v1/coverage", timeout=WAIT_S, **given)
    assert answer.status_code == status
    assert said in answer.json()["detail"]
