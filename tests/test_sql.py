"""SQL over stored rows: what it shows, that it agrees with other readers, what it refuses."""

from __future__ import annotations

import threading
from pathlib import Path

import pyarrow as pa
import pytest

import tickplant
from cli_kit import BASE, SECOND, fill, make_folder
from plant_kit import NOW, Clock, open_plant, submit
from tickplant.formats.rows import with_spreads
from tickplant.library import Folder
from tickplant.sql import TABLES, query
from tickplant.sql.guard import BadQuery


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    return tickplant.open(make_folder(tmp_path_factory.mktemp("sql") / "data"))


def rows(folder: Folder, text: str) -> list[tuple[object, ...]]:
    table = folder.sql(text).arrow()
    return list(zip(*(column.to_pylist() for column in table.columns), strict=True))


def test_the_tables_are_the_ones_that_are_promised(folder: Folder) -> None:
    assert sorted(TABLES) == [name for (name,) in rows(folder, "SHOW TABLES")]


@pytest.mark.parametrize("table", ["trades", "quotes"])
def test_rows_are_those_of_the_other_readers(folder: Folder, table: str) -> None:
    for symbol in ("EURUSD", "AAPL"):
        expected = getattr(folder, table)(symbol).arrow()
        text = f"FROM {table} WHERE symbol = '{symbol}' ORDER BY ts_event, seq"
        found = folder.sql(text).arrow()
        assert found.column_names == expected.column_names
        assert found.cast(expected.schema).equals(expected)


def test_trades_show_as_they_stand(folder: Folder) -> None:
    found = rows(folder, "SELECT id, price, corrects, flags FROM trades ORDER BY symbol, ts_event")
    assert found == [
        ("e", 100.0, None, ["synthetic"]),
        ("a", 1.5, None, ["synthetic"]),
        ("b", 1.25, None, ["synthetic"]),
        ("c", 1.625, 3, ["synthetic", "correction"]),
        ("d", 2.0, None, ["synthetic"]),
    ]


def test_candles_are_those_of_the_other_readers(folder: Folder) -> None:
    for symbol in ("EURUSD", "AAPL"):
        expected = with_spreads(folder.candles(symbol).arrow().drop_columns("interval"))
        text = f"FROM candles_1m WHERE symbol = '{symbol}' ORDER BY start"
        found = folder.sql(text).arrow()
        assert found.column_names == expected.column_names
        assert found.cast(expected.schema).equals(expected)


