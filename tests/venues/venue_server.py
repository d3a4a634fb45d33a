"""A fake venue as a process: `python -m venues.venue_server <dialect>`, with tests/ on the path.

    test ── newline-delimited JSON over a loopback socket ──► Controls ──► Truth, Delivery, links
    feed ── WebSocket and HTTP GET on one loopback port ────► Server ◄──── Dialect

It prints one line of JSON with its ports, and ends when its standard input does. Every op is
answered after it took effect, so that tests need no sleeps; venue_controls.py lists them.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from websockets.asyncio.connection import broadcast
from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request as RawRequest
from websockets.http11 import Response

from venues.dialect import Answer, Dialect, Link, Refused, Request, Wire
from venues.venue_controls import Controls
from venues.venue_faults import Delivery
from venues.venue_gate import Gate
from venues.venue_truth import Event, Instrument, Truth, dec

LATEST_MAX = 10_000
"""Frames that clients sent, of which so many are remembered."""


class Server:
    """The sockets of one fake venue. `changed` wakes those who wait for something to be so."""

    def __init__(self, dialect: str) -> None:
        self.module = importlib.import_module(f"venues.dialect_{dialect}")
        self.changed = asyncio.Condition()
        self.sockets: dict[Link, ServerConnection] = {}
        self.reset({})

    def reset(self, spoken: Mapping[str, Any]) -> None:
        """Cut everybody and begin anew with these instruments and options."""
        for link in list(self.sockets):
            self.cut(link)
        told = spoken.get("instruments") or getattr(self.module, "INSTRUMENTS", [])
        self.truth = Truth(one if isinstance(one, Instrument) else _instrument(one) for one in told)
        self.delivery = Delivery()
        self.gate = Gate()
        self.links: list[Link] = []
        self.heard: list[dict[str, Any]] = []
        self.requests: list[dict[str, Any]] = []
        self.pongs = 0
        self.dialect: Dialect = self.module.make(self.truth, self.gate, spoken.get("options") or {})

    async def wake(self) -> None:
        async with self.changed:
            self.changed.notify_all()

    # -- what goes out ------------------------------------------------------------------------

    def tell(self, events: Sequence[Event]) -> None:
        """Send events of one stream to the links that have it, through the faults."""
        stream = events[0].stream
        for link in list(self.sockets):
            if stream in link.streams:
                kind = self.delivery.strike(link, stream)
                frames = self.dialect.told(link, events, corrupt=kind == "corrupt_checksum")
                marks = [_mark(event) for event in events]
                self.write(link, self.delivery.pass_on(link, stream, frames, kind, marks))

    def write(self, link: Link, frames: Sequence[Wire]) -> None:
        """Write frames to a link without waiting; order is kept."""
        socket = self.sockets.get(link)
        for frame in frames if socket is not None else ():
            broadcast((socket,), frame)

    def cut(self, link: Link, code: int | None = None) -> None:
        """Abort a connection, or with a code close it by the protocol."""
        socket = self.sockets.pop(link, None)
        if socket is None:
            return
        if code is None:
            socket.transport.abort()
        else:
            closing = asyncio.ensure_future(socket.close(code))
            closing.add_done_callback(lambda done: done.cancelled() or done.exception())

    # -- what comes in ------------------------------------------------------------------------

    async def serve_link(self, socket: ServerConnection) -> None:
        """Speak with one client until it leaves or is cut."""
        link = socket.venue_link  # type: ignore[attr-defined]
        self.sockets[link] = socket
        self.write(link, self.delivery.hold(link, self.dialect.opened(link)))
        await self.wake()
        try:
            async for frame in socket:
                self.hear(link, frame)
                await self.wake()
        except ConnectionClosed:
            pass
        finally:
            self.sockets.pop(link, None)
            await self.wake()

    def hear(self, link: Link, frame: Wire) -> None:
        """Answer what a client sent."""
        shown = frame if isinstance(frame, str) else frame.hex()
        del self.heard[:-LATEST_MAX]
        self.heard.append(
            {"link": link.number, "frame": shown, "ts": asyncio.get_event_loop().time()}
        )
        if self.gate.message_limited():
            self.write(link, self.dialect.limited(link))
            self.cut(link, 1008)
            return
        self.write(link, self.delivery.hold(link, self.dialect.heard(link, frame)))

    async def process(self, socket: ServerConnection, raw: RawRequest) -> Response | None:
        """Answer HTTP, or let a client in; both as the gate allows."""
        split = urlsplit(raw.path)
        query = dict(parse_qsl(split.query, keep_blank_values=True))
        headers = {name.lower(): value for name, value in raw.headers.raw_items()}
        if headers.get("upgrade", "").lower() == "websocket":
            return self.let_in(socket, Link(len(self.links) + 1, split.path, query, headers))
        request = Request(split.path, query, headers)
        self.requests.append({"path": split.path, "query": query})
        await self.wake()
        answer = await self.gate.answer(request, self.dialect)
        return _response(answer)

    def let_in(self, socket: ServerConnection, link: Link) -> Response | None:
        self.links.append(link)
        status = self.gate.connect_refused()
        if status is not None:
            return _response(Answer({"error": "refused"}, status, {"Retry-After": "1"}))
        try:
            self.dialect.admit(link)
        except Refused as refused:
            return _response(Answer(refused.body, refused.status))
        socket.venue_link = link  # type: ignore[attr-defined]
        return None


def _mark(event: Event) -> Any:
    """What names an event in what was sent: a trade's id, the last number of a change."""
    value = event.value
    named = {"trade": "id", "book": "last", "quote": "ts", "stat": "ts"}
    return getattr(value, named[event.kind])


def _instrument(spoken: Mapping[str, Any]) -> Instrument:
    fields = dict(spoken)
    for name in ("tick", "lot"):
        if name in fields:
            fields[name] = dec(fields[name])
    symbol = fields["symbol"]
    base, _, quote = symbol.partition("-")
    return Instrument(**({"native": base + quote, "base": base, "quote": quote} | fields))


def _response(answer: Answer) -> Response:
    body = answer.body
    if not isinstance(body, str | bytes):
        body = json.dumps(body, separators=(",", ":"))
    data = body.encode() if isinstance(body, str) else body
    headers = Headers({"Content-Type": "application/json", **answer.headers})
    headers["Content-Length"] = str(len(data))
    headers["Connection"] = "close"
    return Response(answer.status, "fake", headers, data)


async def main(dialect: str) -> None:
    server = Server(dialect)
    loop = asyncio.get_running_loop()
    controls = Controls(server)
    async with (
        serve(
            server.serve_link,
            "127.0.0.1",
            0,
            process_request=server.process,
            ping_interval=None,
            close_timeout=1,
            compression=None,
            max_queue=None,
            max_size=None,
        ) as venue,
        await asyncio.start_server(controls.serve, "127.0.0.1", 0, limit=1 << 26) as control,
    ):
        ports = [next(iter(one.sockets)).getsockname()[1] for one in (venue, control)]
        print(json.dumps({"port": ports[0], "control": ports[1]}), flush=True)
        # The test that started this process holds its standard input open: when it dies, so do we.
        await loop.run_in_executor(None, sys.stdin.read)
        os._exit(0)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
