"""Files of captures: what is kept, what is not, torn ends, rotation, a bound on the whole."""

from __future__ import annotations

import asyncio
import gzip
import json
import threading
from pathlib import Path

import msgspec
import pytest

from cli_kit import run, spawn
from tickplant.cli.capture import parse_span
from tickplant.cli.serve import plan_captures
from tickplant.feeds.capture.alone import header_of
from tickplant.feeds.capture.records import Header, read_header, read_records
from tickplant.feeds.capture.replay import CapturedHttp
from tickplant.feeds.capture.writer import CaptureWriter, Limits
from tickplant.feeds.supervisor.configured import parse_feed, read_feeds
from tickplant.feeds.venues.contract import Frame
from tickplant.feeds.venues.options import Account, VenueOptions
from tickplant.model.errors import ConfigError, InvalidParameter, UserError
from venues.venue_kit import fake_venue

HEADER = Header(feed="f", venue="kraken", streams=[("BTC-USD", "trades")])
BINARY = bytes(range(256))


class Ticking:
    def __init__(self) -> None:
        self.now = 1_700_000_000 * 10**9

    def __call__(self) -> int:
        self.now += 10**7
        return self.now


def write(folder: Path, frames: int = 3, **limits: float) -> CaptureWriter:
    tap = CaptureWriter(folder, HEADER, clock=Ticking(), limits=Limits(**limits))
    tap.answered(1, "/pairs", {"symbol": "A", "apiKey": "hidden"}, 200, b'{"a":1}')
    tap.opened(1, 2, "wss://x/y")
    tap.sent(1, 3, None)
    tap.sent(1, 4, "subscribe")
    tap.received(1, [Frame(5, b"one"), Frame(6, BINARY)])
    for n in range(frames):
        tap.received(1, [Frame(7 + n, b"frame %d" % n * 20)])
    tap.closed(1, 9, "why")
    tap.close()
    assert tap.failed is None
    return tap


def test_what_went_over_the_wire_is_read_back(tmp_path: Path) -> None:
    tap = write(tmp_path, frames=0)
    (path,) = tap.paths
    assert msgspec.structs.replace(read_header(path), began=0) == HEADER
    answer = {"path": "/pairs", "params": {"symbol": "A"}, "status": 200, "body": b'{"a":1}'}
    assert [tuple(record) for record in read_records([path])] == [
        (1, 0, "answered", answer),
        (2, 1, "opened", "wss://x/y"),
        (3, 1, "sent", None),
        (4, 1, "sent", b"subscribe"),
        (5, 1, "received", b"one"),
        (6, 1, "more", BINARY),
        (9, 1, "closed", "why"),
    ]
    lines = gzip.decompress(path.read_bytes()).splitlines()
    assert json.loads(lines[0])["capture"] == 1
    assert b"hidden" not in b"".join(lines)


def test_a_header_holds_no_secret() -> None:
    account = Account(key="KEY", secret="SECRET", token="TOKEN", password="WORD")
    options = VenueOptions("wss://u:p@x/?token=T", "https://x", (account,), {"depth": 10})
    shown = msgspec.json.encode(header_of("f", "kraken", [], options)).decode()
    assert not any(word in shown for word in ("KEY", "SECRET", "TOKEN", "WORD", "wss", "https"))
    assert json.loads(shown)["options"] == {"depth": 10}


def test_a_torn_or_damaged_file_is_read_up_to_there(tmp_path: Path) -> None:
    (path,) = write(tmp_path, frames=200, flush_s=0.0).paths
    whole = path.read_bytes()
    records = [tuple(one) for one in read_records([path])]
    assert len(records) == 207
    for size in range(0, len(whole), 97):
        path.write_bytes(whole[:size])
        found = [tuple(one) for one in read_records([path])]
        assert found == records[: len(found)]
    assert len(found) > 190
    for place in range(20, len(whole), 211):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        try:
            list(read_records([path]))
        except UserError:
            assert place < 400


