"""Importing files: what is read, what is refused, and that nothing is stored twice."""

from __future__ import annotations

import gzip
import json
import random
from collections import Counter
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from realdata import real
from tickplant.feeds import filesources
from tickplant.feeds.files import IN_FLIGHT_MAX, Totals, import_files
from tickplant.model.errors import InvalidBody, InvalidParameter, Overloaded
from tickplant.plant.submission import Receipt, Submission

NS = 1_399_420_800_000_000_000


class Shelf:
    """A sink that keeps rows by their key or id, as a plant does."""

    def __init__(self) -> None:
        self.rows: dict[tuple[Any, ...], dict[str, Any]] = {}
        self.submissions: list[Submission] = []

    def submit(self, submission: Submission) -> Future[Receipt]:
        self.submissions.append(submission)
        accepted = 0
        for row in submission.rows.to_pylist():
            name = (row["symbol"], row["venue"], row.get("id"), row["key"])
            assert name[2] or name[3], "a row without an identity would be stored twice"
            accepted += name not in self.rows
            self.rows.setdefault(name, row)
        doubles = submission.rows.num_rows - accepted
        done: Future[Receipt] = Future()
        done.set_result(Receipt(accepted, doubles, tuple(submission.unreadable), None, None))
        return done

    def contents(self) -> Counter[tuple[Any, ...]]:
        return Counter(tuple(v for k, v in row.items() if k != "key") for row in self.rows.values())


def put(sink: Shelf, *paths: Path, **options: Any) -> Totals:
    return import_files([str(path) for path in paths], sink=sink, **{"venue": "X"} | options)


def write(folder: Path, text: str | bytes, name: str = "f.csv") -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


