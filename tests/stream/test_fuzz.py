"""Whatever a client sends, it gets answers or is closed; the server goes on."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from stream_fakes import FakePlant, Served, make_app
from tickplant.gateway.stream.protocol import JSON, PACKED, ProtocolError, decode
from tickplant.gateway.stream.selection import Selection

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)
FIELDS = (
    "op",
    "id",
    "channel",
    "symbols",
    "from",
    "run",
    "snapshot",
    "interval",
    "basis",
    "timezone",
    "day_start",
)
LIKELY: dict[str, list[Any]] = {
    "op": ["subscribe", "unsubscribe", "ping"],
    "channel": ["trades", "quotes", "candles", "status", "books"],
    "symbols": [["*"], ["EURUSD"], ["SYNTH:*"], "*", ["[a-", "?*?"], [""]],
    "from": [0, 1, -1, 10**15, 10**18, 2**62, "2020-01-01T00:00:00Z", "1", ""],
    "interval": ["1m", "1mo", "0s", "999999999d"],
    "timezone": ["UTC", "America/New_York", "../etc", ""],
    "day_start": ["22:00", "24:00", "x"],
    "run": [0, 1, 2, -1, 2**62],
    "id": [1, 2, "a", -1],
    "basis": ["trade", "mid"],
    "snapshot": [True],
}
FIELD = {name: st.sampled_from(LIKELY[name]) | ANYTHING for name in FIELDS if name != "op"}
MESSAGES = st.fixed_dictionaries({"op": st.sampled_from(LIKELY["op"])}, optional=FIELD)
FRAMES = st.one_of(
    MESSAGES.map(json.dumps),
    ANYTHING.map(json.dumps),
    st.text(max_size=40),
    st.binary(max_size=40),
    MESSAGES.map(json.dumps).map(lambda text: text[: len(text) // 2]),
)


@settings(deadline=None)
@given(st.text(max_size=60) | FRAMES, st.booleans())
def test_decoding_raises_protocol_errors_only(frame: str | bytes, packed: bool) -> None:
    with suppress(ProtocolError):
        decode(frame, PACKED if packed else JSON)


@settings(deadline=None)
@given(ANYTHING)
def test_decoding_messagepack_raises_protocol_errors_only(value: Any) -> None:
    try:
        encoded = msgspec.msgpack.encode(value)
    except (OverflowError, UnicodeEncodeError):
        return
    with suppress(ProtocolError):
        decode(encoded, PACKED)


@pytest.fixture(scope="module")
def plant() -> FakePlant:
    return FakePlant()


@pytest.fixture(scope="module")
def served(plant: FakePlant) -> Iterator[Served]:
    faults: list[logging.LogRecord] = []
    noting = logging.Handler(logging.ERROR)
    noting.emit = faults.append  # type: ignore[method-assign]
    logging.getLogger("tickplant").addHandler(noting)
    with Served(make_app(plant)) as made:
        yield made
    logging.getLogger("tickplant").removeHandler(noting)
    assert [record.getMessage() for record in faults] == []


@settings(deadline=None, max_examples=40)
@given(frames=st.lists(FRAMES, min_size=10, max_size=40))
def test_the_server_survives_what_it_is_sent(
    frames: list[str | bytes], plant: FakePlant, served: Served
) -> None:
    with connect(served.ws, compression=None) as fuzzer:
        try:
            for frame in frames:
                fuzzer.send(frame)
            plant.trade(1.0)
            fuzzer.send(json.dumps({"op": "ping", "id": "last"}))
            while json.loads(fuzzer.recv(10)).get("id") != "last":
                pass
        except (ConnectionClosed, UnicodeEncodeError):
            assert fuzzer.close_code in (None, 1007, 1009)
    with connect(served.ws, compression=None) as healthy:
        wish = {"op": "subscribe", "channel": "trades", "symbols": ["EURUSD"]}
        healthy.send(json.dumps(wish))
        assert json.loads(healthy.recv(10))["op"] == "subscribed"
        [seq] = plant.trade(2.0)
        assert json.loads(healthy.recv(10))["events"][0]["seq"] == seq


@pytest.mark.parametrize("pattern", ["*A" * 48, "?" * 99, "*" * 100, "[A-Z]*", "A*:*"])
def test_no_pattern_is_slow_to_match(pattern: str) -> None:
    plant = FakePlant()
    for number in range(200):
        plant.registry.add("A" * 55 + str(number), "V")
    assert Selection([pattern], plant.registry).instruments() is not None
