"""`tickplant import --covers`: files that lack nothing, into a folder and into a running plant."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from cli_kit import run
from plant_kit import open_plant
from stream_fakes import Served
from tickplant.candles.grid import Grid
from tickplant.candles.interval import parse_interval
from tickplant.compose import open_folder
from tickplant.gateway.app import create_app
from tickplant.model.times import parse_time

Capture = pytest.CaptureFixture[bytes]
HOURS = Grid(parse_interval("1h"))
ROWS = (
    "ABC,2023-11-09T09:30:00Z,1.5",
    "ABC,2023-11-09T12:30:00Z,1.6",
    "XYZ,2023-11-10T10:00:00Z,7",
    "BAD,2023-11-10T10:00:00Z,-7",
)
DAY = "2023-11-09T00:00:00Z..2023-11-10T00:00:00Z"


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    found = []
    for name, rows in (("abc", ROWS[:2]), ("xyz", ROWS[2:])):
        path = tmp_path / f"{name}.csv"
        path.write_text("\n".join(["symbol,ts_event,price", *rows]) + "\n")
        found.append(path)
    return found


@pytest.fixture(params=["--data", "--url"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    """Give the options of one way of import, and what shows the bars of a symbol on a day."""
    folder = tmp_path / "data"
    if request.param == "--data":
        yield ("--data", str(folder)), lambda *what: of_folder(folder, *what)
        return
    with open_plant(folder) as plant, Served(create_app(plant)) as served:
        yield ("--url", served.url), lambda *what: states(plant.history, *what)


def of_folder(folder: Path, *what: str) -> list[str]:
    with opened(folder) as history:
        return states(history, *what)


@contextmanager
def opened(folder: Path) -> Iterator[Any]:
    history = open_folder(folder).history
    yield history
    history.store.close()


def states(history: Any, symbol: str, day: str) -> list[str]:
    start = parse_time(f"{day}T00:00:00Z")
    query = {"start": start, "end": start + 24 * 3600 * 10**9, "fill": "null", "basis": "trade"}
    table = history.candles(history.registry.resolve(symbol), HOURS, **query).table
    found: list[str] = table["state"].to_pylist()
    return found


def test_without_it_the_bars_at_the_edges_are_partial(
    files: list[Path], target: Any, capfdbinary: Capture
) -> None:
    options, shown = target
    assert run(capfdbinary, "import", *files, *options).code == 0
    assert shown("ABC", "2023-11-09") == [*["gap"] * 9, "partial", "quiet", "quiet", "forming"]


@pytest.mark.parametrize("covers", ["days", DAY])
def test_a_day_that_is_covered_is_complete_or_quiet(
    files: list[Path], target: Any, capfdbinary: Capture, covers: str
) -> None:
    options, shown = target
    chosen = files if covers == "days" else files[:1]
    for _ in range(2):  # an import again changes nothing
        assert run(capfdbinary, "import", *chosen, *options, "--covers", covers).code == 0
        day = ["quiet"] * 24
        day[9] = day[12] = "complete"
        assert shown("ABC", "2023-11-09") == day
        if covers == "days":  # a file speaks for its own days and instruments alone
            day = ["quiet"] * 24
            day[10] = "complete"
            assert shown("XYZ", "2023-11-10") == day
            assert set(shown("XYZ", "2023-11-09")) == {"gap"}
            assert shown("ABC", "2023-11-10") == ["forming"]


@pytest.mark.parametrize(
    ("covers", "said"),
    [
        ("weeks", "--covers: weeks is not allowed; allowed is START..END"),
        ("2023-11-09..2023-11-10", "--covers: 2023-11-09 is not allowed"),
        ("2023-11-09T00:00:00..2023-11-10T00:00:00Z", "--covers: 2023-11-09T00:00:00 is not"),
        ("2023-11-10T00:00:00Z..2023-11-09T00:00:00Z", "allowed is after 2023-11-10T00:00:00Z"),
        ("2023-11-09T00:00:00Z..2223-11-09T00:00:00Z", "allowed is a time that is past, up to"),
        ("2023-11-09T00:00:00Z..2023-11-09T12:00:00Z", "abc.csv has one at 2023-11-09T12:30:00Z"),
    ],
)
def test_a_bad_span_is_refused(
    files: list[Path], tmp_path: Path, capfdbinary: Capture, covers: str, said: str
) -> None:
    folder = tmp_path / "data"
    ran = run(capfdbinary, "import", files[0], "--data", folder, "--covers", covers)
    assert ran.code == 2
    assert said in ran.err
