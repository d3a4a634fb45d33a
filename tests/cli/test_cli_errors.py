import json
from pathlib import Path

import pytest

from cli_kit import make_folder, run
from tickplant.cli import main


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_folder(tmp_path_factory.mktemp("errors") / "data")


# What is given, and what the message must name: the parameter, the value, what is allowed.
BAD = [
    (["candles"], ["SYMBOL"]),
    (["candles", "NOPE"], ["symbol", "NOPE", "not known"]),
    (["candles", "EURUSDX"], ["EURUSDX", "nearest", "ORIGIN:EURUSD"]),
    (["candles", "EURUSD", "--interval", "7q"], ["interval", "7q", "1m"]),
    (["candles", "EURUSD", "--basis", "last"], ["basis", "last", "mid"]),
    (["candles", "EURUSD", "--fill", "zero"], ["fill", "zero", "previous"]),
    (["candles", "EURUSD", "--limit", "0"], ["--limit", "0", "from 1"]),
    (["candles", "EURUSD", "--limit", "x"], ["--limit", "x", "whole number"]),
    (["candles", "EURUSD", "--timezone", "Mars/X"], ["timezone", "Mars/X", "IANA"]),
    (["candles", "EURUSD", "--day-start", "25:00"], ["day_start", "25:00"]),
    (["candles", "EURUSD", "--start", "2014-05-07"], ["start", "2014-05-07", "zone"]),
    (["candles", "EURUSD", "--as-of", "soon"], ["as_of", "soon", "sequence number"]),
    (["candles", "EURUSD", "--format", "xml"], ["--format", "xml", "parquet"]),
    (["candles", "EURUSD", "--out", "bars.xyz"], ["--out", "bars.xyz", ".parquet"]),
    (["candles", "EURUSD", "--url", "http://127.0.0.1:1"], ["--url", "not both"]),
    (["candles", "EURUSD", "--intervall", "1m"], ["--intervall", "nearest", "--interval"]),
    (["candles", "EURUSD", "--xyz"], ["--xyz", "nearest"]),
    (["export", "ticks", "EURUSD"], ["TABLE", "ticks", "quarantine"]),
    (["export", "trades"], ["SYMBOL", "at least one"]),
    (["export", "quarantine", "EURUSD"], ["SYMBOL", "EURUSD", "no symbol"]),
    (["export", "trades", "EURUSD", "--end", "x"], ["end", "x", "RFC 3339"]),
    (["export", "trades", "EURUSD", "--format", "table"], ["--format", "table", "csv"]),
    (["import", "gone.csv"], ["gone.csv"]),
    (["import", "gone.csv", "--column", "price"], ["--column", "price", "FIELD=COLUMN"]),
    (["import", "gone.csv", "--time-unit", "h"], ["time-unit", "h", "ms"]),
    (["import", "gone.csv", "--table", "bars"], ["gone.csv"]),
    (["replay", "--speed", "0"], ["--speed", "0", "max"]),
    (["replay", "--speed", "fast"], ["--speed", "fast", "max"]),
    (["replay", "--start", "now"], ["--start", "now", "RFC 3339"]),
    (["replay", "--symbol", "NOPE"], ["symbol", "NOPE"]),
    (["serve", "--feed", "binance"], ["--feed", "binance", "synthetic", "VENUE:SYMBOL"]),
    (["serve", "--feed", "none", "--feed", "synthetic"], ["--feed", "none by itself"]),
    (["serve", "--feed", "synthetic:rate"], ["--feed", "synthetic:rate", "key=value"]),
    (["serve", "--feed", "synthetic:rat=1"], ["synthetic.rat", "synthetic.rate"]),
    (["serve", "--feed", "synthetic:rate=-1"], ["synthetic.rate", "-1"]),
    (["serve", "--port", "70000"], ["server.port", "70000", "65535"]),
    (["serve", "--host", "no such host"], ["--host", "no such host", "address"]),
    (["serve", "--log-format", "xml"], ["--log-format", "xml", "json"]),
    (["serve", "--set", "log.segmnt_mb=3"], ["log.segmnt_mb", "log.segment_mb"]),
    (["serve", "--set", "log"], ["--set", "log", "key=value"]),
    (["serve", "--config", "gone.toml"], ["config", "gone.toml"]),
    (["tail", "ticks"], ["CHANNEL", "ticks", "quotes"]),
    (["tail", "trades", "--interval", "1m"], ["--interval", "candles"]),
    (["tail", "--count", "0"], ["--count", "0"]),
    (["sql", "DROP TABLE trades"], ["DROP", "read-only"]),
    (["sql", "SELEC 1"], ["sql", "SELEC"]),
    (["sql", ""], ["sql", "empty"]),
    (["sql", "SELECT 1", "--url", "http://x"], ["--url", "--data", "no route", "export"]),
    (["tail", "--from", "yesterday"], ["--from", "yesterday", "RFC 3339"]),
    (["candles", ""], ["symbol"]),
    (["sql"], ["QUERY"]),
    (["candel"], ["candel", "candles"]),
]


