"""`tickplant.open`: the parameters, the forms of a result, and what is refused."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars
import pytest

import tickplant
from cli_kit import BASE, SECOND, make_folder
from plant_kit import open_plant, submit
from tickplant import Folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    return tickplant.open(make_folder(tmp_path_factory.mktemp("library") / "data"))


def test_importing_costs_nothing() -> None:
    text = "import tickplant, sys; print({'pyarrow', 'numpy', 'duckdb'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_every_name_is_there() -> None:
    for name in tickplant.__all__:
        assert getattr(tickplant, name) is not None
    assert set(tickplant.__all__) == set(dir(tickplant))
    with pytest.raises(AttributeError, match="nothing_such"):
        tickplant.nothing_such  # noqa: B018


def prices(rows: Any) -> list[float]:
    return [row["price"] for row in rows]


def test_trades_with_every_parameter(folder: Folder) -> None:
    assert prices(folder.trades("eurusd")) == [1.5, 1.25, 1.625, 2.0]
    assert prices(folder.trades("ORIGIN:EURUSD", order="desc", limit=2)) == [2.0, 1.625]
    assert prices(folder.trades("EURUSD", start=BASE + 30 * SECOND, end=BASE + 61 * SECOND)) == [
        1.25
    ]
    when = datetime.fromtimestamp((BASE + 61 * SECOND) / 1e9, UTC)
    assert prices(folder.trades("EURUSD", start=when)) == [1.625, 2.0]
    assert prices(folder.trades("EURUSD", as_of=6)) == [1.5, 1.25, 1.75, 2.0]


def test_the_forms_of_a_result(folder: Folder) -> None:
    rows = folder.trades("EURUSD")
    assert len(rows) == 4
    assert rows.arrow().num_rows == 4
    frame = rows.pandas()
    assert list(frame["price"]) == [1.5, 1.25, 1.625, 2.0]
    assert str(frame["ts_event"].dtype) == "datetime64[ns, UTC]"
    assert rows.polars()["price"].to_list() == [1.5, 1.25, 1.625, 2.0]
    assert rows.polars().schema["ts_event"] == polars.Datetime("ns", "UTC")
    first = next(iter(rows))
    assert first["ts_event"] == "2023-11-14T22:00:00Z"
    assert first["flags"] == ["synthetic"]
    assert first["size"] == 10.0
    assert "4" in repr(rows)


@pytest.mark.parametrize("name", ["pandas", "polars"])
def test_a_library_that_is_missing_is_named(
    name: str, folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, name, None)  # an import of it raises now
    with pytest.raises(tickplant.UserError) as refused:
        getattr(folder.trades("EURUSD"), name)()
    assert str(refused.value) == (
        f"{name} is not installed; `make setup` or `pip install {name}` installs it"
    )


def test_quotes_candles_latest(folder: Folder) -> None:
    assert [row["ask_price"] for row in folder.quotes("EURUSD")] == [2.0, None]
    bars = folder.candles("EURUSD", interval="2m", basis="bid").arrow()
    assert bars["open"].to_pylist() == [1.0]
    assert folder.candles("EURUSD", fill="null", interval="30s").arrow()["open"].to_pylist() == [
        1.5, 1.25, 1.625, None, 2.0
    ]  # fmt: skip
    latest = folder.latest("EURUSD")
    assert latest["trade"]["price"] == 2.0
    assert latest["quote"]["bid_price"] == 1.25
    assert latest["candle"]["state"] == "forming"
    assert folder.latest("AAPL")["quote"] is None


def test_instruments_and_quarantine(folder: Folder) -> None:
    assert [row["symbol"] for row in folder.instruments()] == ["EURUSD", "AAPL"]
    assert [row["symbol"] for row in folder.instruments(kind="fx")] == ["EURUSD"]
    assert [row["symbol"] for row in folder.instruments(q="aap", venue="origin")] == ["AAPL"]
    (refused,) = folder.quarantine(reason="price_not_positive", table="trades")
    assert refused["feed"] == "push"
    assert len(folder.quarantine(reason="other")) == 0


@pytest.mark.parametrize(
    ("method", "query", "named"),
    [
        ("trades", {"order": "up"}, "order: up .* asc, desc"),
        ("trades", {"limit": 0}, "limit: 0 "),
        ("trades", {"start": "2014-01-01"}, "start: 2014-01-01 .* zone"),
        ("trades", {"start": 5, "end": 4}, "end: 4 .* not before start"),
        ("quotes", {"as_of": "now"}, "as_of: now "),
        ("candles", {"interval": "1x"}, "interval: 1x "),
        ("candles", {"basis": "last"}, "basis: last "),
        ("candles", {"fill": "zero"}, "fill: zero .* previous"),
        ("candles", {"timezone": "X/Y"}, "timezone: X/Y "),
        ("candles", {"day_start": "24:61"}, "day_start: 24:61 "),
    ],
)
def test_bad_parameters_are_named(
    method: str, query: dict[str, Any], named: str, folder: Folder
) -> None:
    with pytest.raises(tickplant.InvalidParameter, match=named):
        getattr(folder, method)("EURUSD", **query)


def test_unknown_things(folder: Folder, tmp_path: Path) -> None:
    with pytest.raises(tickplant.UnknownSymbol, match="ORIGIN:EURUSD"):
        folder.trades("EURUSDT")
    with pytest.raises(tickplant.NotFound, match="holds no data"):
        tickplant.open(tmp_path)
    with pytest.raises(tickplant.InvalidParameter, match="trades, quotes"):
        list(folder.row_chunks("books", "EURUSD"))


def test_chunks_are_the_whole(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tickplant.library.CHUNK_ROWS", 3)
    parts = list(folder.row_chunks("trades", "EURUSD"))
    assert [part.num_rows for part in parts] == [3, 1]
    joined = [price for part in parts for price in part["price"].to_pylist()]
    assert joined == [1.5, 1.25, 1.625, 2.0]


def test_a_folder_beside_a_running_plant_changes_nothing(tmp_path: Path) -> None:
    with open_plant(tmp_path) as plant:
        submit(plant, symbol=["ABC"], price=[1.0], ts_event=[BASE])
        before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
        with tickplant.open(tmp_path) as folder:
            assert prices(folder.trades("ABC")) == [1.0]
            assert folder.seq_last == 1
        assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
        submit(plant, symbol=["ABC"], price=[2.0], ts_event=[BASE + 1])
        assert prices(tickplant.open(tmp_path).trades("ABC")) == [1.0, 2.0]