def test_candles_are_made_only_for_the_instruments_asked_for(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []
    candles = folder.history.candles

    def noted(instrument: object, *args: object, **kwargs: object) -> object:
        made.append(instrument.symbol)  # type: ignore[attr-defined]
        return candles(instrument, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(folder.history, "candles", noted)
    assert rows(folder, "SELECT count(*) FROM trades") == [(5,)]
    assert made == []
    assert rows(folder, "SELECT count(*) FROM candles_1m WHERE symbol = 'AAPL'") == [(1,)]
    assert made == ["AAPL"]
    text = "SELECT count(*) FROM candles_1m a JOIN candles_1m b USING (symbol, venue, start)"
    assert rows(folder, text) == [(4,)]


def test_instruments_and_quarantine(folder: Folder) -> None:
    assert rows(folder, "SELECT symbol, venue, kind FROM instruments ORDER BY symbol") == [
        ("AAPL", "ORIGIN", None),
        ("EURUSD", "ORIGIN", "fx"),
    ]
    found = rows(folder, 'SELECT feed, reason, "table" FROM quarantine')
    assert found == [("push", "price_not_positive", "trades")]


def test_times_have_their_nanoseconds_and_the_usual_functions(folder: Folder) -> None:
    kind = folder.sql("SELECT ts_event FROM quotes").arrow().schema.types
    assert kind == [pa.timestamp("ns", tz="UTC")]
    found = rows(
        folder,
        "SELECT epoch_ns(ts_event), epoch_ns(date_trunc('minute', ts_event)), "
        "epoch_ns(time_bucket(INTERVAL '5 minutes', ts_event)), extract(minute FROM ts_event), "
        "hour(ts_event), ts_event < now(), ts_event >= '2023-11-14', ts_event::DATE::VARCHAR "
        "FROM quotes ORDER BY ts_event LIMIT 1",
    )
    assert found == [(BASE + 5, BASE, BASE, 0, 22, True, True, "2023-11-14")]


def test_summarize_and_describe(folder: Folder) -> None:
    names = [name for name, *_ in rows(folder, "SUMMARIZE trades")]
    assert names == [name for name, *_ in rows(folder, "DESCRIBE trades")]
    assert [name for name, *_ in rows(folder, "SUMMARIZE SELECT price FROM trades;")] == ["price"]


REFUSED = [
    "COPY trades TO 'stolen.csv'",
    "COPY (SELECT 1) TO 'stolen.parquet'",
    "EXPLAIN ANALYZE COPY (SELECT 1) TO '{file}'",
    "EXPLAIN ANALYZE (FORMAT json) COPY (SELECT 1) TO '{file}'",
    "/* x */ EXPLAIN ANALYZE /* y */ COPY (SELECT 1) TO '{file}'",
    "COPY (SELECT 1) TO '{file}'",
    "SELECT 1; COPY trades TO 'stolen.csv'",
    "INSERT INTO trades VALUES (1)",
    "INSERT INTO trades_tail VALUES (1)",
    "UPDATE trades SET price = 1",
    "DELETE FROM trades",
    "DROP VIEW trades",
    "CREATE TABLE t (x INT)",
    "CREATE VIEW v AS SELECT 1",
    "CREATE MACRO f() AS 1",
    "ALTER VIEW trades RENAME TO t",
    "ATTACH 'other.db'",
    "ATTACH ':memory:' AS other",
    "USE temp",
    "INSTALL httpfs",
    "LOAD httpfs",
    "SET threads = 1",
    "RESET threads",
    "SET enable_external_access = true",
    "PRAGMA database_list",
    "CALL pragma_version()",
    "EXPORT DATABASE 'stolen'",
    "IMPORT DATABASE 'stolen'",
    "CHECKPOINT",
    "VACUUM",
    "BEGIN",
    "PREPARE p AS SELECT 1",
    "EXECUTE p",
    "SELECT * FROM read_csv('/etc/passwd')",
    "SELECT * FROM read_text('/etc/passwd')",
    "SELECT * FROM read_blob('{folder}/LOCK')",
    "SELECT * FROM read_parquet('{folder}/archive/*/*/*.parquet')",
    "SELECT * FROM '/etc/passwd'",
    "SELECT * FROM glob('/*')",
    "SELECT * FROM parquet_metadata('/tmp/x.parquet')",
    "SELECT * FROM sniff_csv('/etc/passwd')",
    "SELECT * FROM secret_frame",
    "SELECT * FROM no_such_table",
    "SELECT no_such_column FROM trades",
    "SELECT count(* FROM trades",
    "SELECT no_such_function(price) FROM trades",
    "SELECT error('x')",
    "SUMMARIZE '/etc/passwd'",
    "DESCRIBE SELECT * FROM '/etc/passwd'",
    "",
    " ; ",
    "-- nothing",
    "SELECT 1; SELECT 2",
]


@pytest.mark.parametrize("text", REFUSED)
def test_nothing_but_reading_our_tables(
    text: str, folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    secret_frame = pa.table({"x": [1]})
    files = {path: path.read_bytes() for path in folder.path.rglob("*") if path.is_file()}
    parquet = next(path for path in files if path.suffix == ".parquet")
    with pytest.raises(BadQuery) as caught:
        folder.sql(text.format(folder=folder.path, file=parquet))
    assert str(caught.value).startswith("sql: ")
    assert caught.value.status == 400
    assert len(caught.value.complaints) == 1
    assert {path: path.read_bytes() for path in files} == files
    assert list(tmp_path.iterdir()) == []
    assert secret_frame.num_rows == 1


def test_a_mistake_names_what_there_is(folder: Folder) -> None:
    with pytest.raises(BadQuery, match="candles_1m"):
        folder.sql("SELECT * FROM tradez")
    with pytest.raises(BadQuery, match="price"):
        folder.sql("SELECT pric FROM trades")


def test_a_fault_in_the_middle_of_a_stream_is_ours(folder: Folder) -> None:
    text = "SELECT CASE WHEN i < 300000 THEN i ELSE error('late') END FROM range(400000) t(i)"
    with pytest.raises(BadQuery, match="late"):
        folder.sql_batches(text).read_all()


def test_memory_and_files_are_one_table(tmp_path: Path) -> None:
    clock = Clock(NOW)
    with open_plant(tmp_path, clock) as plant:
        fill(plant)
        plant.store.checkpoint(plant.catalog.encode())
        submit(plant, symbol=["EURUSD"], price=[3.0], ts_event=[NOW - SECOND], id=["new"])
        text = "SELECT count(*), max(price) FROM trades WHERE symbol = 'EURUSD'"
        assert query(plant.history, text).read_all().to_pylist() == [
            {"count_star()": 5, "max(price)": 3.0}
        ]
        # A reader beside the running plant sees the same: archive and journal.
        with tickplant.open(tmp_path) as beside:
            assert rows(beside, text) == [(5, 3.0)]
            submit(plant, symbol=["EURUSD"], price=[4.0], ts_event=[NOW - SECOND])
            assert rows(beside, text) == [(5, 3.0)]
        assert query(plant.history, text).read_all().to_pylist()[0]["max(price)"] == 4.0


def test_files_that_were_replaced_meanwhile(tmp_path: Path) -> None:
    with open_plant(tmp_path, Clock(BASE + 600 * SECOND)) as plant:
        fill(plant)
        plant.store.checkpoint(plant.catalog.encode())
        beside = tickplant.open(tmp_path)
        submit(plant, symbol=["EURUSD"], price=[3.0], ts_event=[BASE + SECOND], id=["new"])
        plant.store.checkpoint(plant.catalog.encode())
        assert plant.store.compact()
        for path in {e.path for view in plant.store.views.values() for e in view.files.entries}:
            assert (tmp_path / "archive" / path).is_file()
        live = {e.path for view in plant.store.views.values() for e in view.files.entries}
        for file in (tmp_path / "archive" / "trades").rglob("*.parquet"):
            if file.relative_to(tmp_path / "archive").as_posix() not in live:
                file.unlink()  # as the plant does when their grace is over
        assert rows(beside, "SELECT count(*) FROM trades") == [(6,)]


def test_queries_side_by_side(folder: Folder) -> None:
    answers: list[object] = []

    def ask() -> None:
        answers.append(rows(folder, "SELECT count(*) FROM trades JOIN candles_1m USING (symbol)"))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert answers == [[(13,)]] * 4