@pytest.mark.parametrize(("argv", "named"), BAD, ids=lambda v: " ".join(v)[:40])
def test_bad_input_is_the_users_fault_and_is_named(
    argv: list[str],
    named: list[str],
    folder: Path,
    capfdbinary: pytest.CaptureFixture[bytes],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    where = ["--data", str(folder)] if argv[0] != "candel" else []
    plain = run(capfdbinary, *argv, *where)
    assert plain.code == 2
    assert plain.out == ""
    assert plain.err.startswith("error: ")
    assert "Traceback" not in plain.err
    for text in named:
        assert text in plain.err, plain.err
    if argv[0] != "export":
        machine = run(capfdbinary, *argv, *where, "--json")
        assert machine.code == 2
        problem = machine.problem()
        assert problem["type"].startswith("urn:tickplant:problem:")
        assert problem["detail"]
        assert all(set(one) == {"loc", "msg", "value"} for one in problem["errors"])


def test_a_folder_without_data_says_so(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    for argv in (["candles", "X"], ["sql", "SELECT 1"], ["export", "trades", "X"], ["replay"]):
        ran = run(capfdbinary, *argv, "--data", tmp_path / "nothing")
        assert ran.code == 2
        assert "holds no data" in ran.err
        assert "--data names another" in ran.err or argv == ["replay"]
    assert run(capfdbinary, "import", "gone.csv", "--data", tmp_path / "nothing").code == 2
    assert not (tmp_path / "nothing").exists()


def test_a_plant_that_does_not_answer_is_a_passing_fault(
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    for argv in (["candles", "X"], ["tail"], ["import", "x.csv"], ["export", "trades", "X"]):
        ran = run(capfdbinary, *argv, "--url", "http://127.0.0.1:1")
        assert ran.code == 1
        assert "http://127.0.0.1:1" in ran.err.replace("ws:", "http:")
        assert "does not answer: [Errno 111] Connection refused\n" in ran.err


def test_what_is_no_address_is_the_users_fault(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    for argv in (["candles", "X"], ["tail"], ["gaps"], ["import", "x.csv"], ["bench", "load"]):
        for url in ("127.0.0.1:8000", "ftp://x"):
            ran = run(capfdbinary, *argv, "--url", url)
            assert (ran.code, "Traceback" in ran.err) == (2, False)
            assert f"url: {url} is not allowed; allowed is http://HOST:PORT" in ran.err
    empty = run(capfdbinary, "candles", "", "--url", "http://127.0.0.1:1")
    assert (empty.code, "symbol: an empty value is not allowed" in empty.err) == (2, True)


def test_settings_come_from_file_environment_and_flags_in_that_order(
    folder: Path,
    capfdbinary: pytest.CaptureFixture[bytes],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tickplant.toml").write_text(f"data = {json.dumps(str(folder))}\n")
    assert run(capfdbinary, "candles", "AAPL").code == 0
    monkeypatch.setenv("TICKPLANT_DATA", str(tmp_path / "env"))
    assert str(tmp_path / "env") in run(capfdbinary, "candles", "AAPL").err
    assert main(["candles", "AAPL", "--data", str(folder)]) == 0
    monkeypatch.setenv("TICKPLANT_DATTA", "x")
    assert "TICKPLANT_DATA" in run(capfdbinary, "candles", "AAPL", "--data", folder).err