TRADES = [
    {"ts": NS + (i // 3) * 1_000, "ticker": "ab"[i % 2], "price": 1.0 + i % 5, "qty": i % 2 * 100}
    for i in range(600)
]
READ = Counter(
    (t["ticker"], None, t["ts"], t["price"], float(t["qty"]), 0, None, None, None) for t in TRADES
)


def as_csv(rows: list[dict[str, Any]], mark: str = ",") -> bytes:
    lines = [mark.join(rows[0]), *(mark.join(map(str, row.values())) for row in rows)]
    return ("\n".join(lines) + "\n").encode()


def as_ndjson(rows: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def as_parquet(rows: list[dict[str, Any]]) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows), sink)
    return sink.getvalue().to_pybytes()


KINDS = {
    "csv": as_csv, "csv.gz": lambda rows: gzip.compress(as_csv(rows)),
    "tsv": lambda rows: as_csv(rows, "\t"), "ndjson": as_ndjson,
    "ndjson.gz": lambda rows: gzip.compress(as_ndjson(rows)), "parquet": as_parquet,
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_file_gives_the_same_rows(kind: str, tmp_path: Path) -> None:
    shelf = Shelf()
    totals = put(shelf, write(tmp_path, KINDS[kind](TRADES), f"f.{kind}"))
    assert (totals.rows, totals.accepted, totals.duplicates) == (600, 600, 0)
    assert shelf.contents() == READ
    assert {s.table for s in shelf.submissions} == {"trades"}
    assert all(s.venue == "X" and s.feed == "import" for s in shelf.submissions)


def test_one_content_in_several_kinds_of_files_is_stored_once(tmp_path: Path) -> None:
    shelf = Shelf()
    for kind, make in KINDS.items():
        put(shelf, write(tmp_path, make(TRADES), f"f.{kind}"))
    assert shelf.contents() == READ


@pytest.mark.parametrize("rows_max", [7, 100, 1_000])
@pytest.mark.parametrize("kind", ["csv", "ndjson", "parquet"])
def test_another_order_and_overlapping_files_add_nothing(
    kind: str, rows_max: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf = Shelf()
    put(shelf, write(tmp_path, KINDS[kind](TRADES)))
    monkeypatch.setattr(filesources, "CHUNK_ROWS", rows_max)
    monkeypatch.setattr(filesources, "CHUNK_BYTES", 40 * rows_max)
    shuffled = random.Random(1).sample(TRADES, len(TRADES))
    totals = put(shelf, write(tmp_path, KINDS[kind](shuffled), "g"))
    assert len(shelf.submissions) > 600 // rows_max // 2
    assert (totals.accepted, totals.duplicates) == (0, 600)
    half = put(shelf, write(tmp_path, KINDS[kind](TRADES[200:500]), "h"))
    assert (half.accepted, half.duplicates) == (0, 300)
    assert shelf.contents() == READ


def test_identical_rows_of_one_file_are_all_kept_even_far_apart(tmp_path: Path) -> None:
    row = {"ts_event": NS, "symbol": "A", "price": 1.0, "size": 2.0}
    others = [row | {"size": float(i)} for i in range(10, 200)]
    shelf = Shelf()
    totals = put(shelf, write(tmp_path, as_csv([row, row, *others, row])))
    assert totals.accepted == 193
    more = put(shelf, write(tmp_path, as_csv([row] * 4), "more.csv"))
    assert (more.accepted, more.duplicates) == (1, 3)


def test_rows_with_an_id_keep_it_and_need_no_key(tmp_path: Path) -> None:
    shelf = Shelf()
    text = f"symbol,price,ts_event,trade_id\nA,1,{NS},7\nA,1,{NS},\nA,1,{NS},8\n"
    put(shelf, write(tmp_path, text))
    rows = shelf.submissions[0].rows
    assert rows.column("id").to_pylist() == ["7", None, "8"]
    assert [key is None for key in rows.column("key").to_pylist()] == [True, False, True]


def test_a_real_file_is_imported_once_with_all_its_equal_rows() -> None:
    path = real("trades/ibm-20131007.csv.gz")
    with gzip.open(path, "rt") as file:
        lines = file.read().splitlines()[1:]
    shelf = Shelf()
    calls: list[tuple[int, int, int]] = []
    totals = put(shelf, path, venue="NYSE", progress=lambda *done: calls.append(done))
    assert totals.accepted == totals.rows == len(lines) == 24_293
    assert len(set(lines)) < len(lines)
    assert put(shelf, path, venue="NYSE").duplicates == len(lines)
    size = path.stat().st_size
    assert calls[-1] == (size, size, len(lines))
    assert [done for done, *_ in calls] == sorted(done for done, *_ in calls)


def test_quotes_are_known_by_their_columns(tmp_path: Path) -> None:
    shelf = Shelf()
    text = f"Time,Symbol,Bid,Ask,BidSize,ask_size\n{NS},E,1.1,1.2,5,\n"
    put(shelf, write(tmp_path, text))
    assert shelf.submissions[0].table == "quotes"
    row = shelf.submissions[0].rows.to_pylist()[0]
    assert (row["bid_price"], row["ask_price"], row["bid_size"], row["ask_size"]) == (
        1.1, 1.2, 5.0, None
    )  # fmt: skip


@pytest.mark.parametrize("kind", ["csv", "ndjson", "parquet"])
def test_columns_may_be_chosen_and_the_symbol_given(kind: str, tmp_path: Path) -> None:
    rows = [{"t": NS, "last_px": 1.5, "price": 9.0, "n": "Q"}]
    shelf = Shelf()
    chosen = {"price": "last_px", "exchange": "n"}
    put(shelf, write(tmp_path, KINDS[kind](rows)), symbol="eurusd", mapping=chosen)
    row = shelf.submissions[0].rows.to_pylist()[0]
    assert (row["symbol"], row["price"], row["exchange"]) == ("eurusd", 1.5, "Q")


@pytest.mark.parametrize(("value", "options", "wanted"), [
    ("1399420800", {}, NS), ("1399420800123", {}, NS + 123_000_000),
    ("1399420800123456", {}, NS + 123_456_000), (f"{NS + 1}", {}, NS + 1),
    ("86400", {"time_unit": "s"}, 86_400 * 10**9), ("86400", {"time_unit": "ns"}, 86_400),
    ("1399420800.5", {}, NS + 500_000_000), ("1399420800123.25", {}, NS + 123_250_000),
    ("2014-05-07T00:00:00Z", {}, NS), ("2014-05-07T02:00:00.25+02:00", {}, NS + 250_000_000),
    ("2014-05-06 20:00:00", {"timezone": "America/New_York"}, NS),
    ("2014-05-07", {"timezone": "UTC"}, NS),
    ("2014-05-07T00:00:00Z", {"timezone": "America/New_York"}, NS),
])  # fmt: skip
def test_times_of_files(value: str, options: dict[str, str], wanted: int, tmp_path: Path) -> None:
    for kind in ("csv", "ndjson", "parquet"):
        bare = value.isdigit() and kind != "csv"
        rows = [{"time": int(value) if bare else value, "symbol": "A", "price": 1.0}]
        shelf = Shelf()
        put(shelf, write(tmp_path, KINDS[kind](rows)), **options)
        assert shelf.submissions[0].rows.column("ts_event").to_pylist() == [wanted], kind


@pytest.mark.parametrize(("column", "options"), [
    (pa.array([NS // 1000], pa.timestamp("us", "Asia/Tokyo")), {}),
    (pa.array([NS // 1000], pa.timestamp("us")), {"timezone": "UTC"}),
    (pa.array([16_197], pa.date32()), {"timezone": "UTC"}),
    (pa.array([1_399_420_800.0]), {}), (pa.array([1_399_420_800], pa.int32()), {}),
    (pa.array(["2014-05-07T00:00:00Z"]).dictionary_encode(), {}),
])  # fmt: skip
def test_times_of_parquet_types(column: pa.Array, options: dict[str, str], tmp_path: Path) -> None:
    table = pa.table({"time": column, "symbol": ["A"], "price": [1.0]})
    pq.write_table(table, tmp_path / "f.parquet")
    shelf = Shelf()
    put(shelf, tmp_path / "f.parquet", **options)
    assert shelf.submissions[0].rows.column("ts_event").to_pylist() == [NS]


HEAD = "ts_event,symbol,price\n"


@pytest.mark.parametrize(("text", "options", "words"), [
    ("", {}, ["empty"]),
    ("symbol,price\nA,1\n", {}, ["ts_event"]),
    ("ts_event,price\n1,1\n", {}, ["symbol"]),
    ("ts_event,symbol\n1,A\n", {}, ["price", "ts_event, symbol"]),
    ("ts_event,symbol,price,bid\n1,A,1,1\n", {}, ["table"]),
    ("time,timestamp,symbol,price\n1,1,A,1\n", {}, ["time and timestamp", "ts_event=time"]),
    (HEAD + "1,A,1\n", {"mapping": {"price": "px"}}, ["no column px"]),
    ("ts_event,symbol,price,price\n1,A,1,1\n", {}, ["price and price"]),
    (HEAD + "2014-05-07T00:00:00,A,1\n", {}, ["column ts_event", "time zone"]),
    (HEAD + f"{NS},A,1\n1399420800,A,1\n", {}, ["several units", "time unit"]),
    (b"\x1f\x8bjunk", {}, ["cannot be read"]), (b"PAR1junk", {}, ["Parquet"]),
    (b"\x00\xff\xfe", {}, ["none of CSV, NDJSON, Parquet"]),
    (b'{"broken\n', {}, ["first line"]),
    (gzip.compress(as_csv(TRADES))[:-40], {}, ["cannot be read"]),
    (HEAD.encode() + b"1399420800,\xff,1\n", {}, ["cannot be read"]),
])  # fmt: skip
def test_what_cannot_be_imported_is_named(
    text: str | bytes, options: dict[str, Any], words: list[str], tmp_path: Path
) -> None:
    path = write(tmp_path, text)
    with pytest.raises(InvalidBody) as refused:
        put(Shelf(), path, **options)
    assert str(path) in str(refused.value)
    for word in words:
        assert word in str(refused.value)


def test_missing_files_and_folders_are_named_before_anything_is_submitted(tmp_path: Path) -> None:
    good, shelf = write(tmp_path, as_csv(TRADES)), Shelf()
    for bad in (tmp_path / "missing.csv", tmp_path):
        with pytest.raises(InvalidBody, match="cannot be opened"):
            put(shelf, good, bad)
    assert shelf.submissions == []


@pytest.mark.parametrize("options", [
    {"table": "candles"}, {"mapping": {"prize": "p"}}, {"time_unit": "h"}, {"timezone": "Mars/X"},
])  # fmt: skip
def test_options_that_are_not_allowed_are_named(options: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(InvalidParameter):
        put(Shelf(), write(tmp_path, as_csv(TRADES)), **options)


def test_bad_rows_are_counted_by_reason_with_their_places(tmp_path: Path) -> None:
    text = HEAD + f"{NS},A,1\n{NS},A,abc\n,A,2\n{NS},A,3\n{NS},A\n"
    shelf = Shelf()
    totals = put(shelf, write(tmp_path, text))
    assert totals.rejected == {"price_invalid": 1, "ts_event_missing": 1, "row_unreadable": 1}
    assert (totals.rows, totals.accepted) == (5, 2)
    assert {r.reason: r.index for r in totals.samples}["price_invalid"] == 1
    assert list(shelf.submissions[0].indexes or ()) == [0, 3]


@pytest.mark.parametrize(("good", "bad", "options"), [
    ("1399420800", "soon", {}), ("1399420800.5", "1.2.3", {}), ("2014-05-07T00:00:00Z", "x", {}),
    ("2014-05-07 02:00:00", "2014-13-07 02:00:00", {"timezone": "Europe/Berlin"}),
    ("2014-05-07 02:00:00", "2014-03-30 02:30:00", {"timezone": "Europe/Berlin"}),
    ("2014-05-07 02:00:00", "2014-10-26 02:30:00", {"timezone": "Europe/Berlin"}),
])  # fmt: skip
def test_a_bad_time_costs_only_its_row(
    good: str, bad: str, options: dict[str, str], tmp_path: Path
) -> None:
    text = HEAD + "".join(f"{bad if i in (3, 70) else good},A,{i + 1}\n" for i in range(100))
    shelf = Shelf()
    totals = put(shelf, write(tmp_path, text), **options)
    assert totals.rejected == {"ts_event_invalid": 2}
    assert [reject.index for reject in totals.samples] == [3, 70]
    assert totals.accepted == 98


@pytest.mark.parametrize("chunk_bytes", [200, 1_000, 1 << 20])
def test_places_of_bad_lines_are_right_across_chunks(
    chunk_bytes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filesources, "CHUNK_BYTES", chunk_bytes)
    lines = [f"{NS},A,{i + 1}" for i in range(300)]
    wrong = [0, 1, 7, 8, 100, 298, 299]
    for place in wrong:
        lines[place] = f"{NS},A" if place % 2 else f"{NS},A,abc"
    shelf = Shelf()
    totals = put(shelf, write(tmp_path, HEAD + "\n".join(lines) + "\n"))
    assert [reject.index for reject in totals.samples] == wrong
    places = [place for s in shelf.submissions for place in s.indexes or ()]
    prices = [p for s in shelf.submissions for p in s.rows.column("price").to_pylist()]
    assert places == [place for place in range(300) if place not in wrong]
    assert prices == [place + 1.0 for place in places]
    assert totals.rows == 300


def test_a_file_of_bad_lines_alone_is_counted(tmp_path: Path) -> None:
    totals = put(Shelf(), write(tmp_path, HEAD + "1,2\n" * 9))
    assert totals.rejected == {"row_unreadable": 9}
    assert (totals.rows, totals.accepted) == (9, 0)


def test_no_more_chunks_than_allowed_are_under_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filesources, "CHUNK_BYTES", 400)
    under_way: list[Future[Receipt]] = []
    most = 0

    class Slow(Future[Receipt]):
        def result(self, timeout: float | None = None) -> Receipt:
            if not self.done():
                under_way.remove(self)
                self.set_result(Receipt(1, 0, (), None, None))
            return super().result(timeout)

    class Sink:
        def submit(self, submission: Submission) -> Future[Receipt]:
            nonlocal most
            under_way.append(Slow())
            most = max(most, len(under_way))
            return under_way[-1]

    path = write(tmp_path, as_csv(TRADES))
    totals = import_files([str(path)], sink=Sink(), venue="X")
    assert most == IN_FLIGHT_MAX
    assert under_way == []
    assert totals.accepted > 10


def test_a_sink_that_refuses_for_now_is_asked_again(tmp_path: Path) -> None:
    class Busy(Shelf):
        refusals = 3

        def submit(self, submission: Submission) -> Future[Receipt]:
            if self.refusals:
                self.refusals -= 1
                if self.refusals == 1:
                    failed: Future[Receipt] = Future()
                    failed.set_exception(Overloaded("full", retry_after_s=0.25))
                    return failed
                raise Overloaded("full", retry_after_s=0.5)
            return super().submit(submission)

    waits: list[float] = []
    shelf = Busy()
    totals = put(shelf, write(tmp_path, as_csv(TRADES)), wait=waits.append)
    assert totals.accepted == 600
    assert waits == [0.5, 0.25, 0.5]


def test_a_sink_that_refuses_for_ever_is_given_up(tmp_path: Path) -> None:
    class Full:
        def submit(self, submission: Submission) -> Future[Receipt]:
            raise Overloaded("full")

    with pytest.raises(Overloaded):
        import_files(
            [str(write(tmp_path, as_csv(TRADES)))], sink=Full(), venue="X", wait=lambda _: None
        )
