"""What a producer has sent and what became of it, without any input or output.

    add(rows) ─► queued ─► unsent() ─► on its way ─► take(answer) ─► receipt, or an error
                   └───────◄ reconnected() ◄──┘

Messages are numbered from 1 on under a name of the producer's own, so that the plant knows one that
it is sent again: whatever happens to the connection, rows are stored once.
"""

from __future__ import annotations

import uuid
from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import pyarrow as pa

from tickplant.client.problems import refusal
from tickplant.client.rows import Receipt, Rejected, as_table, merge_receipts
from tickplant.model.errors import TickplantError

PATH = "/v1/ingest"
SUBPROTOCOL = "arrow"
ROWS_MAX = 50_000
"""Most rows in one message; more become several."""

RECEIPTS_KEPT = 1_000
REJECTED_KEPT = 10_000
"""Refused rows that are listed at most, where somebody does not ask for long."""

_FRAME_BYTES = 1 << 20  # until the plant has said what it takes
_TRY_AGAIN = "try_again"


@dataclass(slots=True)
class _Message:
    seq: int
    frame: str | bytes
    rows: int


class Outbox:
    """The state of one producer across its connections. Used by one thread at a time."""

    def __init__(
        self,
        *,
        feed: str | None = None,
        venue: str | None = None,
        symbols: Iterable[str] | None = None,
        producer: str | None = None,
        first_seq: int = 1,
    ) -> None:
        self.feed = feed
        wish: dict[str, Any] = {
            "op": "hello",
            "producer": producer or uuid.uuid4().hex,
            "feed": feed,
            "venue": venue,
            "symbols": None if symbols is None else list(symbols),
        }
        self._wish = {name: value for name, value in wish.items() if value is not None}
        self._next = first_seq
        self._queued: deque[_Message] = deque()
        self._under_way: OrderedDict[int, _Message] = OrderedDict()
        self._done: list[tuple[Receipt, int]] = []
        self._faults: list[TickplantError] = []
        self._frame_bytes_max = _FRAME_BYTES
        self.connections = 0
        self.window = 1
        self.ready = False
        self.ended = False
        self.retry_after_s: float | None = None
        self.answered = 0

    @property
    def pending(self) -> int:
        """How many messages are not acknowledged."""
        return len(self._queued) + len(self._under_way)

    @property
    def full(self) -> bool:
        """Whether as many messages wait as may be under way."""
        return self.pending >= self.window

    def connected(self) -> str:
        """Return the first message on a new connection; what was under way is sent again."""
        hello = dict(self._wish)
        if self.connections and self.feed is not None:
            hello["resume"] = True
        self.connections += 1
        self.ready = False
        self._queued.extendleft(reversed(self._under_way.values()))
        self._under_way.clear()
        return msgspec.json.encode(hello).decode()

    def add(self, table: str, rows: Any) -> int:
        """Queue rows, in as many messages as they need; return the number of the last."""
        found = as_table(rows)
        if found is not None:
            for first in range(0, max(found.num_rows, 1), ROWS_MAX):
                self._add_arrow(table, found.slice(first, ROWS_MAX))
        else:
            listed = [rows] if isinstance(rows, Mapping) else list(rows)
            for first in range(0, max(len(listed), 1), ROWS_MAX):
                self._add_json(table, listed[first : first + ROWS_MAX])
        return self._next - 1

    def _add_arrow(self, table: str, rows: pa.Table) -> None:
        said = {"seq": str(self._next), "table": table}
        rows = rows.replace_schema_metadata(said)
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, rows.schema) as writer:
            writer.write_table(rows)
        frame = sink.getvalue().to_pybytes()
        if len(frame) > self._frame_bytes_max and rows.num_rows > 1:
            half = rows.num_rows // 2
            self._add_arrow(table, rows.slice(0, half))
            self._add_arrow(table, rows.slice(half))
        else:
            self._queue(frame, rows.num_rows)

    def _add_json(self, table: str, rows: list[Any]) -> None:
        message = {"op": "rows", "seq": self._next, "table": table, "rows": rows}
        frame = msgspec.json.encode(message)
        if len(frame) > self._frame_bytes_max and len(rows) > 1:
            half = len(rows) // 2
            self._add_json(table, rows[:half])
            self._add_json(table, rows[half:])
        else:
            self._queue(frame.decode(), len(rows))

    def _queue(self, frame: str | bytes, rows: int) -> None:
        self._queued.append(_Message(self._next, frame, rows))
        self._next += 1

    def unsent(self) -> Iterator[str | bytes]:
        """Yield the frames that may be sent now; each counts as sent once it was yielded."""
        while self.ready and self._queued and len(self._under_way) < self.window:
            message = self._queued.popleft()
            self._under_way[message.seq] = message
            yield message.frame

    def take(self, frame: str | bytes) -> None:
        """Take an answer. Sets `retry_after_s` where the plant could not store for now."""
        answer = msgspec.json.decode(frame)
        match answer["op"]:
            case "hello":
                self.window = answer["window"]
                self._frame_bytes_max = answer["frame_bytes_max"]
            case "ready":
                self.ready = True
            case "ended":
                self.ended = True
            case "ack":
                message = self._under_way.pop(answer["seq"], None)
                if message is not None:
                    self.answered += 1
                    self._note(_receipt(answer), message.rows)
            case "error":
                self._fail(answer)

    def _fail(self, answer: Mapping[str, Any]) -> None:
        message = self._under_way.pop(answer["seq"], None)
        if answer["code"] == _TRY_AGAIN and message is not None:
            self._queued.appendleft(message)
            self.retry_after_s = float(answer["retry_after_s"])
        else:
            self.answered += 1
            self._faults.append(refusal(answer))

    def _note(self, receipt: Receipt, rows: int) -> None:
        """Keep a receipt until `results`; who never asks keeps little."""
        self._done.append((receipt, rows))
        if len(self._done) >= RECEIPTS_KEPT:
            whole = merge_receipts([one for one, _ in self._done], [n for _, n in self._done])
            kept = msgspec.structs.replace(whole, rejected=whole.rejected[:REJECTED_KEPT])
            self._done = [(kept, sum(n for _, n in self._done))]

    def results(self) -> Receipt:
        """Return one receipt for all that was acknowledged since the last call.

        Raises the first error among the messages that were refused; it is raised once.
        """
        self.check()
        done, self._done = self._done, []
        return merge_receipts([receipt for receipt, _ in done], [rows for _, rows in done])

    def check(self) -> None:
        """Raise the first error among the messages that were refused; it is raised once."""
        if self._faults:
            raise self._faults.pop(0)


def say(op: str, **fields: Any) -> str:
    """Return a message besides rows; fields that are None are left out."""
    said = {name: value for name, value in fields.items() if value is not None}
    return msgspec.json.encode({"op": op, **said}).decode()


def _receipt(answer: Mapping[str, Any]) -> Receipt:
    rejected = [msgspec.convert(one, Rejected) for one in answer["rejected"]]
    return Receipt(
        answer["accepted"],
        answer["duplicates"],
        rejected,
        answer["seq_first"],
        answer["seq_last"],
    )
