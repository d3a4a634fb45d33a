"""What is due when: archive runs by rows and age, compaction, retention, replaced files."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest
import store_oracle as oracle
from store_oracle import DAY

from store_disks import Clock, QuickDisk
from tickplant.config import StoreSettings
from tickplant.store import archiving, blocks, compaction, writer
from tickplant.store.tiered import TieredStore
from tickplant.store.verify import verify_archive


def open_store(data: Path, clock: Clock, **settings: float) -> TieredStore:
    return TieredStore.open(data, StoreSettings(**settings), clock=clock, disk=QuickDisk())


def put(store: TieredStore, seq: int, day: int, table: str = "trades") -> oracle.Row:
    row = oracle.make_row(table, seq, 1, day * DAY + seq)
    store.append(table, oracle.make_batch(table, [row]))
    return row


def settle(store: TieredStore) -> None:
    while store.maintain(lambda: b"catalog"):
        pass


def test_rows_are_archived_when_old_or_many(tmp_path: Path) -> None:
    clock = Clock()
    store = open_store(tmp_path, clock, block_age_s=10.0, block_rows=1000)
    put(store, 1, 0)
    settle(store)
    assert store.seq_archived == 0
    clock.now += 10 * 10**9
    settle(store)
    assert (store.seq_archived, store.catalog) == (1, b"catalog")
    rows = [oracle.make_row("quotes", seq, 1, seq) for seq in range(2, 1002)]
    store.append("quotes", oracle.make_batch("quotes", rows))
    settle(store)
    assert store.seq_archived == 1001


def test_files_of_a_day_are_merged_after_it_rested_and_removed_after_a_grace(
    tmp_path: Path,
) -> None:
    clock = Clock()
    store = open_store(tmp_path, clock, compact_after_s=600.0, block_age_s=1e9)
    rows = []
    for seq in range(1, 4):
        rows.append(put(store, seq, 0))
        store.checkpoint(b"")
    old = sorted((tmp_path / "archive").rglob("*.parquet"))
    clock.now += 599 * 10**9
    settle(store)
    assert store.status().tables["trades"].files == 3
    clock.now += 10 * 10**9
    settle(store)
    assert store.status().tables["trades"].files == 1
    assert all(path.exists() for path in old), "another process may be reading them"
    clock.now += 70 * 10**9
    settle(store)
    assert not any(path.exists() for path in old)
    assert store.scan("trades").to_pylist() == rows
    assert verify_archive(tmp_path).findings == ()


def test_large_day_is_merged_into_files_of_bounded_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compaction, "FILE_ROWS_MAX", 5)
    store = open_store(tmp_path, Clock())
    rows = []
    for seq in range(1, 13):
        rows.append(put(store, seq, 0))
        store.checkpoint(b"")
    assert store.compact() == 12
    assert store.status().tables["trades"].files == 3
    assert store.scan("trades", 1).to_pylist() == rows


def test_instrument_larger_than_a_chunk_is_merged_in_spans_of_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module, name, value in (
        (compaction, "CHUNK_ROWS", 6),
        (writer, "OWN_GROUP_ROWS", 5),
        (writer, "GROUP_ROWS_MAX", 4),
    ):
        monkeypatch.setattr(module, name, value)
    store = open_store(tmp_path, Clock())
    rows = []
    for first in (1, 21, 41):
        made = [oracle.make_row("trades", n, 1, n * 7 % 10) for n in range(first, first + 20)]
        made[0]["instrument"] = 2
        store.append("trades", oracle.make_batch("trades", made))
        store.checkpoint(b"")
        rows += made
    assert store.compact() == 3
    assert store.scan("trades").to_pylist() == oracle.scan(rows)
    assert verify_archive(tmp_path).findings == ()


def test_archive_run_of_a_part_of_memory_ends_at_one_seq_in_all_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archiving, "ROWS_MAX", 1)
    monkeypatch.setattr(blocks, "FAN", 2)
    store = open_store(tmp_path, Clock(), block_rows=1)
    quotes = [put(store, 1, 0, "quotes")]
    trade = put(store, 2, 0)
    quotes.append(put(store, 3, 0, "quotes"))  # is one run with the first quote now
    while store.seq_archived == 0:
        store.maintain(lambda: b"")
    assert store.seq_archived == 2
    store.close()
    again = open_store(tmp_path, Clock())
    again.append("quotes", oracle.make_batch("quotes", quotes[1:]))
    assert again.scan("quotes").to_pylist() == quotes
    assert again.scan("trades").to_pylist() == [trade]


def test_days_older_than_kept_are_dropped(tmp_path: Path) -> None:
    store = open_store(tmp_path, Clock(), trades_retention_days=2, quotes_retention_days=0)
    trades = [put(store, seq, day) for seq, day in enumerate((0, 1, 2, 3, 4), 1)]
    quote = put(store, 6, 0, "quotes")
    store.checkpoint(b"")
    assert store.retain(4 * DAY + 5) == 2
    assert store.scan("trades").to_pylist() == trades[2:]
    assert store.scan("quotes").to_pylist() == [quote]
    assert store.retain(4 * DAY + 5) == 0
    assert store.span("trades") == (trades[2]["ts_event"], trades[4]["ts_event"])


def test_reader_in_another_process_follows_the_owner(tmp_path: Path) -> None:
    clock = Clock()
    store = open_store(tmp_path, clock)
    rows = [put(store, 1, 0)]
    store.checkpoint(b"")
    rows.append(put(store, 2, 0))
    store.checkpoint(b"")
    reader = TieredStore.open_read_only(tmp_path, clock=clock)
    rows.append(put(store, 3, 0))
    reader.append("trades", oracle.make_batch("trades", rows[-1:]))  # as read from the journal
    store.checkpoint(b"")
    store.compact()
    clock.now += 61 * 10**9
    store.archive.collect()
    assert reader.scan("trades").to_pylist() == rows
    with pytest.raises(ValueError, match="read-only"):
        reader.checkpoint(b"")


def test_any_tool_reads_the_files_with_real_times(tmp_path: Path) -> None:
    store = open_store(tmp_path, Clock())
    put(store, 1, 20_000)
    store.checkpoint(b"")
    path = tmp_path / "archive" / "trades" / "2024-10-04" / "1-1-1.parquet"
    with duckdb.connect() as connection:
        found = connection.execute(
            f"select epoch_ns(ts_event), price, id, typeof(ts_event) from '{path}'"
        ).fetchall()
    assert found[0][:3] == (20_000 * DAY + 1, 1.0, "t1")
    assert str(found[0][3]).startswith("TIMESTAMP")


def test_row_groups_belong_to_large_instruments_and_are_shared_by_small_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(writer, "OWN_GROUP_ROWS", 10)
    monkeypatch.setattr(writer, "SHARED_GROUP_ROWS", 8)
    monkeypatch.setattr(writer, "GROUP_ROWS_MAX", 12)
    counts = writer.np.array([3, 4, 2, 25, 1, 10])
    groups = list(writer.plan_groups(counts))
    assert groups == [(0, 7), (7, 9), (9, 17), (17, 25), (25, 34), (34, 35), (35, 45)]


def test_amendments_of_dropped_days_are_forgotten(tmp_path: Path) -> None:
    store = open_store(tmp_path, Clock(), trades_retention_days=1)
    rows = [put(store, 1, 0), put(store, 2, 0), put(store, 3, 5)]
    for seq, root, ts in ((4, 1, 0), (5, 2, 5 * DAY), (6, 3, 5 * DAY + 3)):
        row = oracle.make_row("trades", seq, 1, ts, ref_seq=root, flags=8)
        store.append("trades", oracle.make_batch("trades", [row]))
        rows.append(row)
    store.checkpoint(b"")
    assert len(store.amendments) == 3
    assert store.retain(5 * DAY) == 1
    assert len(store.amendments) == 2
    assert store.scan("trades").to_pylist() == [rows[4], rows[5]]
    put(store, 7, 5)
    store.checkpoint(b"")
    store.close()
    again = open_store(tmp_path, Clock())
    assert len(again.amendments) == 2
    assert again.find_trade(2).to_pylist() == [rows[4]]


def test_rows_out_of_order_are_refused(tmp_path: Path) -> None:
    store = open_store(tmp_path, Clock())
    put(store, 5, 0)
    with pytest.raises(ValueError, match="seq 5 of quotes comes after 5"):
        put(store, 5, 0, "quotes")
    with pytest.raises(ValueError, match="schema"):
        store.append("quotes", oracle.make_batch("trades", [oracle.make_row("trades", 6, 1, 0)]))
