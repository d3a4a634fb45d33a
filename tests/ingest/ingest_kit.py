"""A whole plant behind a real server, and a producer that speaks to it by hand."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec
import pyarrow as pa
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from plant_kit import Clock, open_plant
from stream_fakes import Served
from tickplant.formats.parsed import incoming_batch
from tickplant.gateway.app import create_app
from tickplant.plant.plant import Plant

WAIT_S = 20


class Producer:
    """Sends messages and hears answers; heartbeats are left out."""

    def __init__(self, served: Served, subprotocol: str | None = None, query: str = "") -> None:
        self.packed = subprotocol == "msgpack"
        asked = None if subprotocol is None else [Subprotocol(subprotocol)]
        url = f"ws://127.0.0.1:{served.port}/v1/ingest{query}"
        self._opened = ExitStack()
        opening = connect(url, subprotocols=asked, compression=None, open_timeout=WAIT_S)
        self.socket = self._opened.enter_context(opening)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._opened.close()

    def say(self, op: str, **fields: Any) -> None:
        message = {"op": op, **fields}
        if self.packed:
            self.socket.send(msgspec.msgpack.encode(message))
        else:
            self.socket.send(msgspec.json.encode(message).decode())

    def rows(self, seq: int, *rows: dict[str, Any], table: str = "trades") -> None:
        self.say("rows", seq=seq, table=table, rows=list(rows))

    def arrow(self, seq: object, rows: pa.RecordBatch, table: str = "trades") -> None:
        self.socket.send(arrow_frame(seq, rows, table))

    def hear(self) -> dict[str, Any]:
        while True:
            frame = self.socket.recv(WAIT_S)
            decode = msgspec.msgpack.decode if isinstance(frame, bytes) else msgspec.json.decode
            message: dict[str, Any] = decode(frame)
            if message["op"] != "heartbeat":
                return message

    def greet(self, **fields: Any) -> dict[str, Any]:
        self.say("hello", **fields)
        first, ready = self.hear(), self.hear()
        assert (first["op"], ready["op"]) == ("hello", "ready")
        return first

    def cut(self) -> None:
        """End the connection as a crash does."""
        self.socket.socket.close()


def arrow_frame(seq: object, rows: pa.RecordBatch, table: str = "trades") -> bytes:
    sink = pa.BufferOutputStream()
    said = {"seq": str(seq), "table": table}
    rows = rows.replace_schema_metadata(said)
    with pa.ipc.new_stream(sink, rows.schema) as writer:
        writer.write_batch(rows)
    frame: bytes = sink.getvalue().to_pybytes()
    return frame


def batch(count: int, first: int = 1, **columns: Any) -> pa.RecordBatch:
    made = {"symbol": ["ACME"] * count, "price": [float(first + n) for n in range(count)]}
    return incoming_batch("trades", **(made | columns))


@contextmanager
def plant_and_server(
    folder: Path, clock: Clock | None = None, port: int = 0, **settings: Any
) -> Iterator[tuple[Plant, Served]]:
    with (
        open_plant(folder, clock, **settings) as plant,
        Served(create_app(plant), port) as served,
    ):
        yield plant, served
