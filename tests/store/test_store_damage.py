"""Flipped, cut and missing bytes: detected, set apart, reported; the store still works."""

from __future__ import annotations

from pathlib import Path

import pytest
import store_oracle as oracle
from store_oracle import DAY

from store_disks import Clock, QuickDisk
from tickplant.store.disk import Sink
from tickplant.store.tiered import TieredStore
from tickplant.store.verify import verify_archive


def fill(data: Path) -> list[oracle.Row]:
    """Archive 40 trades of one instrument, half of them on each of two days."""
    rows = [oracle.make_row("trades", seq, 1, seq % 2 * DAY + seq) for seq in range(1, 41)]
    store = TieredStore.open(data, clock=Clock())
    store.append("trades", oracle.make_batch("trades", rows), oracle.make_keys(list(range(40))))
    store.checkpoint(b"catalog")
    store.close()
    return rows


def parquet_files(data: Path) -> list[Path]:
    return sorted((data / "archive" / "trades").rglob("*.parquet"))


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 0x10
    path.write_bytes(data)


def test_any_flipped_byte_of_a_file_is_detected(tmp_path: Path) -> None:
    rows = fill(tmp_path / "sound")
    first = parquet_files(tmp_path / "sound")[0]
    sound = first.read_bytes()
    kept = [row for row in rows if row["ts_event"] >= DAY]
    magic = 4  # the first four bytes of a Parquet file mean nothing to a reader of row groups
    for at in range(magic, len(sound), 41):
        flip(first, at)
        findings = verify_archive(tmp_path / "sound").findings
        assert [f.what for f in findings] == ["the checksum does not hold"], at
        reader = TieredStore.open_read_only(tmp_path / "sound", clock=Clock())
        found = reader.scan("trades").to_pylist()
        # A byte that no column of a row depends on may be wrong without a row being wrong.
        assert found == oracle.scan(kept) or found == oracle.scan(rows), at
        if found != oracle.scan(rows):
            assert str(first.name) in reader.status().damage[-1]
        reader.close()
        first.write_bytes(sound)


