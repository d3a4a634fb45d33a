from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from log_kit import lines_of
from plant_kit import NOW, WAIT_S, Clock, amend, open_plant, submit, trades
from tickplant.formats.parsed import incoming_batch
from tickplant.model.errors import FolderInUse, InvalidBody, NotFound, Stopping
from tickplant.model.events import Flag
from tickplant.observe.context import bind, unbind
from tickplant.plant.inbox import new_future
from tickplant.plant.submission import Submission
from tickplant.store.contract import AsOf


def test_rows_are_numbered_without_holes_and_read_back(tmp_path: Path) -> None:
    with open_plant(tmp_path) as plant:
        first = submit(plant, symbol=["eurusd", "ibm"], price=[1.1, 180.0])
        second = submit(plant, "quotes", symbol=["EURUSD"], bid_price=[1.0], ask_price=[1.2])
        assert (first.seq_first, first.seq_last) == (1, 2)
        assert (second.seq_first, second.seq_last) == (3, 3)
        row = trades(plant, "EURUSD")[0]
        assert (row["price"], row["ts_event"], row["ts_recv"]) == (1.1, NOW, NOW)
        assert plant.registry.resolve("ibm").name == "ORIGIN:IBM"


def test_the_same_trade_again_is_a_duplicate_even_after_a_restart(tmp_path: Path) -> None:
    with open_plant(tmp_path) as plant:
        assert submit(plant, symbol=["A"] * 3, price=[1.0, 2, 3], id=["x", "y", "x"]).accepted == 2
        again = submit(plant, symbol=["A", "B"], price=[1.0, 1.0], id=["y", "y"])
        assert (again.accepted, again.duplicates) == (1, 1)
    with open_plant(tmp_path) as plant:
        after = plant.seq_last + 1
        again = submit(plant, symbol=["A", "B", "A"], price=[1.0] * 3, id=["x", "y", "z"])
        assert (again.accepted, again.duplicates, again.seq_first) == (1, 2, after)


def test_a_key_makes_quotes_idempotent(tmp_path: Path) -> None:
    with open_plant(tmp_path) as plant:
        quote = {"symbol": ["A", "A"], "bid_price": [1.0, 1.0], "key": [b"k1", b"k2"]}
        assert submit(plant, "quotes", **quote).accepted == 2
        assert submit(plant, "quotes", **quote).duplicates == 2


def test_good_rows_are_taken_and_bad_ones_quarantined(tmp_path: Path) -> None:
    with open_plant(tmp_path) as plant:
        receipt = submit(plant, symbol=["A", "A", None], price=[1.0, -1.0, 2.0])
        assert receipt.accepted == 1
        assert [(r.index, r.reason) for r in receipt.rejected] == [
            (1, "price_not_positive"),
            (2, "symbol_missing"),
        ]
    with open_plant(tmp_path) as plant:
        kept = plant.history.quarantine(limit=10).to_pylist()
        assert [row["reason"] for row in kept] == ["price_not_positive", "symbol_missing"]
        assert '"price":-1.0' in kept[0]["row"]
        only = plant.history.quarantine(reason="symbol_missing", limit=1)
        assert only["seq"].to_pylist() == [3]


def test_strict_takes_all_or_nothing(tmp_path: Path) -> None:
    with open_plant(tmp_path) as plant:
        with pytest.raises(InvalidBody, match=r"^1 row is bad and strict") as caught:
            submit(plant, symbol=["A", "A"], price=[1.0, -1.0], strict=True)
        assert caught.value.complaints[0].loc == ("body", 1)
        assert plant.seq_last == 0
        assert not list(plant.registry), "a refused body registers nothing"
        assert submit(plant, symbol=["A"], price=[1.0], strict=True).seq_first == 1


def test_unknown_symbols_can_be_refused(tmp_path: Path) -> None:
    with open_plant(tmp_path) as plant:
        submit(plant, symbol=["A"], price=[1.0])
    with open_plant(tmp_path, checks__unknown_symbols="refuse") as plant:
        receipt = submit(plant, symbol=["A", "B"], price=[1.0, 1.0])
        assert receipt.accepted == 1
        assert receipt.rejected[0].reason == "symbol_unknown"
        assert "ORIGIN:B is not registered" in receipt.rejected[0].detail


def test_corrections_and_cancels_are_events_and_the_past_stays(tmp_path: Path) -> None:
    with open_plant(tmp_path, clock := Clock()) as plant:
        submit(plant, symbol=["A", "A"], price=[10.0, 20.0], size=[1.0, 2.0])
        clock.now += 1
        corrected = amend(plant, "A", 1, {"price": 11.0})
        assert [(r["seq"], r["price"]) for r in trades(plant, "A")] == [(2, 20.0), (3, 11.0)]
        assert trades(plant, "A")[1]["flags"] == Flag.CORRECTION
        again = amend(plant, "A", corrected, {"size": 5.0})
        assert trades(plant, "A")[1]["ref_seq"] == 1
        cancelled = amend(plant, "A", 1, None)
        assert [r["seq"] for r in trades(plant, "A")] == [2]
        before = {
            seq: [r["price"] for r in trades(plant, "A", as_of=AsOf(seq_max=seq))]
            for seq in (2, corrected, again, cancelled)
        }
        assert before == {2: [10.0, 20.0], 3: [20.0, 11.0], 4: [20.0, 11.0], 5: [20.0]}
        assert [r["price"] for r in trades(plant, "A", as_of=AsOf(ts_recv_max=NOW))] == [10.0, 20.0]
        with pytest.raises(NotFound):
            amend(plant, "A", 1, {"price": 1.0})
    with open_plant(tmp_path) as plant:
        assert [r["seq"] for r in trades(plant, "A")] == [2]


