"""The gap ledger against a fold in plain Python, however its rows are divided into batches."""

from __future__ import annotations

import time
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from tickplant.plant.coverage import CoverageBook
from tickplant.plant.coverage_keeper import stamp
from tickplant.plant.ledger import Ledger
from tickplant.plant.touches import Touches

FEEDS, NUMBERS = (1, 2), (0, 1, 2, 5)

gap = st.tuples(
    st.just("gap"),
    st.sampled_from(FEEDS),
    st.sampled_from(NUMBERS),
    st.integers(0, 40),
    st.none() | st.integers(0, 60),
)
change = st.tuples(
    st.just("change"),
    st.integers(0, 12),
    st.none() | st.integers(0, 60),
    st.sampled_from([None, "open", "repairing", "repaired", "unrepairable"]),
    st.none() | st.integers(0, 9),
)
steps = st.lists(gap | change, min_size=1, max_size=25)


def rows_of(given_steps: list[tuple[Any, ...]]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for seq, step in enumerate(given_steps, 1):
        if step[0] == "gap":
            _, feed, number, start, end = step
            rows.append(
                {"kind": "gap", "feed": feed, "instrument": number, "start": start, "end": end,
                 "cause": "restart", "status": "open"}
            )  # fmt: skip
        else:
            _, id, end, status, events = step
            rows.append(
                {"kind": "change", "feed": 1, "instrument": 0, "ref_seq": id % seq, "end": end,
                 "status": status, "events": events}
            )  # fmt: skip
    return rows


def folded(rows: list[dict[str, Any]]) -> dict[int, dict[str, Any]]:
    """Return the entries by id, as the rows say one after the other."""
    entries: dict[int, dict[str, Any]] = {}
    for seq, row in enumerate(rows, 1):
        if row["kind"] == "gap":
            end = row["end"]
            entries[seq] = {**row, "events": None, "changed": seq, "touched": 0 if end is None
                            else seq, "hull": row["start"] if end is None else end}  # fmt: skip
        elif (entry := entries.get(row["ref_seq"])) is not None:
            repaired = is_repaired(entry)
            moved = row["end"] is not None and row["end"] != entry["end"]
            for name in ("status", "events", "end"):
                entry[name] = entry[name] if row[name] is None else row[name]
            if row["end"] is not None:
                entry["hull"] = max(entry["hull"], row["end"])
            entry["changed"] = seq
            if moved or repaired != is_repaired(entry):
                entry["touched"] = seq
    return entries


def is_repaired(entry: dict[str, Any]) -> bool:
    """A gap that lasts is not covered, whatever its status says."""
    return entry["status"] == "repaired" and entry["end"] is not None


def batches_of(rows: list[dict[str, Any]], cuts: list[int]) -> list[pa.RecordBatch]:
    edges = sorted({0, len(rows), *(cut % (len(rows) + 1) for cut in cuts)})
    return [stamp(rows[low:high], low + 1, 0) for low, high in pairwise(edges)]


def highest(entries: list[dict[str, Any]], start: int, end: int) -> int:
    hit = [e["touched"] for e in entries if e["touched"] and start < e["hull"] and end > e["start"]]
    return max(hit, default=0)


@settings(max_examples=150, deadline=None)
@given(steps, st.lists(st.integers(0, 25), max_size=4))
def test_entries_and_what_they_touch(given_steps: list[tuple[Any, ...]], cuts: list[int]) -> None:
    rows = rows_of(given_steps)
    ledger = Ledger()
    for batch in batches_of(rows, cuts):
        ledger.take(batch)
    entries = folded(rows)
    assert len(ledger) == len(entries)
    for id, entry in entries.items():
        found = ledger.find(id)
        assert found is not None
        names = ("feed", "instrument", "start", "end", "status", "events", "changed")
        assert {name: getattr(found, name) for name in names} == {n: entry[n] for n in names}
    starts = np.arange(0, 60, 7, dtype=np.int64)
    for feed in FEEDS:
        of_feed = [entry for entry in entries.values() if entry["feed"] == feed]
        numbers = np.array([1, 2, 3, 5, 99], np.int64)
        lasting = [e["start"] for e in of_feed if not e["instrument"] and e["end"] is None]
        last = ledger.lasting(feed)
        assert (None if last is None else last.start) == (lasting[-1] if lasting else None)
        waiting = [entry for entry in of_feed if entry["status"] in ("open", "repairing")]
        assert ledger.unrepaired(feed) == len(waiting)
        since = 20
        at = np.full(numbers.shape, since)
        found_touches = [
            (numbers[which], *rest) for which, *rest in ledger.own_touches(feed, numbers, at)
        ]
        wanted = [e for e in of_feed if e["instrument"] and e["touched"] and e["hull"] > since]
        rows_found = [row for part in found_touches for row in zip(*part, strict=True)]
        assert sorted(rows_found) == sorted(
            (e["instrument"], e["start"], e["hull"], e["touched"]) for e in wanted
        )
        for number, reach in zip(
            numbers.tolist(), ledger.last_ends(feed, numbers, whole=True).tolist(), strict=True
        ):
            mine = [entry for entry in of_feed if entry["instrument"] in (0, number)]
            assert reach == max((e["hull"] for e in mine), default=np.iinfo(np.int64).min)
            touches = ledger.touches(feed, number, whole=True)
            assert touches.highest(starts, starts + 10).tolist() == [
                highest(mine, start, start + 10) for start in starts.tolist()
            ]
            open_spans = [e for e in mine if not is_repaired(e)]
            missing = ledger.missing(feed, number).contains(np.arange(61))
            assert missing.tolist() == [
                any(e["start"] <= ts and (e["end"] is None or ts < e["end"]) for e in open_spans)
                for ts in range(61)
            ]


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 12)), max_size=12),
    st.lists(st.tuples(st.integers(0, 40), st.integers(0, 20)), max_size=8),
)
def test_the_highest_number_that_touches_a_bar(
    gaps: list[tuple[int, int]], bars: list[tuple[int, int]]
) -> None:
    seqs = [(7 * place) % 31 + 1 for place in range(len(gaps))]
    touches = Touches(
        np.array([low for low, _ in gaps], np.int64),
        np.array([low + length for low, length in gaps], np.int64),
        np.array(seqs, np.int64),
    )
    found = touches.highest(
        np.array([low for low, _ in bars], np.int64),
        np.array([low + length for low, length in bars], np.int64),
    )
    assert found.tolist() == [
        max(
            (s for (a, n), s in zip(gaps, seqs, strict=True) if low < a + n and low + length > a),
            default=0,
        )
        for low, length in bars
    ]


