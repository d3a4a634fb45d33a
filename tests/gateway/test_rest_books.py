"""`GET /v1/books/{symbol}`: levels, measures, formats, refusals; in Python and by command, too."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pyarrow as pa
import pyarrow.csv as pcsv
import pyarrow.parquet as pq
import pytest

import tickplant
from book_kit import ASK, BID, message, updates
from cli_kit import run
from plant_kit import NOW, WAIT_S, open_plant, submit
from stream_fakes import Served
from tickplant import Client, UnknownSymbol
from tickplant.feeds.book_desk import BookDesk
from tickplant.gateway.app import create_app
from tickplant.plant.feed_notes import Begun
from tickplant.plant.plant import Plant
from tickplant.plant.submission import Submission

T = NOW - 10**9
LADDER = [(BID, 100.0 - step, 8.0 - step) for step in range(7)]
LADDER += [(ASK, 100.5 + step, 1.0) for step in range(7)]


class Opened(NamedTuple):
    plant: Plant
    client: httpx.Client
    url: str
    folder: Path


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    folder = tmp_path_factory.mktemp("books")
    with open_plant(folder) as plant:
        desk = BookDesk("coinbase-exchange", "resubscribe")
        plant.tell(Begun("venue"))
        sent = [
            message("X", LADDER, ts_event=T, snapshot=True),
            message("X", [(BID, 100.25, 2.0)], ts_event=T + 1),
            message("BARE", [(BID, 100.0, 2.0)], ts_event=T, snapshot=True),
        ]
        for one in sent:
            rows = desk.take(updates(one), NOW).rows
            plant.submit(Submission("book", rows, feed="venue", venue="V")).result(WAIT_S)
        submit(plant, symbol=["NOBOOK"], price=[1.0], ts_event=[T])
        with (
            Served(create_app(plant)) as served,
            httpx.Client(base_url=served.url) as client,
        ):
            yield Opened(plant, client, served.url, folder)


def test_a_book_with_all_that_is_measured_of_it(opened: Opened) -> None:
    answer = opened.client.get("/v1/books/x?depth=2&bps=100").json()
    bid = 2 + 8 + 7 + 6 + 5
    assert answer == {
        "symbol": "X",
        "venue": "V",
        "ts_event": "2023-11-14T22:13:19.000000001Z",
        "ts_recv": "2023-11-14T22:13:20Z",
        "seq": 16,
        "state": "live",
        "mid": 100.375,
        "spread": 0.25,
        "spread_bps": pytest.approx(0.25 / 100.375 * 1e4),
        "imbalance": pytest.approx(bid / (bid + 5)),
        "signal": "BUY_PRESSURE",
        "depth_bps": {"bps": 100.0, "bid": 10.0, "ask": 1.0},
        "bids": [[100.25, 2.0], [100.0, 8.0]],
        "asks": [[100.5, 1.0], [101.5, 1.0]],
    }


def test_no_book_is_no_number(opened: Opened) -> None:
    names = ("mid", "spread", "spread_bps", "imbalance", "signal")
    bare = opened.client.get("/v1/books/BARE?bps=5").json()
    assert [bare[name] for name in names] == [None] * 5
    assert (bare["state"], bare["bids"], bare["asks"]) == ("live", [[100.0, 2.0]], [])
    assert bare["depth_bps"] == {"bps": 5.0, "bid": None, "ask": None}
    none = opened.client.get("/v1/books/NOBOOK").json()
    assert [none[name] for name in (*names, "ts_event", "seq")] == [None] * 7
    assert (none["state"], none["bids"], none["asks"]) == ("none", [], [])


def test_the_book_as_it_was_known(opened: Opened) -> None:
    answer = opened.client.get("/v1/books/X?depth=1&as_of=15").json()
    assert (answer["bids"], answer["seq"], answer["state"]) == ([[100.0, 8.0]], 15, "live")
    assert opened.client.get("/v1/books/X?as_of=14").json()["state"] == "none"  # half a snapshot
    later = opened.client.get("/v1/books/X?as_of=2023-11-14T22:13:20Z").json()
    assert later["seq"] == 16


def test_every_format_has_one_row_a_level(opened: Opened) -> None:
    rows = [
        {"side": "bid", "level": 1, "price": 100.25, "size": 2.0},
        {"side": "bid", "level": 2, "price": 100.0, "size": 8.0},
        {"side": "ask", "level": 1, "price": 100.5, "size": 1.0},
        {"side": "ask", "level": 2, "price": 101.5, "size": 1.0},
    ]

    def get(form: str) -> bytes:
        answer = opened.client.get(f"/v1/books/X?depth=2&format={form}")
        assert answer.status_code == 200
        return answer.content

    found = [
        pcsv.read_csv(io.BytesIO(get("csv"))),
        pa.ipc.open_stream(get("arrow")).read_all(),
        pq.read_table(io.BytesIO(get("parquet"))),
    ]
    for table in found:
        assert table.select(list(rows[0])).to_pylist() == rows
        assert set(table["state"].to_pylist()) == {"live"}
    empty = opened.client.get("/v1/books/NOBOOK?format=arrow").content
    assert pa.ipc.open_stream(empty).read_all().num_rows == 0


@pytest.mark.parametrize(
    ("asked", "status", "said"),
    [
        ("/v1/books/NEVER", 404, "not known"),
        ("/v1/books/X?depth=0", 400, "whole number from 1"),
        ("/v1/books/X?depth=10001", 400, "whole number from 1"),
        ("/v1/books/X?depth=two", 400, "whole number from 1"),
        ("/v1/books/X?bps=0", 400, "above 0"),
        ("/v1/books/X?bps=nan", 400, "above 0"),
        ("/v1/books/X?bps=1e9", 400, "above 0"),
        ("/v1/books/X?as_of=never", 400, "RFC 3339"),
        ("/v1/books/X?levels=3", 400, "depth"),
    ],
)
def test_what_is_refused(opened: Opened, asked: str, status: int, said: str) -> None:
    answer = opened.client.get(asked)
    assert answer.status_code == status
    assert said in answer.json()["errors"][0]["msg"]


def test_python_and_the_command_show_the_same(
    opened: Opened, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    asked: dict[str, Any] = {"depth": 3, "bps": 50.0, "as_of": 16}
    with Client(opened.url) as client, tickplant.open(opened.folder) as folder:
        assert client.book("X", **asked) == folder.book("X", **asked)
        with pytest.raises(UnknownSymbol):
            client.book("NEVER")
        options = ["--depth", "3", "--bps", "50", "--as-of", "16"]
        ran = run(capfdbinary, "book", "X", *options, "--url", opened.url, "--json")
        assert json.loads(ran.out) == client.book("X", **asked)
        shown = run(capfdbinary, "book", "X", *options, "--url", opened.url).out
        assert "mid 100.375  spread 0.25" in shown
        assert shown.index("102.5") < shown.index("100.5") < shown.index("100.25")


def test_metrics_tell_the_books_by_state(opened: Opened) -> None:
    opened.plant.metrics.book_broken("venue", "gap")
    text = opened.client.get("/metrics").text
    assert 'tickplant_books{state="live"} 2.0' in text
    assert "tickplant_book_levels 16.0" in text
    assert 'tickplant_book_rebuilds_total{feed="venue",reason="gap"} 1.0' in text