@pytest.mark.parametrize(
    ("symbol", "seq", "changes", "error", "words"),
    [
        ("B", 1, {"price": 1.0}, NotFound, "no trade of this symbol"),
        ("A", 99, None, NotFound, "99"),
        ("A", 1, {"price": -1.0}, InvalidBody, "price: -1"),
        ("A", 1, {"colour": 1}, InvalidBody, "price, size, side, conditions, ts_event"),
        ("A", 1, {"ts_event": 1}, InvalidBody, "ts_event"),
    ],
)
def test_bad_amendments_are_refused_by_name(
    tmp_path: Path, symbol: str, seq: int, changes: dict | None, error: type, words: str
) -> None:
    with open_plant(tmp_path) as plant:
        submit(plant, symbol=["A", "B"], price=[10.0, 20.0])
        with pytest.raises(error, match=words):
            amend(plant, symbol, seq, changes)
        assert plant.seq_last == 2


def test_a_folder_has_one_owner(tmp_path: Path) -> None:
    with open_plant(tmp_path), pytest.raises(FolderInUse, match="in use by process"):
        open_plant(tmp_path).__enter__()
    with open_plant(tmp_path) as plant:
        assert plant.run == 2


def test_each_run_knows_where_it_began(tmp_path: Path) -> None:
    with open_plant(tmp_path) as plant:
        assert (plant.run, plant.run_base(1), plant.run_base(9)) == (1, 0, None)
        submit(plant, symbol=["A"], price=[1.0])
    with open_plant(tmp_path) as again:
        assert (again.run, again.run_base(2)) == (2, plant.seq_last)


def test_a_stopped_plant_accepts_nothing(tmp_path: Path) -> None:
    with open_plant(tmp_path) as plant:
        assert plant.readiness() == (True, "accepting")
    assert not plant.readiness()[0]
    with pytest.raises(Stopping, match="stopped"):
        submit(plant, symbol=["A"], price=[1.0])


def test_many_producers_at_once_are_each_told_their_own_numbers(tmp_path: Path) -> None:
    with open_plant(tmp_path) as plant:
        futures = []
        for number in range(300):
            rows = incoming_batch(
                "trades", symbol=[f"S{number % 7}"] * 3, price=[1.0, -1.0, number + 1.0],
                id=[f"{number}a", f"{number}b", f"{number}c"],
            )  # fmt: skip
            futures.append(plant.submit(Submission("trades", rows)))
        receipts = [future.result(WAIT_S) for future in futures]
        assert all((r.accepted, [x.index for x in r.rejected]) == (2, [1]) for r in receipts)
        rows = {r["seq"]: r for s in range(7) for r in trades(plant, f"S{s}")}
        for number, receipt in enumerate(receipts):
            last = rows[receipt.seq_last]
            assert (last["id"], last["price"]) == (f"{number}c", number + 1.0)
        numbers = plant.history.quarantine()["seq"].to_pylist() + list(rows)
        assert sorted(numbers) == list(range(1, 901))


def test_what_was_not_archived_comes_back_from_the_journal(tmp_path: Path) -> None:
    with open_plant(tmp_path) as plant:
        submit(plant, symbol=["A"] * 4, price=[1.0, 2, 3, 4], id=["a", "b", "c", "d"])
        plant._archive_all = lambda: None  # as after a crash: only the journal has the rows
    with open_plant(tmp_path) as plant:
        assert plant.store.seq_archived == 0
        assert [r["price"] for r in trades(plant, "A")] == [1.0, 2.0, 3.0, 4.0]
        assert submit(plant, symbol=["A"], price=[9.0], id=["c"]).duplicates == 1


def test_what_the_plants_thread_logs_names_the_requests(tmp_path: Path) -> None:
    with open_plant(tmp_path) as plant, lines_of("tickplant.plant.plant") as written:
        plant._acceptor.accept = lambda *given: 1 // 0  # type: ignore[method-assign,assignment]
        held, busy = threading.Event(), threading.Event()
        plant._inbox.call(lambda: (held.set(), busy.wait()), new_future())
        assert held.wait(20)  # so that it takes what follows together
        flying = []
        for name in ("r-1", "r-2", "r-2"):
            token = bind(request=name)
            rows = incoming_batch("trades", symbol=["A"], price=[1.0])
            flying.append(plant.submit(Submission("trades", rows)))
            unbind(token)
        busy.set()
        for one in flying:
            assert isinstance(one.exception(20), ZeroDivisionError)
    (line,) = map(json.loads, written.getvalue().splitlines())
    assert (line["message"], line["request"]) == ("a batch could not be accepted", ["r-1", "r-2"])
