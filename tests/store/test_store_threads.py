"""Scans beside appends and archive runs; the bound on memory. Threads are bounded by their work."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from store_oracle import DAY

from store_disks import Clock, QuickDisk
from tickplant.config import StoreSettings
from tickplant.model.errors import Stopping
from tickplant.model.events import SCHEMAS
from tickplant.store import blocks
from tickplant.store.tiered import TieredStore

BATCH = 50


def make_trades(first: int, count: int) -> pa.RecordBatch:
    seq = np.arange(first, first + count)
    columns = {
        "instrument": seq % 3 + 1,
        "ts_event": seq % 2 * DAY + seq * 7 % 1000,
        "seq": seq,
        "ts_recv": seq,
        "price": seq * 1.0,
    }
    arrays = []
    for field in SCHEMAS["trades"]:
        if field.name in columns:
            arrays.append(pa.array(columns[field.name]).cast(field.type))
        elif field.nullable:
            arrays.append(pa.nulls(count, field.type))
        else:
            arrays.append(pa.array(np.zeros(count)).cast(field.type))
    return pa.RecordBatch.from_arrays(arrays, schema=SCHEMAS["trades"])


def assert_whole(store: TieredStore) -> int:
    """Scan everything in both orders; every row up to the last is there once, batches whole."""
    rows = store.scan("trades", columns=["seq", "ts_event"])
    seq = rows.column("seq").to_numpy()
    assert len(seq) % BATCH == 0
    assert np.array_equal(np.sort(seq), np.arange(1, len(seq) + 1))
    ts = rows.column("ts_event").to_numpy()
    assert np.array_equal(np.lexsort((seq, ts)), np.arange(len(seq)))
    replayed = store.scan_seq("trades", 0, len(seq), limit=10**6).column("seq").to_numpy()
    assert np.array_equal(replayed, np.arange(1, len(seq) + 1))
    return len(seq)


def test_scans_see_every_row_once_while_rows_move(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks, "SEAL_ROWS", 200)
    store = TieredStore.open(tmp_path, clock=Clock(), disk=QuickDisk())
    done = threading.Event()
    faults: list[BaseException] = []
    scans: list[int] = []

    def scan() -> None:
        try:
            while not done.is_set() or not scans:
                scans.append(assert_whole(store))
        except BaseException as fault:
            faults.append(fault)
            raise

    readers = [threading.Thread(target=scan) for _ in range(2)]
    for reader in readers:
        reader.start()
    try:
        for number in range(60):
            store.append("trades", make_trades(1 + number * BATCH, BATCH))
            if number % 5 == 4:
                store.checkpoint(b"")
            if number % 20 == 19:
                store.compact()
    finally:
        done.set()
        for reader in readers:
            reader.join(20)
    assert not faults
    assert assert_whole(store) == 60 * BATCH
    store.close()


def test_appender_waits_at_the_bound_until_the_maintenance_has_archived(tmp_path: Path) -> None:
    settings = StoreSettings(memory_mb=16, block_age_s=1e9, block_rows=10**9)
    store = TieredStore.open(tmp_path, settings, clock=Clock(), disk=QuickDisk())
    stop = threading.Event()
    keeper = threading.Thread(target=store.run_maintenance, args=(lambda: b"", stop.is_set))
    keeper.start()
    try:
        for number in range(40):
            while not store.wait_for_room(1.0):
                assert keeper.is_alive()
            store.append("trades", make_trades(1 + number * 20_000, 20_000))
            assert store.status().bytes_in_memory < (16 << 20) + 20_000 * 200
        assert store.status().tables["trades"].rows_archived > 0
        assert store.scan("trades", columns=["seq"]).num_rows == 800_000
    finally:
        stop.set()
        keeper.join(20)
    store.close()


def test_appender_that_waits_for_memory_is_told_when_the_store_closes(tmp_path: Path) -> None:
    disk = QuickDisk()
    settings = StoreSettings(memory_mb=16)
    store = TieredStore.open(tmp_path, settings, clock=Clock(), disk=disk)

    def refuse(path: Path) -> None:
        raise OSError(28, f"No space left on device: {path}")

    disk.create = refuse  # type: ignore[method-assign,assignment]
    keeper = threading.Thread(target=store.run_maintenance, args=(lambda: b"", lambda: False))
    keeper.start()
    told = threading.Event()

    def append_all() -> None:
        try:
            for number in range(40):
                while not store.wait_for_room(1.0):
                    pass
                store.append("trades", make_trades(1 + number * 20_000, 20_000))
        except Stopping:
            told.set()

    appender = threading.Thread(target=append_all)
    appender.start()
    while store.status().bytes_in_memory < 16 << 20 or store.status().last_error is None:
        assert appender.is_alive()
        keeper.join(0.01)
    store.close()
    appender.join(10)
    keeper.join(10)
    assert told.is_set()
    assert not keeper.is_alive()
