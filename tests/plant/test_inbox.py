"""Small submissions wait for each other only where many are under way."""

from __future__ import annotations

from concurrent.futures import Future

import pytest

from tickplant.formats.parsed import incoming_batch
from tickplant.plant.inbox import LINGER_S, SMALL_ROWS, UNDER_WAY, Inbox, Submitted, settle
from tickplant.plant.submission import Submission


def submitted(inbox: Inbox, rows: int = 1) -> Future[object]:
    batch = incoming_batch("trades", symbol=["A"] * rows, price=[1.0] * rows)
    return inbox.submit(Submission("trades", batch, "v"), 0)  # type: ignore[return-value]


@pytest.mark.parametrize(("under_way", "answered", "rows", "lingers"), [
    (UNDER_WAY, 0, 1, True),
    (UNDER_WAY + 3, 3, 1, True),
    (UNDER_WAY - 1, 0, 1, False),
    (UNDER_WAY + 3, 4, 1, False),
    (UNDER_WAY, 0, SMALL_ROWS, False),
])  # fmt: skip
def test_who_is_many_is_waited_for(under_way: int, answered: int, rows: int, lingers: bool) -> None:
    slept: list[float] = []
    inbox = Inbox(10**6, sleep=slept.append)
    futures = [submitted(inbox, rows) for _ in range(under_way)]
    for future in futures[:answered]:
        settle(future, None)
    assert len(inbox.take(10**6)) == under_way
    assert slept == ([LINGER_S] if lingers else [])


def test_what_comes_meanwhile_is_taken_with_it() -> None:
    inbox = Inbox(10**6, sleep=lambda _: submitted(inbox))
    for _ in range(UNDER_WAY):
        submitted(inbox)
    assert len([item for item in inbox.take(10**6) if isinstance(item, Submitted)]) == UNDER_WAY + 1
