"""Pages stay put while rows arrive, are corrected and are cancelled."""

from __future__ import annotations

import asyncio

import httpx
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from plant_fakes import START, FakePlant

from tickplant.gateway.app import create_app
from tickplant.gateway.rest.pages import decode_token, encode_token
from tickplant.store.contract import AsOf

OPS = st.lists(
    st.tuples(st.sampled_from(["insert", "correct", "cancel"]), st.integers(0, 40)), max_size=8
)


@given(
    times=st.lists(st.integers(0, 20), min_size=1, max_size=30),
    limit=st.integers(1, 7),
    descending=st.booleans(),
    between=st.lists(OPS, max_size=6),
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_pages_are_the_snapshot_of_the_first(
    times: list[int], limit: int, descending: bool, between: list[list[tuple[str, int]]]
) -> None:
    asyncio.run(_walk(times, limit, descending, between))


async def _walk(
    times: list[int], limit: int, descending: bool, between: list[list[tuple[str, int]]]
) -> None:
    plant = FakePlant()
    transport = httpx.ASGITransport(app=create_app(plant))  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="http://plant") as client:
        await client.post("/v1/trades", json=[trade(at) for at in times])
        params: dict = {"limit": limit, "order": "desc" if descending else "asc"}
        whole = (await client.get("/v1/trades/X", params={**params, "limit": 10_000})).json()
        seen: list[dict] = []
        pending = iter(between)
        while True:
            body = (await client.get("/v1/trades/X", params=params)).json()
            assert len(body["trades"]) <= limit
            seen += body["trades"]
            if body["next_page_token"] is None:
                break
            params["page_token"] = body["next_page_token"]
            for op, number in next(pending, []):
                await act(client, op, number)
        assert seen == whole["trades"]


def trade(at: int) -> dict:
    return {"symbol": "X", "price": 1 + at, "ts_event": START + at}


async def act(client: httpx.AsyncClient, op: str, number: int) -> None:
    if op == "insert":
        await client.post("/v1/trades", json=trade(number))
    elif op == "correct":
        await client.put(f"/v1/trades/X/{number}", json={"ts_event": START + 20 - number % 20})
    else:
        await client.delete(f"/v1/trades/X/{number}")


@given(
    query=st.integers(0, 2**32 - 1),
    place=st.tuples(st.integers(-(2**63), 2**63 - 1), st.integers(0, 2**62)),
    as_of=st.builds(AsOf, st.none() | st.integers(0, 2**62), st.none() | st.integers(0, 2**62)),
)
def test_a_token_says_what_went_in(query: int, place: tuple[int, int], as_of: AsOf) -> None:
    text = encode_token(query, place, as_of)
    token = decode_token(text, query)
    assert (token.place, token.as_of) == (place, as_of)
    assert text.replace("-", "").replace("_", "").isalnum()
