"""A slice of `make abuse`: some requests of every kind, to a plant that asks for keys, and one that
does not. And who asks a hundred times more than he may costs the others nothing but the asking."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from abuse_kit import CHECKS, Result, abuse

from served_kit import behind
from tickplant.gateway.keys.file import KeyFile

TRADE = {"symbol": "EURUSD", "price": 1.3928, "ts_event": "2014-05-07T00:00:00Z"}
SLICES = {
    "open": r"^/(ticks/bulk|v1/trades/|spread)",
    "keys": r"^/v1/(trades$|trades/|gaps)",
}
"""What is asked of each plant here; `make abuse` asks everything of both."""


@pytest.fixture(params=list(SLICES))
def asked(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Result]:
    headers = {}
    if request.param == "keys":
        key, _ = KeyFile(tmp_path).create(["read", "write", "admin"], now=1)
        headers = {"X-API-Key": key}
    required = request.param == "keys"
    with behind(tmp_path, auth__required=required, log__sync="none") as made:
        httpx.post(f"{made.url}/v1/trades", json=TRADE, headers=headers).raise_for_status()
        only = SLICES[request.param]
        phases = ("examples", "fuzzing", "stateful")
        yield abuse(made.url, seed=1, examples=4, phases=phases, headers=headers, only=only)


def test_whatever_is_asked_the_answer_is_as_documented(asked: Result) -> None:
    assert asked.failures == {}
    assert asked.errors == []
    assert asked.cases > 15
    done = {name for name, count in asked.checks.items() if count}
    assert done >= set(CHECKS) - {"ignored_auth"}


async def test_a_caller_far_beyond_his_limit_is_refused_and_others_are_served(
    tmp_path: Path,
) -> None:
    file = KeyFile(tmp_path)
    greedy, _ = file.create(["read"], now=1)
    other, _ = file.create(["read", "write"], now=1)
    limit = 2
    with behind(tmp_path, auth__required=True, limits__read=f"{limit}/hour") as made:
        async with httpx.AsyncClient(base_url=made.url, timeout=20) as http:
            mine = {"X-API-Key": other}
            (await http.post("/v1/trades", json=TRADE, headers=mine)).raise_for_status()
            flood = [
                http.get("/v1/latest/EURUSD", headers={"X-API-Key": greedy})
                for _ in range(100 * limit)
            ]
            begun = asyncio.gather(*flood)
            served = [await http.get("/v1/latest/EURUSD", headers=mine) for _ in range(limit)]
            answers = await begun
    codes = [answer.status_code for answer in answers]
    assert codes.count(200) == limit
    assert codes.count(429) == 99 * limit
    assert all(int(one.headers["retry-after"]) > 0 for one in answers if one.status_code == 429)
    assert [answer.status_code for answer in served] == [200] * limit
