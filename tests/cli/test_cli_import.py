"""`tickplant import`: what it says of rows that were refused, and where they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli_kit import run
from plant_kit import open_plant
from stream_fakes import Served
from tickplant.gateway.app import create_app

T = "2023-11-14T22:00:00Z"
LINES = ("symbol,ts_event,price", f"ABC,{T},1.5", f"ABC,{T},x", f"ABC,{T},-1", f"ABC,{T},y")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "ticks.csv"
    path.write_text("\n".join(LINES) + "\n")
    return path


def test_rows_that_were_not_sent_are_named(
    file: Path, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    with open_plant(tmp_path / "data") as plant, Served(create_app(plant)) as served:
        ran = run(capfdbinary, "import", file, "--url", served.url)
        assert ran.code == 0
        assert "rejected    3\n" in ran.out
        assert f"in the quarantine: tickplant export quarantine --url {served.url}\n" in ran.out
        head, _, tail = ran.out.partition("  2 of them were not sent, because they cannot be read")
        assert head
        named = [line.split(": ")[:2] for line in tail.splitlines()[1:]]
        assert named == [["    row 1", "price_invalid"], ["    row 3", "price_invalid"]]
        # What the summary says is where it says it is: of three one is in the quarantine.
        stored = run(
            capfdbinary, "export", "quarantine", "--url", served.url, "--format", "ndjson"
        ).lines()
        assert [row["reason"] for row in stored] == ["price_not_positive"]

        body = run(capfdbinary, "import", file, "--url", served.url, "--json", "--strict")
        assert body.code == 1
        said = body.json()
        assert (said["rejected"], said["not_sent"]) == (3, 2)
        assert [one["index"] for one in said["first_not_sent"]] == [1, 3]


def test_an_import_into_a_folder_keeps_every_refused_row(
    file: Path, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    folder = tmp_path / "data"
    ran = run(capfdbinary, "import", file, "--data", folder)
    assert ran.code == 0
    assert "not sent" not in ran.out
    assert ran.out.endswith("tickplant export quarantine\n")
    form = ("--format", "ndjson")
    stored = run(capfdbinary, "export", "quarantine", "--data", folder, *form).lines()
    assert len(stored) == 3
    file.write_text("\n".join(LINES[:2]) + "\n")
    said = run(capfdbinary, "import", file, "--data", folder, "--json").json()
    assert (said["rejected"], said["not_sent"], said["first_not_sent"]) == (0, 0, [])
