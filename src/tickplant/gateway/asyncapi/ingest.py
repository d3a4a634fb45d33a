"""What `/v1/ingest` says and hears, for the AsyncAPI document."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from tickplant.model.events import POSTED_TABLES


class RowsSent(msgspec.Struct, forbid_unknown_fields=True):
    """Rows of one table under the producer's own number; their fields are those of `POST /v1/…`."""

    op: Literal["rows"]
    seq: int
    table: str
    rows: list[dict[str, Any]]


class HelloSaid(msgspec.Struct, forbid_unknown_fields=True):
    """Said first of all: where the plant is, and what it takes."""

    op: Literal["hello"]
    run: int
    seq: int
    tables: list[str]
    window: int
    frame_bytes_max: int
    heartbeat_s: float
    ts: str


class Ready(msgspec.Struct, forbid_unknown_fields=True):
    """The producer's `hello` was taken."""

    op: Literal["ready"]
    feed: str | None
    producer: str | None
    venue: str | None


class Reject(msgspec.Struct, forbid_unknown_fields=True):
    """Why a row was refused."""

    index: int
    reason: str
    detail: str


class Ack(msgspec.Struct, forbid_unknown_fields=True):
    """The rows of message `seq` are on disk and can be read."""

    op: Literal["ack"]
    seq: int
    accepted: int
    duplicates: int
    rejected: list[Reject]
    seq_first: int | None
    seq_last: int | None


class Refused(msgspec.Struct, forbid_unknown_fields=True):
    """Message `seq` was not taken; null where its number could not be read, or it has none."""

    op: Literal["error"]
    seq: int | None
    code: str
    message: str
    errors: list[dict[str, Any]] | UnsetType = UNSET
    retry_after_s: float | UnsetType = UNSET


class Ended(msgspec.Struct, forbid_unknown_fields=True):
    """The answer to `end`."""

    op: Literal["ended"]
    ts: str


class Beat(msgspec.Struct, forbid_unknown_fields=True):
    """Said after `stream.heartbeat_s` of silence."""

    op: Literal["heartbeat"]
    ts: str


class PongSaid(msgspec.Struct, forbid_unknown_fields=True):
    """The answer to `ping`."""

    op: Literal["pong"]
    id: int | str | None
    ts: str


SAID: tuple[type[msgspec.Struct], ...] = (HelloSaid, Ready, Ack, Refused, Ended, Beat, PongSaid)
"""Every message of the server."""

TABLES = POSTED_TABLES