def test_damaged_file_is_moved_away_and_its_rows_are_named(tmp_path: Path) -> None:
    rows = fill(tmp_path)
    first = parquet_files(tmp_path)[0]
    for at in range(4, first.stat().st_size // 2):
        flip(first, at)
    store = TieredStore.open(tmp_path, clock=Clock())
    kept = [row for row in rows if row["ts_event"] >= DAY]
    assert store.scan("trades", 1).to_pylist() == oracle.scan(kept)
    assert not first.exists()
    assert [p.name for p in (tmp_path / "damaged").iterdir()] == [
        f"trades_{first.parent.name}_{first.name}"
    ]
    assert "20 rows of trades with seq 2 to 40" in store.status().damage[0]
    store.append("trades", oracle.make_batch("trades", [oracle.make_row("trades", 41, 1, 5)]))
    assert store.checkpoint(b"") == 41
    store.close()
    again = TieredStore.open(tmp_path, clock=Clock())
    assert again.scan("trades").num_rows == 21
    assert len(again.status().damage) == 1
    assert verify_archive(tmp_path).findings == ()


@pytest.mark.parametrize("what", ["cut", "missing"])
def test_cut_or_missing_file_is_reported_at_the_start(tmp_path: Path, what: str) -> None:
    rows = fill(tmp_path)
    first = parquet_files(tmp_path)[0]
    if what == "cut":
        first.write_bytes(first.read_bytes()[:-100])
    else:
        first.unlink()
    assert len(verify_archive(tmp_path).findings) == 1
    reader = TieredStore.open_read_only(tmp_path, clock=Clock())
    store = TieredStore.open(tmp_path, clock=Clock())
    kept = oracle.scan([row for row in rows if row["ts_event"] >= DAY])
    for opened in (reader, store):
        assert opened.scan("trades").to_pylist() == kept
        assert first.name in opened.status().damage[0]


def test_one_damaged_manifest_is_replaced_by_its_copy(tmp_path: Path) -> None:
    rows = fill(tmp_path)
    manifest = tmp_path / "archive" / "MANIFEST.json"
    for at in range(0, manifest.stat().st_size, 37):
        sound = manifest.read_bytes()
        flip(manifest, at)
        store = TieredStore.open_read_only(tmp_path, clock=Clock())
        assert store.scan("trades").to_pylist() == oracle.scan(rows)
        assert "MANIFEST.json" in store.status().damage[0]
        manifest.write_bytes(sound)


def test_manifest_is_made_anew_when_both_copies_are_damaged(tmp_path: Path) -> None:
    rows = fill(tmp_path)
    for name in ("MANIFEST.json", "MANIFEST.backup.json"):
        flip(tmp_path / "archive" / name, 60)
    store = TieredStore.open(tmp_path, clock=Clock())
    assert store.scan("trades").to_pylist() == oracle.scan(rows)
    assert (store.seq_archived, store.catalog) == (40, b"catalog")
    assert store.seen("trades", oracle.make_keys([0, 7, 41])).tolist() == [False, True, False]
    assert "made anew" in store.status().damage[-1]
    assert verify_archive(tmp_path).findings == ()


class _CrashAtQuotes(QuickDisk):
    """Loses power when the second file of quotes is about to be made."""

    made = 0

    def create(self, path: Path) -> Sink:
        self.made += "quotes" in path.parts
        if self.made == 2:
            raise KeyboardInterrupt
        return super().create(path)


def test_an_unfinished_archive_run_does_not_count_when_the_manifests_are_lost(
    tmp_path: Path,
) -> None:
    rows = {
        table: [oracle.make_row(table, seq, 1, seq) for seq in range(first, 21, 2)]
        for first, table in enumerate(("quotes", "trades"), 1)
    }
    batches = [
        (table, oracle.make_batch(table, [row for row in every if low < row["seq"] <= low + 10]))
        for low in (0, 10)
        for table, every in rows.items()
    ]
    store = TieredStore.open(tmp_path, clock=Clock(), disk=_CrashAtQuotes())
    store.restore([(table, batch, None) for table, batch in batches[:2]])
    store.checkpoint(b"catalog")
    store.restore([(table, batch, None) for table, batch in batches[2:]])
    with pytest.raises(KeyboardInterrupt):
        store.checkpoint(b"catalog")
    assert len(list((tmp_path / "archive/trades").rglob("*.parquet"))) == 2
    for name in ("MANIFEST.json", "MANIFEST.backup.json"):
        (tmp_path / "archive" / name).unlink()
    reader = TieredStore.open_read_only(tmp_path, clock=Clock())
    assert (reader.seq_archived, reader.scan("trades").num_rows) == (10, 5)
    for _ in range(2):
        again = TieredStore.open(tmp_path, clock=Clock())
        assert again.seq_archived == 10
        assert any("a crash ended" in said for said in again.status().damage)
        again.restore([(table, batch, None) for table, batch in batches])  # the journal has all
        for table, every in rows.items():
            assert again.scan(table).to_pylist() == oracle.scan(every)
        again.close()
    again.checkpoint(b"catalog")
    assert TieredStore.open(tmp_path, clock=Clock()).seq_archived == 20
    assert verify_archive(tmp_path).findings == ()


def test_amendments_are_read_from_the_rows_when_their_file_is_damaged(tmp_path: Path) -> None:
    rows = [oracle.make_row("trades", seq, 1, seq) for seq in range(1, 5)]
    rows.append(oracle.make_row("trades", 5, 1, 2, ref_seq=2, flags=16))
    rows.append(oracle.make_row("trades", 6, 1, DAY, ref_seq=3, flags=8))
    store = TieredStore.open(tmp_path, clock=Clock())
    store.append("trades", oracle.make_batch("trades", rows))
    store.checkpoint(b"")
    store.close()
    flip(next((tmp_path / "archive").glob("amendments-*")), 200)
    again = TieredStore.open(tmp_path, clock=Clock())
    assert again.scan("trades").to_pylist() == oracle.scan(rows)
    ts, seq = again.amendment_seqs(1, None, None)
    assert sorted(zip(ts.tolist(), seq.tolist(), strict=True)) == [(2, 5), (3, 6), (DAY, 6)]
    assert "amendments" in again.status().damage[0]