def test_a_ledger_of_many_restarts_is_read_by_instrument() -> None:
    instruments, restarts = 5_000, 50
    rows, hour = instruments * restarts, 3_600 * 10**9
    starts = np.repeat(np.arange(restarts, dtype=np.int64) * 24 * hour, instruments)
    columns = {
        "kind": pa.repeat("gap", rows), "feed": np.ones(rows, np.int16),
        "instrument": np.tile(np.arange(1, instruments + 1, dtype=np.int32), restarts),
        "start": starts, "end": starts + hour, "cause": pa.repeat("restart", rows),
        "status": pa.repeat("open", rows), "events": pa.nulls(rows, pa.int64()),
        "detail": pa.nulls(rows, pa.string()), "ref_seq": np.zeros(rows, np.int64),
        "seq": np.arange(1, rows + 1), "ts_recv": starts,
    }  # fmt: skip
    book = CoverageBook()
    began = time.thread_time()
    book.take(pa.table(columns))
    taken_s = time.thread_time() - began
    began = time.thread_time()
    touches = [book.ledger.touches(1, number, whole=False) for number in range(1, 101)]
    read_s = (time.thread_time() - began) / len(touches)
    assert all(len(touch.seqs) == restarts for touch in touches)
    # Ten times what it takes, and a tenth of what a look at every entry would.
    assert taken_s < 1.0
    assert read_s < 0.001
