"""Feeds at the doors: one shown closely, its symbols changed while it runs, wrong requests."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from plant_kit import open_plant
from supervisor_kit import streams_of
from tickplant.compose import build_feeds, open_feed_desk
from tickplant.config import SyntheticSettings, load
from tickplant.feeds.contract import Feed
from tickplant.feeds.runner import FeedRunner
from tickplant.feeds.supervisor.configured import parse_feed, read_feeds
from tickplant.feeds.supervisor.feed import VenueFeed, World
from tickplant.feeds.supervisor.kept import KeptStreams
from tickplant.feeds.synthetic import SyntheticFeed
from tickplant.gateway.app import create_app
from tickplant.model.errors import ConfigError
from toy_venue import ToyServer, ToyVenue


class Opened:
    """What `build_feeds` needs of an open plant."""

    def __init__(self, folder: Path, plant: Any) -> None:
        self.folder, self.plant = folder, plant


@asynccontextmanager
async def doors(folder: Path) -> AsyncIterator[tuple[httpx.AsyncClient, ToyServer]]:
    server, kept = ToyServer(time.time_ns), KeptStreams(folder)
    configured = streams_of("A-USD")

    async def keep(streams: Any) -> None:
        kept.keep("toy", configured, streams)

    world = World(time.time_ns, connector=server, open_client=server.client, keep=keep)
    with open_plant(folder, time.time_ns, log__sync="none") as plant:  # type: ignore[arg-type]
        feeds: list[Feed] = [
            VenueFeed("toy", ToyVenue(server), kept.apply("toy", configured), world),
            SyntheticFeed(SyntheticSettings(), clock=time.time_ns, sleep=asyncio.sleep),
        ]
        runner = FeedRunner(feeds, plant.submit, clock=time.time_ns, tell=plant.tell,
                            shown_of=plant.feed_facts)  # fmt: skip
        plant.list_feeds = runner.shown
        app = create_app(plant)
        transport = httpx.ASGITransport(app)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://plant") as client,
        ):
            assert (await client.get("/v1/feeds/toy")).status_code == 503
            open_feed_desk(plant, runner)
            runner.start()
            try:
                yield client, server
            finally:
                await runner.stop()


async def when(client: httpx.AsyncClient, holds: Callable[[dict[str, Any]], object]) -> Any:
    """Return the feed once it is so."""
    async with asyncio.timeout(10):
        while True:
            shown = (await client.get("/v1/feeds/toy")).json()
            if holds(shown):
                return shown
            await asyncio.sleep(0.01)


def states(shown: dict[str, Any]) -> dict[tuple[str, str], str]:
    return {(s["symbol"], s["channel"]): s["state"] for s in shown["subscriptions"]}


async def test_symbols_are_changed_while_a_feed_runs_and_stay_changed(tmp_path: Path) -> None:
    path = "/v1/feeds/toy/symbols"
    async with doors(tmp_path) as (client, server):
        await when(client, lambda shown: shown["streams"]["live"] == 2)
        answer = await client.post(path, json={"symbols": ["b-usd"], "channels": ["trades"]})
        assert answer.status_code == 200
        shown = await when(client, lambda shown: shown["streams"]["live"] == 3)
        assert set(states(shown)) == {("A-USD", "trades"), ("A-USD", "quotes"), ("B-USD", "trades")}
        assert (await client.post(path, json={"symbols": ["C-USD"]})).status_code == 200
        shown = (
            await client.delete(path, params={"symbols": "A-USD", "channels": "quotes"})
        ).json()
        assert ("A-USD", "quotes") not in states(shown)
        listed = (await client.get("/v1/feeds")).json()["feeds"]
        assert [feed["id"] for feed in listed] == ["toy", "synthetic"]
        assert "connections" not in listed[1]
        other = (await client.get("/v1/feeds/synthetic")).json()
        assert other["subscriptions"] is None
        assert server.made == 1
    async with doors(tmp_path) as (client, server):
        shown = await when(client, lambda shown: shown["streams"]["live"] == 4)
        assert set(states(shown)) == {
            ("A-USD", "trades"), ("B-USD", "trades"), ("C-USD", "trades"), ("C-USD", "quotes")
        }  # fmt: skip


async def test_wrong_requests_are_refused_with_what_is_allowed(tmp_path: Path) -> None:
    async with doors(tmp_path) as (client, _):
        await when(client, lambda shown: shown["streams"]["live"] == 2)
        post, path = client.post, "/v1/feeds/toy/symbols"
        for status, said, answer in (
            (404, "known are toy, synthetic", await client.get("/v1/feeds/nobody")),
            (404, "known are toy", await post("/v1/feeds/x/symbols", json={"symbols": ["A-USD"]})),
            (409, "no feed of a venue",
             await post("/v1/feeds/synthetic/symbols", json={"symbols": ["A"]})),
            (400, "the nearest are", await post(path, json={"symbols": ["AA-USD"]})),
            (400, "1 to 64 characters", await post(path, json={"symbols": ["a b"]})),
            (400, "of trades, quotes, book",
             await post(path, json={"symbols": ["A-USD"], "channels": ["stats"]})),
            (400, "a list of symbols", await post(path, json={"symbols": "A-USD"})),
            (400, "a list of channels", await post(path, json={"symbols": ["A"], "channels": [1]})),
            (422, "an object with symbols", await post(path, json=["A-USD"])),
            (422, "an object with symbols", await post(path, json={"symbols": ["A"], "x": 1})),
            (400, "symbols with commas", await client.delete(path)),
            (404, "not subscribed to", await client.delete(path, params={"symbols": "D-USD"})),
        ):  # fmt: skip
            assert answer.status_code == status, answer.text
            assert said in answer.json()["detail"]


def test_feeds_are_built_as_they_are_configured(tmp_path: Path) -> None:
    file = tmp_path / "tickplant.toml"
    file.write_text('[[feeds]]\nvenue = "binance"\nsymbols = ["BTC-USDT"]\n')
    [plan] = read_feeds(load(file=file).feeds, {})
    with open_plant(tmp_path / "data") as plant:
        opened: Any = Opened(tmp_path / "data", plant)
        [feed] = build_feeds(opened, [plan])
        assert (feed.name, feed.venue, feed.kind, feed.instruments) == (
            "binance", "BINANCE", "venue", 1
        )  # fmt: skip
        [wrong] = read_feeds([parse_feed("binance:BTC-USDT;channels=stats")], {})
        with pytest.raises(ConfigError, match="binance has trades, quotes, book"):
            build_feeds(opened, [wrong])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[feeds]\nstall_s = 5\n", "feeds.stall_s: is called coverage.stall_s now"),
        ("[feeds]\nvenue = 'x'\n", "a table [[feeds]], in double brackets"),
        ("feeds = 5\n", "a table [[feeds]], in double brackets"),
    ],
)
def test_the_section_of_old_is_told_from_the_new_tables(
    tmp_path: Path, text: str, said: str
) -> None:
    file = tmp_path / "tickplant.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as refused:
        load(file=file)
    assert said in str(refused.value)
    with pytest.raises(ConfigError, match="is called TICKPLANT_COVERAGE_STALL_S now"):
        load(environ={"TICKPLANT_FEEDS_STALL_S": "5"})
    with pytest.raises(ConfigError, match="is called coverage"):
        load(flags={"feeds.alive_s": 5})
