"""An answer that is given again is the one that would be made anew, whatever has happened."""

from __future__ import annotations

import random
from pathlib import Path
from types import SimpleNamespace

import httpx
import numpy as np
import pytest

from plant_kit import NOW, Clock, amend, open_plant, submit
from tickplant.formats.texts import RowTexts
from tickplant.gateway.app import create_app
from tickplant.plant.kept import Kept
from tickplant.plant.plant import Plant

SECOND = 10**9
NAMES = [f"S{n}" for n in range(2)]
HOT = (
    "/v1/latest/{}",
    "/v1/candles/{}?interval=1m",
    "/v1/candles/{}?interval=1s&limit=20",
    "/v1/candles/{}?interval=1m&limit=2&start=0",
    "/v1/trades/{}?limit=9&order=desc",
    "/v1/trades/{}?limit=5",
    "/v1/quotes/{}",
)


def act(plant: Plant, shuffle: random.Random, known: list[tuple[str, int]]) -> None:
    kind = shuffle.choice(["trades", "trades", "late", "quotes", "correct", "cancel", "archive"])
    name, price = shuffle.choice(NAMES), shuffle.randrange(1, 99) / 4
    at = NOW - 600 * SECOND + plant.seq_last * SECOND
    if kind == "late":
        at -= shuffle.randrange(1, 400) * SECOND
    if kind in ("trades", "late"):
        receipt = submit(plant, symbol=[name], ts_event=[at], price=[price], size=[1.5])
        known.append((name, receipt.seq_first or 0))
    elif kind == "quotes":
        submit(plant, "quotes", symbol=[name], ts_event=[at], bid_price=[price], ask_price=[99.0])
    elif kind == "archive":
        plant.store.checkpoint(plant.catalog.encode())
    elif known:
        symbol, seq = known.pop(shuffle.randrange(len(known)))
        changes = {"price": price, "ts_event": at - shuffle.randrange(0, 90) * SECOND}
        amend(plant, symbol, seq, changes if kind == "correct" else None)


async def answers(client: httpx.AsyncClient) -> list[bytes]:
    """What is answered, but for the snapshot that a token of the next page names: one of before, in
    which nothing about the instrument was different."""
    found = [(await client.get(path.format(name))).content for name in NAMES for path in HOT]
    return [body.partition(b',"next_page_token":')[0] for body in found]


async def test_what_is_given_again_is_what_would_be_made_anew(tmp_path: Path) -> None:
    shuffle, known = random.Random(1), []
    with open_plant(tmp_path, Clock(), log__sync="none") as plant:
        every = [NOW - 700 * SECOND] * len(NAMES)
        submit(plant, symbol=NAMES, ts_event=every, price=[1.0] * len(NAMES))
        submit(plant, "quotes", symbol=NAMES, ts_event=every, bid_price=[1.0] * len(NAMES))
        history = plant.history
        transport = httpx.ASGITransport(app=create_app(plant))
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
            for _ in range(8):
                act(plant, shuffle, known)
                given = await answers(client)
                assert await answers(client) == given
                warm = history.kept, history.texts
                history.kept, history.texts = Kept(0), RowTexts(0)
                assert await answers(client) == given
                history.kept, history.texts = warm
        assert history.kept.bytes_used


async def test_an_answer_is_made_once_while_nothing_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_plant(tmp_path, log__sync="none") as plant:
        submit(plant, symbol=NAMES, ts_event=[NOW] * 2, price=[1.0] * 2)
        made: list[str] = []
        candles = plant.history.candles

        def noted(instrument, *args, **query):  # type: ignore[no-untyped-def]
            made.append(instrument.symbol)
            return candles(instrument, *args, **query)

        monkeypatch.setattr(plant.history, "candles", noted)
        transport = httpx.ASGITransport(app=create_app(plant))
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
            path = "/v1/candles/S0?interval=1m"
            first = await client.get(path)
            made.clear()
            again = await client.get(path)
            assert again.content == first.content
            assert again.headers["x-request-id"] != first.headers["x-request-id"]
            assert made == []
            submit(plant, symbol=["S1"], ts_event=[NOW], price=[2.0])
            await client.get(path)
            assert made == []
            submit(plant, symbol=["S0"], ts_event=[NOW], price=[3.0])
            changed = (await client.get(path)).json()
            assert made == ["S0"] * len(made) != []
            assert changed["candles"][-1]["close"] == 3.0


async def test_a_book_that_goes_on_makes_an_instrument_younger(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_plant(tmp_path, log__sync="none") as plant:
        submit(plant, symbol=["S0"], ts_event=[NOW - 90 * SECOND], price=[1.0])
        transport = httpx.ASGITransport(app=create_app(plant))
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
            for age_s in (40, 40, 10):
                times = np.array([NOW - age_s * SECOND])
                held = SimpleNamespace(
                    times=lambda numbers, times=times: times,
                    time_of=lambda number, times=times: times.item(),
                )
                monkeypatch.setattr(plant.history, "books", held)
                assert (await client.get("/v1/latest/S0")).json()["age_s"] == age_s


def test_what_is_kept_has_a_bound() -> None:
    kept = Kept(10_000)
    for number in range(30):
        kept.put(number, 1, number, 500)
        assert kept.bytes_used <= 10_000
    assert kept.get(29, 1) == 29
    assert kept.get(29, 2) is None
    assert kept.get(0, 1) is None
