"""Bars by count, volume and value at every door: HTTP, the stream, the clients, a folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from plant_kit import Clock, open_plant, submit
from stream_fakes import Served
from tickplant import Client, Folder, InvalidParameter
from tickplant.client import calls
from tickplant.gateway.app import create_app

START = 1_715_169_600 * 10**9  # 2024-05-08T12:00:00Z
SIZES = [4.0, 4.0, 4.0, 20.0, None, 3.0, 1.0, 1.0]
PRICES = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    path: Path = tmp_path_factory.mktemp("activity")
    with open_plant(path, Clock(START + 10**12)) as plant, Served(create_app(plant)) as served:
        submit(plant, symbol=["A"] * 8, ts_event=[START] * 5 + [START + 10**9] * 3,
               price=PRICES, size=SIZES)  # fmt: skip
        submit(plant, "quotes", symbol=["Q"] * 3, ts_event=[START] * 3, bid_price=[1.0, 2.0, 3.0])
        yield served.url


def get(url: str, symbol: str = "A", **query: Any) -> httpx.Response:
    return httpx.get(f"{url}/v1/candles/{symbol}", params=query)


def test_volume_bars_say_which_of_their_day_they_are(url: str) -> None:
    page = get(url, interval="10.0v").json()
    assert (page["interval"], page["basis"]) == ("10v", "trade")
    assert page["candles"][0] == {
        "start": "2024-05-08T12:00:00Z", "end": "2024-05-08T12:00:00Z", "open": 1.0, "high": 3.0,
        "low": 1.0, "close": 3.0, "volume": 12.0, "vwap": 2.0, "count": 3, "revision": 3,
        "day": "2024-05-08T00:00:00Z", "index": 0,
    } | {name: page["candles"][0][name] for name in ("state", "coverage")
         if name in page["candles"][0]}  # fmt: skip
    shown = [(bar["index"], bar["count"], bar["volume"]) for bar in page["candles"]]
    assert shown == [(0, 3, 12.0), (1, 1, 20.0), (2, 4, 5.0)]
    states = [bar.get("state") == "forming" for bar in page["candles"]]
    assert states == [False, False, True]


def test_pages_go_on_with_the_bar_after_the_last_however_many_begin_together(url: str) -> None:
    seen: list[float] = []
    query: dict[str, Any] = {"interval": "1t", "limit": 2, "start": START}
    while True:
        page = get(url, **query).json()
        seen += [bar["close"] for bar in page["candles"]]
        if page["next_page_token"] is None:
            break
        query["page_token"] = page["next_page_token"]
    assert seen == PRICES


def test_the_first_bar_is_the_one_under_way_at_the_start(url: str) -> None:
    page = get(url, interval="10v", start=START + 1).json()
    assert [bar["index"] for bar in page["candles"]] == [2]
    page = get(url, interval="10v", start=START, end=START + 10**9).json()
    assert [bar["index"] for bar in page["candles"]] == [0, 1, 2]


def test_count_bars_are_of_quotes_too(url: str) -> None:
    page = get(url, "Q", interval="2t").json()
    assert page["basis"] == "mid"
    page = get(url, "Q", interval="2t", basis="bid").json()
    assert [(bar["open"], bar["close"], bar["index"]) for bar in page["candles"]] == [
        (1.0, 2.0, 0), (3.0, 3.0, 1),
    ]  # fmt: skip


@pytest.mark.parametrize(("query", "name"), [
    ({"interval": "10v", "basis": "bid"}, "basis"), ({"interval": "10$", "basis": "mid"}, "basis"),
    ({"interval": "10t", "fill": "null"}, "fill"), ({"interval": "0v"}, "interval"),
    ({"interval": "1.5t"}, "interval"), ({"interval": "-1$"}, "interval"),
])  # fmt: skip
def test_what_cannot_be_asked_for_is_named(url: str, query: dict[str, str], name: str) -> None:
    answer = get(url, **query)
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["loc"] == ["query", name]


@pytest.mark.parametrize("interval", ["3t", "4v", "10$", "0.5v"])
@pytest.mark.parametrize("query", [{}, {"limit": 3}, {"limit": 5}, {"start": START, "limit": 4}])
def test_client_and_folder_answer_alike_over_many_pages(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, interval: str, query: dict[str, Any]
) -> None:
    monkeypatch.setattr(calls, "PAGE_ROWS", 2)
    with open_plant(tmp_path, Clock(START + 10**12)) as plant:
        submit(plant, symbol=["A"] * 8, ts_event=[START] * 5 + [START + 10**9] * 3,
               price=PRICES, size=SIZES)  # fmt: skip
    with Folder(tmp_path) as folder, Client(url) as client:
        wanted = folder.candles("A", interval, **query).arrow().to_pylist()
        assert client.candles("A", interval, **query).arrow().to_pylist() == wanted
        with pytest.raises(InvalidParameter, match="bars by"):
            client.candles("A", interval, fill="previous")


def test_the_stream_tells_them_from_the_past_on_and_live(url: str) -> None:
    with Client(url) as client:
        stream = client.stream("candles", "A", interval="10v", from_=START)
        found = [next(stream) for _ in range(3)]
        stream.close()
    assert [(bar["index"], bar["volume"]) for bar in found] == [(0, 12.0), (1, 20.0), (2, 5.0)]
    assert {bar["day"] for bar in found} == {"2024-05-08T00:00:00Z"}
