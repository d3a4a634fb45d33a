import csv
import gzip
import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cli_kit import BASE, SECOND, make_folder, run
from tickplant.model.times import format_time


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_folder(tmp_path_factory.mktemp("read") / "data")


def minute(number: int) -> str:
    return format_time(BASE + number * 60 * SECOND)


def test_candles_as_a_document(folder: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    ran = run(capfdbinary, "candles", "eurusd", "--data", folder, "--json")
    assert ran.code == 0
    body = ran.json()
    head = {name: value for name, value in body.items() if name != "candles"}
    assert head == {
        "symbol": "EURUSD", "venue": "ORIGIN", "interval": "1m", "basis": "trade",
        "timezone": "UTC", "day_start": "00:00",
    }  # fmt: skip
    bars = [(b["start"], b["open"], b["high"], b["low"], b["close"]) for b in body["candles"]]
    assert bars == [
        (minute(0), 1.5, 1.5, 1.25, 1.25),
        (minute(1), 1.625, 1.625, 1.625, 1.625),
        (minute(2), 2.0, 2.0, 2.0, 2.0),
    ]
    assert [b.get("state") for b in body["candles"]] == ["complete", "complete", "forming"]


def test_candles_take_the_parameters_of_the_route(
    folder: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    def starts(*argv: str) -> list[str]:
        ran = run(capfdbinary, "candles", "EURUSD", "--data", folder, "--json", *argv)
        return [bar["start"] for bar in ran.json()["candles"]]

    assert starts("--limit", "1") == [minute(2)]
    assert starts("--limit", "1", "--start", minute(0)) == [minute(0)]
    assert starts("--start", minute(1), "--end", minute(2)) == [minute(1)]
    assert starts("--interval", "2m") == [minute(0), minute(2)]
    assert starts("--basis", "ask") == [minute(0)]
    assert starts("--as-of", "1") == [minute(0)]
    assert starts("--start", minute(5)) == []


def test_candles_of_an_exchanges_sessions(
    folder: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    given = ("candles", "AAPL", "--data", folder, "--json", "--interval", "1d", "--calendar")
    body = run(capfdbinary, *given, "nasdaq", "--session", "extended").json()
    assert (body["calendar"], body["session"]) == ("XNYS", "extended")
    assert (body["timezone"], body["day_start"]) == ("America/New_York", "00:00")
    # BASE is at 17:00 in New York, after the close.
    assert [b["start"] for b in body["candles"]] == ["2023-11-14T09:00:00Z"]
    assert run(capfdbinary, *given, "XNYS").json()["candles"] == []
    refused = run(capfdbinary, *given, "XNYZ")
    assert (refused.code, "XNYS" in refused.err) == (2, True)


def test_candles_for_people(folder: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    lines = run(capfdbinary, "candles", "EURUSD", "--data", folder).out.splitlines()
    assert lines[0].split()[:6] == ["symbol", "venue", "interval", "basis", "start", "end"]
    assert lines[1].split()[:5] == ["EURUSD", "ORIGIN", "1m", "trade", minute(0)]
    assert len(lines) == 4


@pytest.mark.parametrize("form", ["csv", "json", "ndjson", "arrow", "parquet"])
def test_candles_in_a_file(
    form: str, folder: Path, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    out = tmp_path / f"bars.{form}"
    ran = run(capfdbinary, "candles", "EURUSD", "--data", folder, "--out", out)
    assert (ran.code, ran.out) == (0, "")
    assert [row["open"] for row in read_rows(out, form)] == [1.5, 1.625, 2.0]
    assert [path.name for path in tmp_path.iterdir()] == [out.name]


def read_rows(path: Path, form: str) -> list[dict[str, Any]]:
    """Read a file by other means than ours."""
    import json

    if form == "csv":
        rows: list[dict[str, Any]] = list(csv.DictReader(io.StringIO(path.read_text())))
        return [row | {k: float(row[k]) for k in ("open", "price") if k in row} for row in rows]
    if form == "json":
        return list(json.loads(path.read_text()))
    if form == "ndjson":
        return [json.loads(line) for line in path.read_text().splitlines()]
    if form == "arrow":
        return list(pa.ipc.open_stream(path.read_bytes()).read_all().to_pylist())
    return list(pq.read_table(path).to_pylist())


@pytest.mark.parametrize("form", ["csv", "ndjson", "arrow", "parquet"])
def test_export_trades_of_several_symbols(
    form: str,
    folder: Path,
    tmp_path: Path,
    capfdbinary: pytest.CaptureFixture[bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tickplant.library.CHUNK_ROWS", 2)
    out = tmp_path / "trades.out"
    ran = run(
        capfdbinary, "export", "trades", "*", "--data", folder, "--out", out, "--format", form,
        "--json",
    )  # fmt: skip
    assert ran.json() == {
        "rows": 5, "out": str(out), "format": form, "seconds": ran.json()["seconds"]
    }  # fmt: skip
    rows = [(row["symbol"], row["price"]) for row in read_rows(out, form)]
    # The correction is there, the trade that it corrects and the cancelled one are not.
    assert rows == [
        ("EURUSD", 1.5), ("EURUSD", 1.25), ("EURUSD", 1.625), ("EURUSD", 2.0), ("AAPL", 100.0)
    ]  # fmt: skip


def test_export_to_standard_output(folder: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    ran = run(capfdbinary, "export", "quotes", "EURUSD", "--data", folder)
    rows = list(csv.DictReader(io.StringIO(ran.out)))
    assert [(row["bid_price"], row["ask_price"]) for row in rows] == [("1", "2"), ("1.25", "")]


def test_export_quarantine_and_candles(
    folder: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    for form in ("ndjson", "json", "csv"):
        ran = run(capfdbinary, "export", "quarantine", "--data", folder, "--format", form)
        if form == "csv":
            (refused,) = csv.DictReader(io.StringIO(ran.out))
            refused["row"] = json.loads(refused["row"])
        else:
            (refused,) = ran.lines() if form == "ndjson" else ran.json()
        assert (refused["reason"], refused["feed"]) == ("price_not_positive", "push")
        assert (refused["row"]["symbol"], refused["row"]["price"]) == ("EURUSD", -1.0)
    ran = run(
        capfdbinary, "export", "candles", "AAPL", "EURUSD", "--interval", "1h", "--data", folder,
        "--format", "ndjson",
    )  # fmt: skip
    assert [(bar["symbol"], bar["count"]) for bar in ran.lines()] == [("AAPL", 1), ("EURUSD", 4)]


def test_export_of_candles_takes_days_and_other_tables_refuse_them(
    folder: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    days = ("--calendar", "XNYS", "--session", "extended", "--data", folder)
    ran = run(capfdbinary, "export", "candles", "AAPL", "--interval", "1d", *days)
    (bar,) = csv.DictReader(io.StringIO(ran.out))
    assert bar["start"] == "2023-11-14T09:00:00Z"
    refused = run(capfdbinary, "export", "trades", "AAPL", *days)
    assert (refused.code, "--calendar: XNYS is not allowed" in refused.err) == (2, True)


def test_a_failed_export_leaves_no_file(
    folder: Path, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    out = tmp_path / "x.csv"
    ran = run(capfdbinary, "export", "trades", "EURUSD", "NOPE", "--data", folder, "--out", out)
    assert ran.code == 2
    assert list(tmp_path.iterdir()) == []


def test_sql_in_every_form(
    folder: Path, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    text = "SELECT symbol, max(price) AS open FROM trades GROUP BY symbol ORDER BY symbol"
    plain = run(capfdbinary, "sql", text, "--data", folder)
    assert [line.split() for line in plain.out.splitlines()] == [
        ["symbol", "open"], ["AAPL", "100"], ["EURUSD", "2"]
    ]  # fmt: skip
    assert run(capfdbinary, "sql", text, "--data", folder, "--json").json() == [
        {"symbol": "AAPL", "open": 100.0}, {"symbol": "EURUSD", "open": 2.0}
    ]  # fmt: skip
    for form in ("csv", "json", "ndjson", "arrow", "parquet"):
        out = tmp_path / f"out.{form}"
        assert run(capfdbinary, "sql", text, "--data", folder, "--out", out).code == 0
        assert [row["open"] for row in read_rows(out, form)] == [100.0, 2.0]


def test_sql_without_rows(folder: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    text = "SELECT symbol FROM trades WHERE false"
    assert run(capfdbinary, "sql", text, "--data", folder).out == "symbol\n"
    assert run(capfdbinary, "sql", text, "--data", folder, "--json").json() == []
    assert run(capfdbinary, "sql", text, "--data", folder, "--format", "csv").out == "symbol\n"


def test_sql_explain_prints_the_plan(
    folder: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    ran = run(capfdbinary, "sql", "EXPLAIN SELECT price FROM trades", "--data", folder)
    assert "Parquet" in ran.out
    assert "explain_value" not in ran.out


def test_a_long_table_says_what_it_leaves_out(
    folder: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    ran = run(capfdbinary, "sql", "SELECT * FROM range(1200)", "--data", folder)
    assert len(ran.out.splitlines()) == 501
    assert "500 of 1,200 rows" in ran.err


def test_stored_text_cannot_move_the_cursor(
    folder: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    ran = run(capfdbinary, "sql", "SELECT chr(27) || '[2J' AS x", "--data", folder)
    assert "\x1b" not in ran.out


CSV = "symbol,time,px,qty\nabc,2024-01-02T03:04:05Z,1.5,10\nabc,2024-01-02T03:04:06Z,0,1\n"


def test_import_counts_and_adds_nothing_twice(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    file, data = tmp_path / "t.csv.gz", tmp_path / "data"
    file.write_bytes(gzip.compress(CSV.encode()))
    argv = ["import", file, "--data", data, "--table", "trades", "--venue", "x"]
    ran = run(capfdbinary, *argv, "--json")
    body = ran.json()
    assert ran.code == 0
    assert (body["rows"], body["accepted"], body["duplicates"], body["rejected"]) == (2, 1, 0, 1)
    assert body["rejected_by_reason"] == {"price_not_positive": 1}
    assert body["samples"][0]["index"] == 1
    again = run(capfdbinary, *argv, "--strict")
    assert again.code == 1
    assert "duplicates  1" in again.out
    assert "price_not_positive  1" in again.out
    assert "rows/s" in again.out
    rows = run(capfdbinary, "export", "trades", "X:ABC", "--data", data, "--format", "ndjson")
    assert [(row["price"], row["size"]) for row in rows.lines()] == [(1.5, 10.0)]


def test_import_maps_columns(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    file, data = tmp_path / "t.csv", tmp_path / "data"
    file.write_text("when,Last Px\n1704164645000,1.5\n")
    argv = [
        "import", file, "--data", data, "--symbol", "abc", "--column", "price=Last Px",
        "--column", "ts_event=when", "--time-unit", "ms",
    ]  # fmt: skip
    ran = run(capfdbinary, *argv, "--json")
    assert ran.json()["accepted"] == 1
    bars = run(capfdbinary, "candles", "ABC", "--data", data, "--json").json()["candles"]
    assert [bar["start"] for bar in bars] == ["2024-01-02T03:04:00Z"]
