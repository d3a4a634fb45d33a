import signal
import socket
import threading
from pathlib import Path

import httpx
import pytest

import tickplant
from cli_kit import make_folder, run, serve, spawn
from plant_kit import open_plant
from tickplant.client import Client


def test_a_plant_and_the_commands_around_it(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    folder = tmp_path / "data"
    with serve("serve", "--data", folder, "--feed", "synthetic:instruments=3,rate=500") as plant:
        assert plant.first["feeds"] == ["synthetic"]
        ran = run(capfdbinary, "tail", "--data", folder, "--count", "5", "--json")
        events = ran.lines()
        assert len(events) == 5
        assert {"symbol", "price", "seq", "ts_event"} <= set(events[0])
        symbol = events[0]["symbol"]
        line = run(capfdbinary, "tail", "quotes", "--url", plant.url, "--count", "1").out
        assert "SYNTH:" in line
        line = run(capfdbinary, "tail", "status", "--url", plant.url, "--count", "1").out
        assert "state=running  ready=True  reason=accepting" in line
        ran = run(capfdbinary, "candles", symbol, "--url", plant.url, "--json", "--limit", "1")
        assert ran.json()["symbol"] == symbol
        first = run(capfdbinary, "candles", symbol, "--data", folder, "--json").json()
        assert first["symbol"] == symbol  # the folder is read while the plant runs on it
        assert run(capfdbinary, "doctor", "--data", folder).code == 0
        file = tmp_path / "t.csv"
        file.write_text("symbol,ts_event,price\nABC,2024-01-02T03:04:05Z,1.5\n")
        refused = run(capfdbinary, "import", file, "--data", folder)
        assert refused.code == 2
        assert f"--url {plant.url}" in refused.err
        sent = run(capfdbinary, "import", file, "--url", plant.url, "--json").json()
        assert (sent["accepted"], sent["duplicates"]) == (1, 0)
        sent = run(capfdbinary, "import", file, "--url", plant.url, "--json").json()
        assert (sent["accepted"], sent["duplicates"]) == (0, 1)
        count = "SELECT count(*) AS n FROM trades WHERE symbol = 'ABC'"
        assert run(capfdbinary, "sql", count, "--data", folder, "--json").json() == [{"n": 1}]
        assert plant.stop(signal.SIGINT) == 0
    assert run(capfdbinary, "doctor", "--data", folder).code == 0


def test_export_from_a_running_plant_in_chunks(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tickplant.cli.chunks.CHUNK_ROWS", 2)
    folder = make_folder(tmp_path / "data")
    with serve("serve", "--data", folder, "--feed", "none") as plant:
        same = [
            run(capfdbinary, "export", "trades", "*", *where, "--format", "ndjson").lines()
            for where in (("--url", plant.url), ("--data", str(folder)))
        ]
        assert len(same[0]) == 5
        assert same[0] == same[1]


def test_a_port_in_use_is_one_clear_line(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = spawn("serve", "--data", tmp_path / "data", "--port", port)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert f"{port} on 127.0.0.1 is in use" in done.stderr
    assert not (tmp_path / "data").exists()


def test_an_open_address_is_refused_unless_it_is_meant(tmp_path: Path) -> None:
    where = ("--data", tmp_path / "data", "--host", "0.0.0.0", "--feed", "none")
    done = spawn("serve", *where, "--port", "0")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    for told in ("0.0.0.0", "auth.required=true", "tickplant keys create", "auth.open=true"):
        assert told in done.stderr
    assert not (tmp_path / "data").exists()
    with serve("serve", *where, "--set", "auth.open=true") as one:
        assert one.url.startswith("http://127.0.0.1:")
        assert httpx.get(f"{one.url}/ready").status_code == 200
        assert one.stop() == 0


def test_a_folder_has_one_plant(tmp_path: Path) -> None:
    with serve("serve", "--data", tmp_path / "data", "--feed", "none") as first:
        done = spawn("serve", "--data", tmp_path / "data", "--port", "0")
        assert done.returncode == 2
        owner = f"in use by process {first.process.pid}; most commands take --url {first.url}"
        assert owner in done.stderr


def test_sigterm_under_load_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    acknowledged: list[str] = []
    halfway = threading.Event()

    def write(url: str, writer: int) -> None:
        with Client(url) as client:
            for number in range(100_000):
                ids = [f"{writer}-{number}-{i}" for i in range(50)]
                rows = [{"symbol": "ABC", "price": 1.0, "id": name} for name in ids]
                try:
                    client.post_trades(rows)
                except tickplant.TickplantError:
                    return
                acknowledged.extend(ids)
                if number == 5:
                    halfway.set()

    with serve("serve", "--data", folder, "--feed", "synthetic:rate=2000") as plant:
        writers = [threading.Thread(target=write, args=(plant.url, n)) for n in range(3)]
        for writer in writers:
            writer.start()
        assert halfway.wait(20)
        assert plant.stop() == 0
        for writer in writers:
            writer.join(20)
    assert acknowledged
    stored = tickplant.open(folder).trades("ABC").arrow()["id"].to_pylist()
    assert len(stored) == len(set(stored))
    assert set(acknowledged) <= set(stored)
    with open_plant(folder) as again:
        assert again.log.status().damage == ()


def test_replay_serves_what_was_stored(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    folder = make_folder(tmp_path / "data")
    with serve("replay", "--data", folder, "--speed", "max", "--wait", "--linger", "5") as played:
        ran = run(capfdbinary, "tail", "trades", "--url", played.url, "--count", "5", "--json")
        seen = [(event["symbol"], event["price"], event["id"]) for event in ran.lines()]
        assert seen == [
            ("EURUSD", 1.5, "a"),
            ("AAPL", 100.0, "e"),
            ("EURUSD", 1.25, "b"),
            ("EURUSD", 1.625, "c"),
            ("EURUSD", 2.0, "d"),
        ]
        assert played.stop() == 0
        assert played.process.stdout is not None
        assert '"rows": 7' in played.process.stdout.read()


def test_replay_of_a_file_ends_by_itself(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text("symbol,ts_event,price\nABC,2024-01-02T03:04:05Z,1.5\n")
    done = spawn("replay", file, "--speed", "max", "--linger", "0", "--port", "0")
    assert done.returncode == 0, done.stderr
    assert "played 1 events" in done.stdout
