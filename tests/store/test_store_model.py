"""The store against a plain list, through any sequence of appends, archive runs and restarts."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import store_oracle as oracle
from hypothesis import given, settings
from hypothesis import strategies as st
from store_oracle import DAY

from store_disks import Clock, QuickDisk
from tickplant.config import StoreSettings
from tickplant.store import archiving, blocks, compaction, replay, writer
from tickplant.store.contract import AsOf, Cursor
from tickplant.store.tiered import TieredStore
from tickplant.store.verify import verify_archive

times = st.builds(lambda day, at: day * DAY + at, st.integers(0, 2), st.integers(0, 4))
Step = tuple[Any, ...]

maybe_times = st.none() | times
instruments = st.integers(1, 3)
tables = st.sampled_from(["trades", "quotes", "quarantine"])


class Model:
    """A store beside the rows, in plain lists, that were put into it."""

    def __init__(self) -> None:
        self.patch = pytest.MonkeyPatch()
        for module, name, value in (
            (blocks, "SEAL_ROWS", 12),
            (blocks, "FAN", 3),
            (writer, "OWN_GROUP_ROWS", 5),
            (writer, "SHARED_GROUP_ROWS", 6),
            (writer, "GROUP_ROWS_MAX", 4),
            (compaction, "FILE_ROWS_MAX", 40),
            (compaction, "CHUNK_ROWS", 6),
            (replay, "WINDOW_ROWS", 7),
            (archiving, "ROWS_MAX", 15),
        ):
            self.patch.setattr(module, name, value)
        self.folder = tempfile.TemporaryDirectory()
        self.data = Path(self.folder.name)
        self.clock = Clock()
        self.rows: dict[str, list[oracle.Row]] = {t: [] for t in ("trades", "quotes", "quarantine")}
        self.appends: list[tuple[str, list[oracle.Row], list[int]]] = []
        self.keys: dict[str, set[int]] = {t: set() for t in self.rows}
        self.seq = 0
        self.store = self.open()

    def open(self) -> TieredStore:
        return TieredStore.open(self.data, StoreSettings(), clock=self.clock, disk=QuickDisk())

    def close(self) -> None:
        self.store.close()
        self.folder.cleanup()
        self.patch.undo()

    def put(self, table: str, rows: list[oracle.Row], keys: list[int]) -> None:
        self.rows[table] += rows
        self.keys[table] |= set(keys)
        self.appends.append((table, rows, keys))
        self.store.append(table, oracle.make_batch(table, rows), oracle.make_keys(keys))

    def append(self, table: str, places: list[tuple[int, int]]) -> None:
        rows = []
        for instrument, ts in places:
            self.seq += 1
            late = 25 if self.seq % 5 == 0 else 0
            number = 0 if table == "quarantine" else instrument
            recv = 1_000_000 + self.seq * 10 - late
            rows.append(oracle.make_row(table, self.seq, number, ts, ts_recv=recv))
        self.put(table, rows, [row["seq"] if row["seq"] % 4 else 0 for row in rows])

    def amend(self, pick: int, ts: int | None, cancel: bool, twice: bool) -> None:
        roots = [row for row in self.rows["trades"] if not row["ref_seq"]]
        if not roots:
            return
        root = roots[pick % len(roots)]
        made = []
        for _ in range(2 if twice else 1):
            self.seq += 1
            history = [r for r in [*self.rows["trades"], *made] if r["ref_seq"] == root["seq"]]
            standing = max(history, key=lambda r: r["seq"], default=root)
            at = standing["ts_event"] if cancel or ts is None else ts
            made.append(
                oracle.make_row(
                    "trades",
                    self.seq,
                    root["instrument"],
                    at,
                    ref_seq=root["seq"],
                    flags=16 if cancel else 8,
                )
            )
        self.put("trades", made, [0] * len(made))

    def checkpoint(self) -> None:
        assert self.store.checkpoint(b"catalog %d" % self.seq) == self.seq
        assert self.store.catalog == b"catalog %d" % self.seq
        assert self.store.status().bytes_in_memory == 0

    def compact(self) -> None:
        self.store.compact()
        assert self.store.compact() == 0
        self.clock.now += 61 * 10**9
        self.store.archive.collect()

    def reopen(self, read_only: bool) -> None:
        """Restart without an archive run; what is not archived comes back from the log."""
        if read_only:
            store = TieredStore.open_read_only(self.data, clock=self.clock)
        else:
            self.store.close()
            self.store = store = self.open()
        for table, rows, keys in self.appends:
            if rows[-1]["seq"] > store.seq_archived:
                store.append(table, oracle.make_batch(table, rows), oracle.make_keys(keys))
        for table, rows in self.rows.items():
            assert store.scan(table).to_pylist() == oracle.scan(rows)
        if read_only:
            store.close()

    def ask(self, seed: int) -> None:
        """Ask many questions at once; the seed stands for them."""
        self.random = random.Random(seed)
        for _ in range(12):
            table = self.random.choice(["trades", "trades", "quotes", "quarantine"])
            question = self.random.choice(
                [self.scan, self.scan, self.scan_seq, self.find_trade, self.touched, self.seen]
            )
            question(table)
            self.span(table)

    def maybe(self, choose: Callable[[], Any]) -> Any:
        return self.random.choice([None, choose()])

    def any_time(self) -> int:
        return self.random.randrange(3) * DAY + self.random.randrange(6)

    def any_seq(self) -> int:
        return self.random.randrange(self.seq + 2)

    def scan(self, table: str) -> None:
        seq_max = self.maybe(self.any_seq)
        recv_max = self.maybe(lambda: 1_000_000 + self.any_seq() * 10)
        query = {
            "instrument": self.maybe(lambda: self.random.randint(1, 3)),
            "start": self.maybe(self.any_time),
            "end": self.maybe(self.any_time),
            "descending": self.random.random() < 0.5,
            "limit": self.maybe(lambda: self.random.randint(1, 12)),
            "amended": self.random.random() < 0.7,
        }
        rows = self.rows[table]
        place = self.random.choice(rows) if rows else {"ts_event": 0, "seq": 0}
        after = self.maybe(lambda: (place["ts_event"], place["seq"] + self.random.randrange(2)))
        expected = oracle.scan(rows, seq_max=seq_max, ts_recv_max=recv_max, after=after, **query)
        query |= {
            "as_of": AsOf(seq_max, recv_max),
            "after": None if after is None else Cursor(*after),
        }
        assert self.store.scan(table, **query).to_pylist() == expected, query
        part = self.store.scan(table, columns=["feed", "seq"], **query)
        assert part.to_pylist() == [{"feed": r["feed"], "seq": r["seq"]} for r in expected], query

    def scan_seq(self, table: str) -> None:
        after_seq, upto_seq = sorted((self.any_seq(), self.any_seq()))
        wanted = self.maybe(lambda: self.random.sample([1, 2, 3], self.random.randint(0, 2)))
        start = self.maybe(self.any_time)
        limit = self.random.randint(1, 30)
        found = self.store.scan_seq(
            table, after_seq, upto_seq, instruments=wanted, start=start, limit=limit
        )
        assert found.to_pylist() == oracle.scan_seq(
            self.rows[table], after_seq, upto_seq, wanted, start, limit
        )

    def find_trade(self, table: str) -> None:
        seq, trades = self.any_seq(), self.rows["trades"]
        named = [row for row in trades if row["seq"] == seq]
        root = (named[0]["ref_seq"] or seq) if named else seq
        expected = [r for r in oracle.shown(trades) if (r["ref_seq"] or r["seq"]) == root]
        assert self.store.find_trade(seq).to_pylist() == expected

    def touched(self, table: str) -> None:
        start, end, seq_max = self.any_time(), self.any_time(), self.maybe(self.any_seq)
        ts, seq = self.store.amendment_seqs(1, start, end, AsOf(seq_max))
        found = set(zip(ts.tolist(), seq.tolist(), strict=True))
        assert found == oracle.touched(self.rows["trades"], 1, start, end, seq_max)

    def seen(self, table: str) -> None:
        numbers = [self.any_seq() for _ in range(15)]
        found = self.store.seen(table, oracle.make_keys(numbers))
        assert found.tolist() == [n != 0 and n in self.keys[table] for n in numbers]

    def span(self, table: str) -> None:
        instrument = self.maybe(lambda: self.random.randint(1, 3))
        times = [
            row["ts_event"]
            for row in self.rows[table]
            if instrument is None or row["instrument"] == instrument
        ]
        expected = (min(times), max(times)) if times else None
        assert self.store.span(table, instrument) == expected

    def counted(self) -> None:
        for table, status in self.store.status().tables.items():
            assert status.rows_archived + status.rows_in_memory == len(self.rows.get(table, []))

    def verify(self) -> None:
        verified = verify_archive(self.data)
        assert verified.findings == ()
        assert verified.rows == sum(
            row["seq"] <= self.store.seq_archived for rows in self.rows.values() for row in rows
        )


append = st.tuples(
    st.just("append"), tables, st.lists(st.tuples(instruments, times), min_size=1, max_size=14)
)
amend = st.tuples(
    st.just("amend"), st.integers(0, 10**6), maybe_times, st.booleans(), st.booleans()
)
upkeep = st.sampled_from([("checkpoint",), ("compact",), ("reopen", False), ("reopen", True)])
steps = st.lists(append | append | amend | upkeep, min_size=4, max_size=14)


@settings(max_examples=60, deadline=None)
@given(first=append, steps=steps, seed=st.integers(0, 2**32))
def test_store_behaves_like_a_list(first: Step, steps: list[Step], seed: int) -> None:
    model = Model()
    try:
        for number, (name, *arguments) in enumerate([first, *steps]):
            getattr(model, name)(*arguments)
            model.ask(seed + number)
            model.counted()
        model.verify()
    finally:
        model.close()
