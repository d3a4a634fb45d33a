"""`tickplant.open` and the clients: the same methods, the same parameters, the same answers."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from tools import sync_client

from cli_kit import BASE, SECOND, fill
from plant_kit import WAIT_S, Clock, open_plant, submit
from stream_fakes import Served
from tickplant import AsyncClient, Client, Folder, InvalidParameter, UnknownFeed, UnknownSymbol
from tickplant.client import calls
from tickplant.formats.result import Rows
from tickplant.gateway.app import create_app
from tickplant.plant import history
from tickplant.plant.feed_notes import Alive, Begun, Hole, Lost, Repair
from tickplant.plant.plant import Plant

SHARED = (
    "instruments",
    "trades",
    "quotes",
    "stats",
    "last_stats",
    "candles",
    "indicators",
    "latest",
    "book",
    "quarantine",
    "gaps",
)


class Both(NamedTuple):
    folder: Folder
    client: Client


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    path: Path = tmp_path_factory.mktemp("parity")
    clock = Clock(BASE + 600 * SECOND)
    with open_plant(path, clock) as plant:
        fill(plant)
        submit(
            plant,
            "stats",
            symbol=["EURUSD", "EURUSD", "EURUSD", "AAPL"],
            venue=[None, None, None, "NASDAQ"],
            name=["open_interest", "volume", "open_interest", "volume"],
            value=[5.0, 70.0, 6.0, 80.0],
            ts_event=[BASE, BASE, BASE + SECOND, BASE],
        )
        submit(plant, symbol=["AAPL"], venue=["NASDAQ"], price=[102.0], ts_event=[BASE])
        miss(plant)
        with (
            Served(create_app(plant)) as served,
            Client(served.url) as client,
            Folder(path, clock=clock) as folder,
        ):
            yield Both(folder, client)


def miss(plant: Plant) -> None:
    """Let a feed miss something, twice of one instrument, and be lost for good."""
    names = [("EURUSD", "ORIGIN"), ("AAPL", "NASDAQ")]
    plant.tell(Begun("venue", BASE, names)).result(WAIT_S)
    plant.tell(Alive("venue", BASE + 120 * SECOND)).result(WAIT_S)
    for start, symbols in ((30, None), (60, names[1:]), (90, names[1:])):
        at = BASE + start * SECOND
        hole = Hole("venue", at, at + SECOND // 4, "sequence", symbols, f"from {start} s on")
        last = plant.tell(hole).result(WAIT_S)
    plant.tell(Repair("venue", last or 0, "repaired", events=3)).result(WAIT_S)
    plant.tell(Lost("venue", "disconnect")).result(WAIT_S)


@pytest.mark.parametrize("name", SHARED)
def test_parameters_have_the_same_names_order_and_defaults(name: str) -> None:
    folder, client, aio = (
        inspect.signature(getattr(kind, name)) for kind in (Folder, Client, AsyncClient)
    )
    assert folder == client == aio


def test_nothing_that_reads_rows_is_left_out() -> None:
    reading = {
        name
        for name, method in vars(Client).items()
        if inspect.isfunction(method) and inspect.signature(method).return_annotation == "Rows"
    }
    assert reading | {"latest", "book"} == set(SHARED)


MINUTE = 60 * SECOND
ASKED: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    ("instruments", (), {}),
    ("instruments", (), {"limit": 2}),
    ("instruments", (), {"q": "nasd"}),  # a part of a venue
    ("instruments", (), {"q": "n:eur"}),  # of both
    ("instruments", (), {"kind": "FX"}),
    ("instruments", (), {"venue": "origin", "q": "a"}),
    ("instruments", (), {"q": "nothing such"}),
    ("trades", ("eurusd",), {}),
    ("trades", ("NASDAQ:AAPL",), {}),
    ("trades", ("EURUSD",), {"order": "desc", "limit": 2}),
    ("trades", ("EURUSD",), {"as_of": 6}),
    ("trades", ("EURUSD",), {"start": BASE + 30 * SECOND, "end": BASE + 61 * SECOND}),
    ("trades", ("EURUSD",), {"start": datetime.fromtimestamp(BASE / 1e9 + 61, UTC)}),
    ("quotes", ("EURUSD",), {}),
    ("stats", ("EURUSD",), {}),
    ("stats", ("nasdaq:aapl",), {"name": "open_interest"}),
    ("stats", ("EURUSD",), {"name": ["open_interest", "volume"], "order": "desc", "limit": 2}),
    ("stats", ("EURUSD",), {"name": "open_interest", "start": BASE + 1}),
    ("last_stats", ("EURUSD",), {}),
    ("last_stats", (["NASDAQ:AAPL", "EURUSD"],), {}),
    ("last_stats", ("EURUSD, NASDAQ:AAPL",), {"name": "volume"}),
    ("last_stats", ("EURUSD",), {"as_of": 3}),
    ("candles", ("EURUSD",), {}),
    ("candles", ("EURUSD", "30s"), {"fill": "previous"}),
    ("candles", ("EURUSD", "30s"), {"fill": "null", "start": BASE, "limit": 3}),
    ("candles", ("EURUSD", "1m"), {"limit": 2}),
    ("candles", ("EURUSD", "1m"), {"limit": 1, "end": BASE + 2 * MINUTE}),
    ("candles", ("EURUSD", "2m"), {"basis": "bid"}),
    ("candles", ("EURUSD", "1m"), {"as_of": 6}),
    ("candles", ("EURUSD", "1d"), {"timezone": "America/New_York", "day_start": "17:00"}),
    ("candles", ("EURUSD", "1d"), {"calendar": "cme"}),
    ("candles", ("EURUSD", "5m"), {"calendar": "CMES", "fill": "previous", "limit": 3}),
    ("candles", ("NASDAQ:AAPL", "1h"), {"calendar": "nasdaq", "session": "extended"}),
    ("candles", ("NASDAQ:AAPL", "1d"), {"calendar": "XNYS", "session": "all"}),
    ("indicators", ("EURUSD", "sma:2"), {}),
    ("indicators", ("EURUSD", ["sma:2", "sma:3:hl2", "vwap"], "30s"), {"fill": "previous"}),
    ("indicators", ("EURUSD", "atr:2,vwap:2", "30s"), {"fill": "null", "start": BASE, "limit": 3}),
    ("indicators", ("EURUSD", "bbands"), {"period": 2, "deviations": 2.5, "limit": 2}),
    ("indicators", ("EURUSD", "macd"), {"fast": 2, "slow": 3, "signal": 2, "basis": "bid"}),
    ("indicators", ("EURUSD", "ema:2", "1d"), {"timezone": "America/New_York", "as_of": 6}),
    ("indicators", ("EURUSD", "sma:2"), {"over": "events"}),
    ("indicators", ("EURUSD", "sma:2"), {"over": "events", "limit": 3}),
    ("indicators", ("EURUSD", "rsi:2"), {"over": "events", "basis": "mid", "start": BASE}),
    ("latest", ("EURUSD",), {}),
    ("latest", (["EURUSD", "NASDAQ:AAPL", "eurusd "],), {}),
    ("latest", (["*"],), {}),
    ("book", ("EURUSD",), {}),
    ("book", ("EURUSD",), {"depth": 1, "bps": 20, "as_of": 8}),
    ("quarantine", (), {}),
    ("quarantine", (), {"reason": "price_not_positive", "table": "trades", "limit": 1}),
    ("quarantine", (), {"as_of": 6}),
    ("gaps", (), {}),
    ("gaps", (), {"feed": "push"}),
    ("gaps", (), {"feed": "venue", "status": "repaired"}),
    ("gaps", (), {"symbol": "nasdaq:aapl", "limit": 1}),
    ("gaps", (), {"symbol": "EURUSD", "start": BASE + 90 * SECOND}),
    ("gaps", (), {"end": datetime.fromtimestamp(BASE / 1e9 + 61, UTC)}),
    ("gaps", (), {"as_of": 20}),
]


@pytest.mark.parametrize(("name", "args", "query"), ASKED, ids=lambda value: str(value)[:50])
def test_answers_are_the_same(
    name: str, args: tuple[Any, ...], query: dict[str, Any], both: Both
) -> None:
    ours, theirs = (getattr(one, name)(*args, **query) for one in both)
    if not isinstance(ours, Rows):
        assert ours == theirs
        return
    assert ours.arrow().schema.equals(theirs.arrow().schema, check_metadata=True)
    assert ours.arrow().equals(theirs.arrow())
    assert list(ours) == list(theirs)
    if len(ours):
        assert ours.about == theirs.about


REFUSED: list[tuple[type[Exception], str, tuple[Any, ...], dict[str, Any], str]] = [
    (InvalidParameter, "instruments", (), {"limit": 0}, "limit"),
    (InvalidParameter, "trades", ("EURUSD",), {"limit": 0}, "limit"),
    (InvalidParameter, "trades", ("EURUSD",), {"order": "up"}, "order"),
    (InvalidParameter, "stats", ("EURUSD",), {"name": "Open Interest"}, "name"),
    (InvalidParameter, "last_stats", ([],), {}, "symbols"),
    (UnknownSymbol, "last_stats", ("NOPE",), {}, "NOPE"),
    (InvalidParameter, "candles", ("EURUSD", "7q"), {}, "interval"),
    (InvalidParameter, "candles", ("EURUSD",), {"limit": 0}, "limit"),
    (InvalidParameter, "candles", ("EURUSD",), {"calendar": "XNYZ"}, "XNYS"),
    (InvalidParameter, "candles", ("EURUSD",), {"session": "all"}, "session"),
    (InvalidParameter, "candles", ("EURUSD",), {"calendar": "XHKG", "session": "extended"}, "XNYS"),
    (InvalidParameter, "candles", ("EURUSD",), {"calendar": "XNYS", "timezone": "UTC"}, "timezone"),
    (InvalidParameter, "indicators", ("EURUSD", "sam"), {}, "name: sam"),
    (InvalidParameter, "indicators", ("EURUSD", "sma"), {"fast": 3}, "fast: 3"),
    (InvalidParameter, "indicators", ("EURUSD", "sma"), {"limit": 0}, "limit"),
    (InvalidParameter, "indicators", ("EURUSD", "sma"), {"over": "ticks"}, "over: ticks"),
    (InvalidParameter, "indicators", ("EURUSD", "atr"), {"over": "events"}, "name: atr"),
    (
        InvalidParameter,
        "indicators",
        ("EURUSD", "sma", "5m"),
        {"over": "events"},
        "interval: 5m is not allowed; allowed is only with over=bars",
    ),
    (
        InvalidParameter,
        "indicators",
        ("EURUSD", "sma"),
        {"over": "events", "limit": 10_001},
        "limit: 10001",
    ),
    (InvalidParameter, "quarantine", (), {"table": "bars"}, "table"),
    (InvalidParameter, "quarantine", (), {"as_of": "soon"}, "as_of"),
    (InvalidParameter, "latest", ([],), {}, "symbols"),
    (InvalidParameter, "gaps", (), {"status": "closed"}, "unrepairable"),
    (InvalidParameter, "gaps", (), {"limit": 0}, "limit"),
    (InvalidParameter, "gaps", (), {"start": BASE, "end": BASE - 1}, "end"),
    (UnknownFeed, "gaps", (), {"feed": "pusch"}, "known are push, venue"),
    (UnknownSymbol, "gaps", (), {"symbol": "NOPE"}, "NOPE"),
    (UnknownSymbol, "latest", (["EURUSD", "NOPE"],), {}, "NOPE"),
    (UnknownSymbol, "latest", ("*",), {}, "symbol"),
]


@pytest.mark.parametrize(("kind", "name", "args", "query", "named"), REFUSED)
def test_refusals_are_the_same(
    kind: type[Exception],
    name: str,
    args: tuple[Any, ...],
    query: dict[str, Any],
    named: str,
    both: Both,
) -> None:
    for one in both:
        with pytest.raises(kind, match=named):
            getattr(one, name)(*args, **query)


def test_the_newest_bars_beyond_a_page_are_all_there(
    both: Both, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tickplant.client.calls.PAGE_ROWS", 2)
    for limit in (1, 2, 3, 4, 5, 9):
        ours, theirs = (one.candles("EURUSD", "30s", limit=limit) for one in both)
        assert ours.arrow().equals(theirs.arrow())


def test_bars_are_filled_from_the_first_event_on(
    both: Both, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert calls.FILLED_MAX == history.FILLED_MAX
    for end in (None, BASE + 2 * MINUTE):
        ours, theirs = (one.candles("EURUSD", "30s", fill="null", end=end) for one in both)
        assert len(ours) >= 4
        assert ours.arrow().equals(theirs.arrow())
    for module in (calls, history):
        monkeypatch.setattr(module, "FILLED_MAX", 3)
    for one in both:
        with pytest.raises(InvalidParameter, match="at most 3 bars are filled"):
            one.candles("EURUSD", "30s", fill="null")


def test_a_refused_row_is_an_object_where_rows_are_iterated(both: Both) -> None:
    for one in both:
        rows = one.quarantine()
        (row,) = rows
        assert row["row"] == {"symbol": "EURUSD", "price": -1.0, "ts_event": BASE} | row["row"]
        assert isinstance(rows.arrow()["row"][0].as_py(), str)


def test_the_plain_client_is_the_one_for_event_loops_without_its_waiting() -> None:
    assert sync_client.WRITTEN.read_text("utf-8") == sync_client.made(), "run `make docs`"
