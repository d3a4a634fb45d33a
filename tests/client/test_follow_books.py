"""What a client sends after a lost connection, where it follows books."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tickplant.client.follow import Follower


def frame(op: str, **fields: Any) -> bytes:
    return msgspec.msgpack.encode({"op": op, **fields})


def step(seq: int, **more: Any) -> dict[str, Any]:
    return {"symbol": "X", "seq": seq, "action": "update", "bids": [], "asks": [], **more}


def began(**options: Any) -> Follower:
    follower = Follower("books", "X", **options)
    follower.hello()
    follower.take(frame("subscribed", seq=10, run=1))
    return follower


def wish(follower: Follower) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.msgpack.decode(follower.hello())
    return found


def test_before_its_snapshot_is_whole_it_begins_again() -> None:
    follower = began()
    first = step(7, action="snapshot", state="live")
    assert follower.take(frame("data", channel="books", events=[first])) == [first]
    assert "from" not in wish(follower)


def test_after_it_goes_on_behind_the_last_step_and_takes_none_twice() -> None:
    follower = began()
    snapshot = step(12, action="snapshot", state="live")
    follower.take(frame("data", channel="books", events=[snapshot], seq=10))
    follower.take(frame("data", channel="books", events=[step(13), step(15)]))
    assert {name: wish(follower)[name] for name in ("from", "run")} == {"from": 15, "run": 1}
    follower.take(frame("subscribed", seq=15, run=1))
    again = follower.take(frame("data", channel="books", events=[step(15), step(18)], seq=18))
    assert [one["seq"] for one in again] == [18]
    assert follower.seq == 18


@pytest.mark.parametrize("options", [{"depth": 5}, {"rate_ms": 100}])
def test_the_best_levels_always_begin_with_the_present(options: dict[str, Any]) -> None:
    follower = began(**options)
    follower.take(frame("data", channel="books", events=[step(12, mid=1.0, state="live")], seq=12))
    assert "from" not in wish(follower)
