"""What the stream is measured against: servers that send each message to every connection.

    python -m bench.fanout_peers KIND PORT SOURCE_PORT

KIND is `websockets` (`broadcast` of the library of that name), `uvicorn` (a Starlette application
that awaits `send_text` for one client after the other), `picows`, or `null` (prebuilt frames to
bare transports: what the machine and the load generator can do). The messages come ready-made over
a connection to SOURCE_PORT, each with its length before it, so that these servers neither parse,
nor check, nor store, nor encode anything. Compression is off. All run on uvloop.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import struct
import sys
from collections.abc import Callable
from typing import Any

import uvloop

Send = Callable[[bytes], None]
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


async def listen_source(port: int, send: Callable[[bytes], Any]) -> None:
    async def feed(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        while True:
            try:
                (size,) = struct.unpack(">I", await reader.readexactly(4))
                message = await reader.readexactly(size)
            except asyncio.IncompleteReadError:
                return
            sending = send(message)
            if sending is not None:
                await sending

    await asyncio.start_server(feed, "127.0.0.1", port)


async def serve_websockets(port: int, source: int) -> None:
    from websockets.asyncio.server import ServerConnection, broadcast, serve

    clients: set[ServerConnection] = set()

    async def keep(client: ServerConnection) -> None:
        clients.add(client)
        try:
            await client.wait_closed()
        finally:
            clients.discard(client)

    await serve(keep, "127.0.0.1", port, compression=None)
    await listen_source(source, lambda message: broadcast(clients, message.decode()))


async def serve_picows(port: int, source: int) -> None:
    from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_create_server

    clients: set[WSTransport] = set()

    class Listener(WSListener):  # type: ignore[misc]
        def on_ws_connected(self, transport: WSTransport) -> None:
            clients.add(transport)

        def on_ws_disconnected(self, transport: WSTransport) -> None:
            clients.discard(transport)

        def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
            pass

    def send(message: bytes) -> None:
        for client in clients:
            client.send(WSMsgType.TEXT, message)

    await ws_create_server(lambda request: Listener(), "127.0.0.1", port)
    await listen_source(source, send)


async def serve_uvicorn(port: int, source: int) -> None:
    import uvicorn
    from starlette.applications import Starlette
    from starlette.routing import WebSocketRoute
    from starlette.websockets import WebSocket, WebSocketDisconnect

    clients: list[WebSocket] = []

    async def endpoint(socket: WebSocket) -> None:
        await socket.accept()
        clients.append(socket)
        try:
            while True:
                await socket.receive_text()
        except WebSocketDisconnect:
            clients.remove(socket)

    async def send(message: bytes) -> None:
        text = message.decode()
        for client in tuple(clients):
            await client.send_text(text)

    app = Starlette(routes=[WebSocketRoute("/", endpoint)])
    config = uvicorn.Config(
        app, port=port, log_level="error", ws_per_message_deflate=False, access_log=False
    )
    task = asyncio.create_task(uvicorn.Server(config).serve())
    await listen_source(source, send)
    await task


class Bare(asyncio.Protocol):
    """A connection that was upgraded, and nothing else."""

    def __init__(self, clients: set[asyncio.Transport]) -> None:
        self._clients = clients

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        at = data.find(b"Sec-WebSocket-Key: ")
        if at < 0:
            return
        key = data[at + 19 : data.index(b"\r\n", at)]
        accept = base64.b64encode(hashlib.sha1(key + GUID).digest())
        self._transport.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        )
        self._clients.add(self._transport)

    def connection_lost(self, _: Exception | None) -> None:
        self._clients.discard(self._transport)


async def serve_null(port: int, source: int) -> None:
    clients: set[asyncio.Transport] = set()

    def send(message: bytes) -> None:
        size = len(message)
        head = struct.pack(">BBH", 0x81, 126, size) if size < 65_536 else (
            struct.pack(">BBQ", 0x81, 127, size)
        )  # fmt: skip
        frame = head + message
        for client in clients:
            client.write(frame)

    await asyncio.get_running_loop().create_server(lambda: Bare(clients), "127.0.0.1", port)
    await listen_source(source, send)


KINDS = {
    "websockets": serve_websockets,
    "uvicorn": serve_uvicorn,
    "picows": serve_picows,
    "null": serve_null,
}


async def main(kind: str, port: int, source: int) -> None:
    await KINDS[kind](port, source)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
