"""Any frame is a message, a refusal, or the end of the connection; formats say the same."""

from __future__ import annotations

from typing import Any

import msgspec
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st
from ingest_kit import arrow_frame

from tickplant.formats.parse_json import parse_json
from tickplant.formats.parse_msgpack import parse_msgpack
from tickplant.gateway.ingest.protocol import (
    BadMessage,
    Closing,
    Rows,
    check_hello,
    read_message,
)
from tickplant.model.errors import InvalidBody

SUBPROTOCOLS = st.sampled_from([None, "msgpack", "arrow"])
PLAIN = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(), st.text(max_size=4),
    st.sampled_from(["rows", "hello", "alive", "hole", "end", "ping", "trades", "quotes", "ACME"]),
)  # fmt: skip
VALUES = st.recursive(
    PLAIN,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=6,
)
FIELDS = st.sampled_from(
    ["op", "seq", "table", "rows", "ts", "start", "end", "feed", "producer", "symbols", "venue"]
)
MESSAGES = st.dictionaries(FIELDS, VALUES, max_size=6)


def packed(value: Any) -> bytes:
    try:
        return msgspec.msgpack.encode(value)
    except (OverflowError, msgspec.MsgspecError):
        return b"\xc1"


def read(frame: str | bytes, subprotocol: str | None) -> None:
    try:
        message = read_message(frame, subprotocol)
    except (BadMessage, Closing):
        return
    if not isinstance(message, Rows) and message.op == "hello":
        try:
            check_hello(message)  # type: ignore[arg-type]
        except BadMessage:
            return


@settings(max_examples=80, deadline=None)
@given(st.one_of(MESSAGES, VALUES), SUBPROTOCOLS, st.booleans())
def test_any_message_is_taken_or_refused(value: Any, subprotocol: str | None, text: bool) -> None:
    encoded = msgspec.json.encode(value, enc_hook=str) if text else packed(value)
    read(encoded.decode() if text else encoded, subprotocol)


@settings(max_examples=80, deadline=None)
@given(st.one_of(st.binary(max_size=40), st.text(max_size=40)), SUBPROTOCOLS)
def test_any_frame_is_taken_or_refused(frame: str | bytes, subprotocol: str | None) -> None:
    read(frame, subprotocol)


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 2_000), st.integers(0, 255))
def test_damaged_arrow_frames_are_taken_or_refused(place: int, byte: int) -> None:
    rows = pa.record_batch({"symbol": ["A", "B"], "price": [1.0, 2.0]})
    frame = bytearray(arrow_frame(7, rows))
    frame[place % len(frame)] = byte
    read(bytes(frame), "arrow")


ROWS = st.lists(
    st.fixed_dictionaries(
        {"symbol": st.sampled_from(["A", "", None, 5])},
        optional={
            "price": st.one_of(st.floats(allow_nan=False, allow_infinity=False), st.integers(),
                               st.sampled_from(["1.5", "x", True, None])),
            "size": st.sampled_from([1, 2.5, "3", None, [1]]),
            "side": st.sampled_from(["buy", "S", "", None, 3]),
            "ts_event": st.sampled_from(["2024-05-07T14:30:00Z", 5, None, "soon", 2**70]),
            "time": st.sampled_from([7, "2024-05-07T14:30:00.5Z"]),
            "id": st.sampled_from(["x", 7, None, 1.5]),
            "conditions": st.sampled_from(["A", ["A", "B"], [1], None]),
            "more": st.integers(),
        },
    ),
    max_size=5,
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(ROWS)
def test_messagepack_is_read_as_json_is(rows: list[dict[str, Any]]) -> None:
    try:
        body = msgspec.msgpack.encode(rows)
    except OverflowError:
        return
    expected = parse_json("trades", msgspec.json.encode(rows))
    found = parse_msgpack("trades", body)
    assert found.rows.equals(expected.rows)
    assert found.indexes == expected.indexes
    assert [(one.index, one.reason, one.symbol or None) for one in found.unreadable] == [
        (one.index, one.reason, one.symbol or None) for one in expected.unreadable
    ]


@settings(max_examples=80, deadline=None)
@given(st.binary(max_size=30))
def test_any_messagepack_is_read_or_refused(body: bytes) -> None:
    try:
        parse_msgpack("trades", body)
    except InvalidBody:
        return
