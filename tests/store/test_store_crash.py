"""A fault at every call of the disk, and a restart after it: nothing archived lost or doubled."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest
import store_oracle as oracle
from store_oracle import DAY

from store_disks import Clock, FailingDisk, QuickDisk
from tickplant.config import StoreSettings
from tickplant.store.tiered import TieredStore
from tickplant.store.verify import verify_archive

Appends = list[tuple[str, list[oracle.Row], list[int]]]
CALLS_MAX = 400
PARTS, PART = 8, 40  # parts of a test, each within the time limit, and the calls of one
LATE = 6  # of so many calls one fails after its work too


def make_appends() -> Appends:
    """Trades over two days with a correction and a cancel, and quotes between them."""
    appends: Appends = []
    seq = 0
    for i in range(4):
        rows = []
        for j in range(5):
            seq += 1
            rows.append(oracle.make_row("trades", seq, 1 + j % 2, (i + j) % 2 * DAY + j))
        appends.append(("trades", rows, [row["seq"] for row in rows]))
        seq += 1
        appends.append(("quotes", [oracle.make_row("quotes", seq, 1, i)], [seq]))
        if i % 2:
            seq += 1
            root = rows[0]
            amendment = oracle.make_row(
                "trades",
                seq,
                root["instrument"],
                root["ts_event"],
                ref_seq=root["seq"],
                flags=16 if i == 1 else 8,
            )
            appends.append(("trades", [amendment], [0]))
    return appends


def put(store: TieredStore, appends: Appends) -> None:
    for table, rows, keys in appends:
        store.append(table, oracle.make_batch(table, rows), oracle.make_keys(keys))


def live(store: TieredStore, appends: Appends) -> None:
    """What a plant does in its life: appends, archive runs, compaction, retention, tidying."""
    third = len(appends) // 3
    put(store, appends[:third])
    store.checkpoint(b"first")
    put(store, appends[third : 2 * third])
    store.checkpoint(b"second")
    store.compact()
    put(store, appends[2 * third :])
    store.checkpoint(b"third")
    store.compact()


def rows_of(appends: Appends, table: str) -> list[oracle.Row]:
    return [row for name, rows, _ in appends if name == table for row in rows]


def check(store: TieredStore, appends: Appends) -> None:
    for table in ("trades", "quotes"):
        rows = rows_of(appends, table)
        assert store.scan(table).to_pylist() == oracle.scan(rows)
        everything = store.scan_seq(table, 0, 10**6, limit=10**6)
        assert everything.to_pylist() == rows
        used = [key for name, _, keys in appends if name == table for key in keys if key]
        assert store.seen(table, oracle.make_keys(used)).all()
        assert not store.seen(table, oracle.make_keys([10_000 + key for key in used])).any()


def restart(data: Path, appends: Appends) -> None:
    """Open the folder on a sound disk, replay the log, check; once more after an archive run."""
    store = TieredStore.open(data, clock=Clock(), disk=QuickDisk())
    assert verify_archive(data).findings == ()
    assert store.status().damage == ()
    for table, rows, keys in appends:
        if rows[-1]["seq"] > store.seq_archived:
            store.append(table, oracle.make_batch(table, rows), oracle.make_keys(keys))
    check(store, appends)
    store.checkpoint(b"last")
    check(store, appends)
    store.close()
    again = TieredStore.open(data, clock=Clock(), disk=QuickDisk())
    assert again.catalog == b"last"
    check(again, appends)
    again.close()


def die(data: Path, appends: Appends, call: int, *, late: bool = False) -> bytes | None:
    """Live until a call of the disk; return what is left, as a digest, or None without a death."""
    # Every later call fails too: the process is as good as dead.
    disk = FailingDisk(range(call, 10**9), late=late)
    try:
        live(TieredStore.open(data, clock=Clock(), disk=disk), appends)
    except OSError:
        return digest(data)
    assert disk.calls <= call
    assert call > 50
    return None


def digest(folder: Path) -> bytes:
    """Return a hash of the names and contents of all that is in a folder."""
    found = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        content = path.read_bytes() if path.is_file() else b""
        found.update(f"{path.relative_to(folder)} {len(content)}\n".encode() + content)
    return found.digest()


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_dying_at_any_call_loses_and_doubles_nothing(tmp_path: Path, part: int) -> None:
    """Where a call leaves the folder as it was, the restart is the same one and not tried again.

    Nor is it after a death right behind a call, which leaves what one before the next call does;
    a write that is cut in two leaves the same either way.
    """
    appends = make_appends()
    tried: set[bytes] = set()
    before = None
    for call in range(part * PART, (part + 1) * PART):
        data = tmp_path / str(call)
        left = die(data, appends, call)
        if left is None:
            return
        if call % LATE == LATE - 1:
            assert die(tmp_path / "late", appends, call - 1, late=True) in (before, left)
            shutil.rmtree(tmp_path / "late")
        before = left
        if left not in tried:
            tried.add(left)
            restart(data, appends)
        shutil.rmtree(data)
    assert part < PARTS - 1, "the work has more disk calls than the test looks at"


@pytest.mark.slow
@pytest.mark.parametrize("first", [3, 8, 13])  # every fifth call
@pytest.mark.parametrize("late", [False, True], ids=["before", "after"])
def test_one_failing_call_is_survived_without_a_restart(
    tmp_path: Path, late: bool, first: int
) -> None:
    appends = make_appends()
    for call in range(first, CALLS_MAX, 15):
        clock = Clock()
        disk = FailingDisk(range(call, call + 1), late=late)
        try:
            store = TieredStore.open(
                tmp_path / str(call), StoreSettings(block_age_s=0.1), clock=clock, disk=disk
            )
        except OSError:
            continue
        for append in appends:
            put(store, [append])
            clock.now += 10**9
            store.maintain(lambda: b"catalog")
        for _ in range(20):
            clock.now += 60 * 10**9
            store.maintain(lambda: b"catalog")
        check(store, appends)
        assert store.seq_archived == appends[-1][1][-1]["seq"]
        assert store.status().last_error is None
        store.close()
        restart(tmp_path / str(call), appends)
        if disk.calls <= call:
            return
    raise AssertionError("the work has more disk calls than the test looks at")


def test_rows_stay_in_memory_while_the_archive_disk_fails(tmp_path: Path) -> None:
    appends = make_appends()
    clock, disk = Clock(), FailingDisk()
    store = TieredStore.open(tmp_path, StoreSettings(block_age_s=0.1), clock=clock, disk=disk)
    disk.failing = range(disk.calls, 10**9)
    put(store, appends)
    errors = []
    for _ in range(8):
        clock.now += 10**9
        store.maintain(lambda: b"catalog")
        errors.append(store.status().last_error)
        check(store, appends)
    assert "Errno" in str(errors[-1])
    assert store.seq_archived == 0
    calls = disk.calls
    store.maintain(lambda: b"catalog")
    assert disk.calls == calls, "a retry must wait for its time"
    disk.failing = range(0)
    clock.now += 31 * 10**9
    while store.maintain(lambda: b"catalog"):
        pass
    assert store.seq_archived == appends[-1][1][-1]["seq"]
    assert store.status().last_error is None
    left = {p for p in (tmp_path / "archive").rglob("*") if p.is_file()}
    named = store.archive.manifest.paths() | {g.path for g in store.archive.manifest.garbage}
    assert {p.relative_to(tmp_path / "archive").as_posix() for p in left} == named | {
        "MANIFEST.json",
        "MANIFEST.backup.json",
    }


def test_a_file_that_no_manifest_names_is_removed_at_the_next_start(tmp_path: Path) -> None:
    store = TieredStore.open(tmp_path, clock=Clock())
    put(store, make_appends())
    store.checkpoint(b"")
    store.close()
    stray = tmp_path / "archive" / "trades" / "1970-01-01" / "1-9-77.parquet"
    stray.write_bytes(b"half a file")
    assert stray.exists()
    TieredStore.open_read_only(tmp_path, clock=Clock()).close()
    assert stray.exists(), "a reader changes nothing"
    TieredStore.open(tmp_path, clock=Clock()).close()
    assert not stray.exists()
