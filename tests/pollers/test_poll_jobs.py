import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickplant.feeds.contract import Feed
from tickplant.feeds.pollers.jobs import FILE, JOBS_MAX, PollJobs
from tickplant.feeds.pollers.poller import PollFeed
from tickplant.feeds.pollers.provider import Answer, Price
from tickplant.model.errors import (
    InvalidParameter,
    NotFound,
    NotInstalled,
    Overloaded,
    PassingError,
)
from tickplant.store.disk import Disk

NOW = 1_700_000_000_000_000_000


class One:
    name, venue = "one", "ONE"

    async def fetch(self, symbols: Sequence[str]) -> Answer:
        return Answer([Price(symbol, price=1.0) for symbol in symbols])


class Runs:
    """Keeps the feeds that it is to run, by name."""

    def __init__(self) -> None:
        self.feeds: dict[str, Feed] = {}

    def add(self, feed: Feed) -> None:
        assert feed.name not in self.feeds
        self.feeds[feed.name] = feed

    async def remove(self, name: str) -> None:
        del self.feeds[name]


def missing() -> Any:
    raise NotInstalled("provider", "yfinance", "yahoo")


def jobs_in(folder: Path, runs: Runs | None = None, **options: Any) -> PollJobs:
    numbers = iter(range(10**6))
    return PollJobs(
        folder, {"one": One, "yahoo": missing}, runs or Runs(), clock=lambda: NOW,
        **{"new_id": lambda: f"j{next(numbers)}", **options},
    )  # fmt: skip


async def test_a_job_runs_is_listed_and_is_cancelled(tmp_path: Path) -> None:
    runs = Runs()
    jobs = jobs_in(tmp_path, runs)
    made = await jobs.create(["btc-usd", "A", "BTC-USD"], 60, "One")
    assert made["job_id"] == "j0"
    assert made["status"] == "accepted"
    assert made["config"] == {"symbols": ["A", "BTC-USD"], "interval": 60.0, "provider": "one"}
    feed = runs.feeds["poll-j0"]
    assert isinstance(feed, PollFeed)
    assert (feed.symbols, feed.venue, feed.instruments) == (("A", "BTC-USD"), "ONE", 2)
    assert jobs.list() == [jobs.show("j0")] == [made]
    feed.count.polls, feed.count.last_poll = 3, NOW
    assert jobs.show("j0")["status"] == "running"
    feed.count.error = "down"
    assert jobs.show("j0")["status"] == "failing"
    assert (await jobs.cancel("j0"))["status"] == "cancelled"
    assert (runs.feeds, jobs.list()) == ({}, [])
    with pytest.raises(NotFound, match="j0"):
        jobs.show("j0")
    with pytest.raises(NotFound, match="j0"):
        await jobs.cancel("j0")


async def test_asking_for_the_same_again_finds_the_job(tmp_path: Path) -> None:
    jobs = jobs_in(tmp_path)
    made = await jobs.create(["A", "B"], 5, "one")
    assert await jobs.create(["b", "a"], 5.0, "ONE") == made
    assert (await jobs.create(["A", "B"], 6, "one"))["job_id"] != made["job_id"]
    assert len(jobs.list()) == 2


async def test_jobs_are_kept_over_a_restart(tmp_path: Path) -> None:
    jobs = jobs_in(tmp_path)
    kept = await jobs.create(["A"], 5, "one")
    gone = await jobs.create(["B"], 5, "one")
    await jobs.cancel(gone["job_id"])
    runs = Runs()
    again = jobs_in(tmp_path, runs)
    again.resume()
    assert again.list() == [kept]
    assert list(runs.feeds) == [kept["feed"]]
    assert await again.create(["A"], 5, "one") == kept


async def test_a_kept_job_whose_provider_is_gone_says_why_and_can_be_cancelled(
    tmp_path: Path,
) -> None:
    jobs = jobs_in(tmp_path)
    await jobs.create(["A"], 5, "one")
    again = PollJobs(tmp_path, {"other": One}, Runs(), clock=lambda: NOW)
    again.resume()
    (shown,) = again.list()
    assert (shown["status"], shown["feed"]) == ("failed", None)
    assert "provider" in shown["error"]
    assert (await again.cancel(shown["job_id"]))["status"] == "cancelled"


class Refusing(Disk):
    def write_file(self, path: Path, data: bytes | memoryview) -> int:
        raise OSError(28, "No space left on device")


async def test_a_job_that_cannot_be_kept_does_not_run(tmp_path: Path) -> None:
    runs = Runs()
    jobs = jobs_in(tmp_path, runs, disk=Refusing())
    with pytest.raises(PassingError, match="No space"):
        await jobs.create(["A"], 5, "one")
    assert (jobs.list(), runs.feeds) == ([], {})


@pytest.mark.parametrize("text", ['{"jobs": 5}', "{", "", '{"jobs": [{"job_id": 1}]}'])
async def test_a_file_that_cannot_be_read_is_put_aside(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE).write_text(text)
    jobs = jobs_in(tmp_path)
    jobs.resume()
    assert jobs.list() == []
    made = await jobs.create(["A"], 5, "one")
    assert (tmp_path / FILE).with_suffix(".unreadable").read_text() == text
    again = jobs_in(tmp_path)
    again.resume()
    assert again.list() == [made]


async def test_jobs_have_a_bound(tmp_path: Path) -> None:
    class Quick(Disk):
        def write_file(self, path: Path, data: bytes | memoryview) -> int:
            path.write_bytes(data)
            return 0

        def sync_folder(self, path: Path) -> None:
            pass

    jobs = jobs_in(tmp_path, disk=Quick())
    for number in range(JOBS_MAX):
        await jobs.create([f"S{number}"], 5, "one")
    with pytest.raises(Overloaded, match="cancel one"):
        await jobs.create(["A"], 5, "one")
    assert len(json.loads((tmp_path / FILE).read_text())["jobs"]) == JOBS_MAX


ANY = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.lists(
    st.integers() | st.text(max_size=3), max_size=3)  # fmt: skip


@given(ANY, ANY, ANY)
def test_whatever_is_asked_for_is_a_job_or_refused_by_name(
    symbols: Any, interval: Any, provider: Any
) -> None:
    for given_ in ((symbols, 5, "one"), (["A"], interval, "one"), (["A"], 5, provider)):
        jobs = PollJobs(Path("/nowhere"), {"one": One}, Runs(), clock=lambda: NOW, disk=Refusing())
        # What is good as it was is then not kept.
        with pytest.raises((InvalidParameter, PassingError)) as caught:
            asyncio.run(jobs.create(*given_))
        named = str(caught.value).split(":", maxsplit=1)[0]
        assert named in ("symbols", "interval", "provider") or "No space" in named


async def test_a_provider_that_is_not_installed_says_what_to_install(tmp_path: Path) -> None:
    jobs = jobs_in(tmp_path)
    for name in ("yahoo", "yfinance"):
        with pytest.raises(NotInstalled, match=r"tickplant\[yahoo\]"):
            await jobs.create(["A"], 5, name)
    assert jobs.list() == []