@pytest.mark.parametrize(
    "content",
    [b"", b"x", gzip.compress(b"[1]\n", mtime=0), gzip.compress(b"{}\n", mtime=0)],
    ids=["nothing", "text", "list", "object"],
)
def test_what_is_no_capture_is_said_to_be_none(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x"
    path.write_bytes(content)
    with pytest.raises(UserError, match="capture"):
        read_header(path)


def test_files_are_rotated_and_the_oldest_go(tmp_path: Path) -> None:
    other = tmp_path / "f-2-20200101T000000.000000Z-0001.capture.gz"  # of a feed called f-2
    other.write_bytes(b"x" * 10_000)
    tap = write(tmp_path, frames=700, file_mb_max=0.002, total_mb_max=0.008, flush_s=0.0)
    kept = sorted(path for path in tmp_path.iterdir() if path != other)
    assert other.exists()
    assert len(tap.paths) > 6
    assert kept == tap.paths[-len(kept) :]
    assert sum(path.stat().st_size for path in kept) <= 0.009 * 2**20
    assert [read_header(path).part for path in kept] == [
        len(tap.paths) - len(kept) + n for n in range(1, len(kept) + 1)
    ]
    aged = write(tmp_path / "aged", frames=100, file_s_max=0.3)
    assert len(aged.paths) > 3
    assert len(list(read_records(aged.paths))) == 107


def test_what_the_disk_is_too_slow_for_is_counted_in_the_capture(tmp_path: Path) -> None:
    gate = threading.Event()
    clock = Ticking()

    def slow() -> int:
        gate.wait(10)
        return clock()

    tap = CaptureWriter(tmp_path, HEADER, clock=slow, limits=Limits(queue_mb_max=0.001))
    for n in range(50):
        tap.received(1, [Frame(n, b"x" * 100)])
    gate.set()
    while tap._bytes:
        gate.wait(0)
    tap.received(1, [Frame(99, b"last")])
    tap.close()
    records = list(read_records(tap.paths))
    lost = [record.data for record in records if record.kind == "lost"]
    assert (sum(lost), len(records) - len(lost) + sum(lost)) == (tap.dropped, 51)
    assert tap.dropped > 30


def test_a_folder_that_cannot_be_written_ends_the_capture_and_nothing_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tap = CaptureWriter(tmp_path, HEADER, clock=Ticking())
    tmp_path.joinpath("x").touch()
    tap._folder = tmp_path / "x"
    tap.opened(1, 2, "wss://x")
    tap.close()
    tap.closed(1, 3, "late")
    assert tap.failed is not None
    assert "cannot be written" in caplog.text


async def test_answers_go_to_who_asked_for_them() -> None:
    http = CapturedHttp()
    asked = asyncio.ensure_future(http.get("/depth", {"symbol": "A", "apiKey": "x"}))
    await asyncio.sleep(0)
    other = {"path": "/depth", "params": {"symbol": "B"}, "status": 200, "body": b"b"}
    assert not http.answer(other)
    assert http.answer({**other, "params": {"symbol": "A"}})
    assert await asked == b"b"


def test_capture_is_a_key_of_a_feed() -> None:
    def plan(**keys: object) -> str | None:
        table = {"venue": "kraken", "symbols": ["BTC-USD"], **keys}
        return read_feeds([table], {})[0].capture

    assert (plan(), plan(capture=True), plan(capture="./x"), plan(capture=False)) == (
        None, "", "./x", None,
    )  # fmt: skip
    (spec,) = read_feeds([parse_feed("kraken:BTC-USD;capture=true")], {})
    assert spec.capture == ""
    with pytest.raises(ConfigError, match="capture: 5 is not allowed"):
        plan(capture=5)


@pytest.mark.parametrize(("text", "seconds"), [("60s", 60), ("5m", 300), ("1.5h", 5400), ("7", 7)])
def test_spans(text: str, seconds: float) -> None:
    assert parse_span(text) == seconds
    with pytest.raises(InvalidParameter):
        parse_span(f"-{text}")


def test_the_command_keeps_what_is_there_and_replay_plays_it(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    with fake_venue("kraken") as venue:
        venue.op("market", seed=5, steps=60)
        spec = f"kraken:BTC-USD;url={venue.url}/v2;http_url={venue.http_url};channels=trades,book"
        out = tmp_path / "kept"
        said = run(
            capfdbinary, "capture", "--feed", spec, "--out", out, "--for", "1s", "--json"
        ).json()
    assert said["rows"] > 20
    (path,) = said["files"]
    played = spawn("replay", "--capture", path, "--speed", "max", "--linger", "0", "--port", "0",
                   "--json")  # fmt: skip
    # The end of the connection loses the book: a row more.
    assert json.loads(played.stdout.splitlines()[-1])["rows"] == said["rows"] + 1, played.stderr


def test_a_capture_is_a_feed_of_serve() -> None:
    files = [Path("a"), Path("b")]
    assert plan_captures(["capture:a,b", "kraken:X", "capture:a,b;speed=max"]) == [
        (files, 1.0),
        (files, None),
    ]


def test_commands_say_what_is_wrong(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    for argv, part in (
        (("capture", "--feed", "kraken:BTC-USD", "--for", "soon"), "--for: soon"),
        (("capture", "--feed", "nix:A"), "nix"),
        (("replay", "--capture", "x", "--loop"), "--capture"),
        (("serve", "--feed", "capture:;speed=2"), "capture:FILE"),
    ):
        ran = run(capfdbinary, *argv)
        assert (ran.code, part in ran.err) == (2, True), ran.err
