"""What history says of the past stays what it said."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from plant_kit import NOW, amend, open_plant, submit
from tickplant.candles.grid import Grid
from tickplant.candles.interval import parse_interval
from tickplant.model.errors import InvalidParameter
from tickplant.plant import history
from tickplant.store.contract import AsOf

SECOND = 10**9
MINUTE = 60 * SECOND
GRID = Grid(parse_interval("1m"))


@pytest.mark.parametrize("archive", [False, True])
def test_the_default_basis_is_that_of_what_was_known(tmp_path: Path, archive: bool) -> None:
    with open_plant(tmp_path) as plant:
        quoted = submit(plant, "quotes", symbol=["A"], ts_event=[NOW - SECOND], bid_price=[1.0],
                        ask_price=[2.0]).seq_last  # fmt: skip
        a = plant.registry.resolve("A")
        submit(plant, symbol=["A"], ts_event=[NOW - 90 * SECOND], price=[5.0])
        if archive:
            plant.store.checkpoint(plant.catalog.encode())
        then = plant.history.candles(a, GRID, as_of=AsOf(seq_max=quoted))
        now = plant.history.candles(a, GRID)
        assert (then.basis, then.table["close"].to_pylist()) == ("mid", [1.5])
        assert (now.basis, now.table["close"].to_pylist()) == ("trade", [5.0])


def test_more_filled_bars_than_are_made_are_refused_and_not_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "FILLED_MAX", 5)
    with open_plant(tmp_path) as plant:
        first = NOW // MINUTE * MINUTE - 5 * MINUTE
        submit(plant, symbol=["A", "A"], ts_event=[first, NOW], price=[1.0, 2.0])
        a = plant.registry.resolve("A")
        for start in (None, first):
            with pytest.raises(InvalidParameter, match=r"limit: .*at most 5 bars are filled"):
                plant.history.candles(a, GRID, start=start, fill="null")
            some = plant.history.candles(a, GRID, start=start, fill="null", limit=5)
            assert some.table.num_rows == 5
        whole = plant.history.candles(a, GRID, start=first + MINUTE, fill="null")
        assert whole.table.num_rows == 5


def test_a_read_that_an_amendment_overtakes_is_of_the_time_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_plant(tmp_path) as plant:
        submit(plant, symbol=["A"], price=[1.0])
        scan, scans = plant.store.scan, []

        def overtaken(table: str, *args: Any, **query: Any) -> Any:
            rows = scan(table, *args, **query)
            if table == "trades" and "price" in (query.get("columns") or ()):
                scans.append(rows.num_rows)
                if len(scans) == 1:
                    amend(plant, "A", 1, {"price": 5.0})
            return rows

        monkeypatch.setattr(plant.store, "scan", overtaken)
        grid = Grid(parse_interval("2m"))
        bar = plant.history.candles(plant.registry.resolve("A"), grid).table.to_pylist()[0]
        assert (bar["close"], bar["revision"]) == (1.0, 1)
        again = plant.history.candles(plant.registry.resolve("A"), grid).table.to_pylist()[0]
        assert (again["close"], again["revision"]) == (5.0, 2)


@pytest.mark.parametrize(("table", "basis"), [("quotes", "trade"), ("trades", "mid")])
@pytest.mark.parametrize("fill", ["previous", "null"])
def test_what_was_never_traded_or_quoted_has_bars_that_say_so(
    tmp_path: Path, table: str, basis: str, fill: str
) -> None:
    prices = {"price": [1.0] * 2} if table == "trades" else {"bid_price": [1.0] * 2}
    first = NOW // MINUTE * MINUTE - 60 * MINUTE
    with open_plant(tmp_path) as plant:
        submit(plant, table, symbol=["Q"] * 2, ts_event=[first, first + 2 * MINUTE], **prices)
        find = partial(plant.history.candles, plant.registry.resolve("Q"), GRID, basis=basis)
        filled = find(start=first - MINUTE, fill=fill).table
        assert filled["state"].to_pylist() == ["gap", "quiet", "quiet", "forming"]
        assert filled["count"].to_pylist() == [0] * 4
        assert filled["open"].null_count == filled["revision"].null_count == 4
        assert find(fill=fill).table.num_rows == find(start=first).table.num_rows == 0
        assert filled.schema == find(fill=fill).table.schema
