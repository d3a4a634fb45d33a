"""Serve a plant over HTTP until a signal, or until its feeds have come to an end.

    socket ─► plant (recovered) ─► uvicorn ─► feeds ─► URL announced      … signal …
    feeds stop ─► connections close (the stream with 1012) ─► plant: finish, make durable, archive

Every step of the way down has a bound in time.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import signal
import socket
import ssl
import sys
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import uvicorn

from tickplant.compose import open_feed_desk, polling
from tickplant.feeds.contract import Feed
from tickplant.feeds.runner import FeedRunner
from tickplant.gateway.app import create_app
from tickplant.gateway.http import protocol_of as protocol_of_reads
from tickplant.gateway.ingest.routes import INGEST_PATH
from tickplant.gateway.reader import create_reader_app
from tickplant.gateway.stream.server import protocol_of
from tickplant.model.collection import settle
from tickplant.model.errors import ConfigError, InvalidParameter, UserError

if TYPE_CHECKING:
    from tickplant.compose import OpenPlant
    from tickplant.config import Settings
    from tickplant.plant.follower import Follower

FEEDS_S_MAX = 5.0
"""How long feeds may take to end, s."""

BACKLOG = 2048

READER_SWITCH_S = 1e-4
"""How long the threads of a reader may keep one another waiting, s: its queries are short."""


class PlantServer(uvicorn.Server):
    """A server whose signals are the caller's, and that says when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone: a plant that was asked to stop ends with 0, not by the signal."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then say so."""
        await super().startup(sockets)
        self.listening.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let connections end within `server.shutdown_s_max`, then cut those that have not.

        A client that reads nothing never lets go of what was sent to it.
        """
        await super().shutdown(sockets)
        for connection in list(self.server_state.connections):
            connection.transport.abort()


def open_socket(host: str, port: int) -> socket.socket:
    """Return a socket that is bound; raises `UserError` where that cannot be."""
    try:
        info = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except (OSError, UnicodeError):
        raise InvalidParameter(
            "--host", host, "an address of this machine", where="option"
        ) from None
    bound = socket.socket(info[0], info[1])
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(info[4])
    except OSError as fault:
        bound.close()
        raise _bind_error(fault, host, port) from fault
    return bound


def _bind_error(fault: OSError, host: str, port: int) -> UserError:
    if fault.errno == errno.EADDRINUSE:
        return UserError(
            f"--port: {port} on {host} is in use by another program; "
            "--port takes another one, 0 any free one"
        )
    if fault.errno == errno.EACCES:
        return UserError(
            f"--port: {port} needs more rights than this user has; take one above 1023"
        )
    return InvalidParameter(
        "--host", host, f"an address of this machine ({fault.strerror})", where="option"
    )


def url_of(bound: socket.socket, *, tls: bool = False) -> str:
    """Return the URL at which a client on this machine reaches the socket."""
    scheme = "https" if tls else "http"
    host, port = bound.getsockname()[:2]
    if host in ("0.0.0.0", "::"):
        host = "127.0.0.1" if host == "0.0.0.0" else "::1"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def is_loopback(bound: socket.socket) -> bool:
    """Say whether only this machine can reach the socket."""
    return ipaddress.ip_address(bound.getsockname()[0].partition("%")[0]).is_loopback


def serve(
    opened: OpenPlant,
    bound: socket.socket,
    feeds: Sequence[Feed],
    *,
    on_ready: Callable[[str], None],
    until: Callable[[FeedRunner], Coroutine[Any, Any, None]] | None = None,
) -> None:
    """Serve until SIGINT or SIGTERM, or until `until(runner)` returns. The caller closes `opened`.

    `on_ready` gets the URL once requests are answered and the feeds run.
    """
    import uvloop  # noqa: PLC0415 - not on Windows

    sys.setswitchinterval(opened.plant.settings.server.switch_interval_ms / 1_000)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(opened, bound, feeds, on_ready, until))


def serve_reads(
    follower: Follower, bound: socket.socket, *, on_ready: Callable[[str], None]
) -> None:
    """Serve reads until SIGINT or SIGTERM. The caller stops `follower`."""
    import uvloop  # noqa: PLC0415 - not on Windows

    sys.setswitchinterval(READER_SWITCH_S)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve_reads(follower, bound, on_ready))


async def _serve_reads(
    follower: Follower, bound: socket.socket, on_ready: Callable[[str], None]
) -> None:
    server = PlantServer(config_of(create_reader_app(follower), follower.settings))
    stopping, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, _on_signal, stopping, server)
    serving = asyncio.create_task(server.serve(sockets=[bound]), name="http")
    waiting = asyncio.create_task(stopping.wait(), name="signals")
    try:
        await _first(asyncio.create_task(server.listening.wait()), serving)
        settle()
        on_ready(url_of(bound, tls=bool(follower.settings.server.tls_cert)))
        await _first(waiting, serving)
    finally:
        server.should_exit = True
        await serving
        waiting.cancel()


async def _serve(
    opened: OpenPlant,
    bound: socket.socket,
    feeds: Sequence[Feed],
    on_ready: Callable[[str], None],
    until: Callable[[FeedRunner], Coroutine[Any, Any, None]] | None,
) -> None:
    plant = opened.plant
    server = PlantServer(config_of(create_app(plant), plant.settings))
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, _on_signal, stopping, server)
    runner = FeedRunner(
        feeds,
        plant.submit,
        clock=plant.clock,
        tell=plant.tell,
        shown_of=plant.feed_facts,
        shed=plant.backpressure.shed,
        stall_s=plant.settings.coverage.stall_s or None,
    )
    plant.list_feeds = runner.shown
    open_feed_desk(plant, runner)
    polls = contextlib.AsyncExitStack()
    await polls.enter_async_context(polling(opened, runner))
    serving = asyncio.create_task(server.serve(sockets=[bound]), name="http")
    waits = {asyncio.create_task(stopping.wait(), name="signals"), serving}
    try:
        await _first(asyncio.create_task(server.listening.wait()), serving)
        settle()
        runner.start()
        url = url_of(bound, tls=bool(plant.settings.server.tls_cert))
        opened.lock.announce(url)
        on_ready(url)
        if until is not None:
            waits.add(asyncio.create_task(until(runner), name="until"))
        await _first(*waits)
    finally:
        await runner.stop(FEEDS_S_MAX)
        await polls.aclose()
        server.should_exit = True
        await serving
        for task in waits - {serving}:
            task.cancel()


async def _first(*tasks: asyncio.Task[object]) -> None:
    """Wait for the first task to end; raises what it raised."""
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        task.result()


def _on_signal(stopping: asyncio.Event, server: PlantServer) -> None:
    # The second signal is from someone who does not want to wait for connections.
    server.force_exit = stopping.is_set()
    stopping.set()


def check_tls(settings: Settings) -> None:
    """Raise `ConfigError` where the files of the certificate are not what they should be."""
    cert, key = settings.server.tls_cert, settings.server.tls_key
    if not cert and not key:
        return
    if not cert or not key:
        missing = "server.tls_key" if cert else "server.tls_cert"
        raise ConfigError(f"{missing}: is missing; a certificate and its key belong together")
    try:
        # Without a password one that is protected would be asked for on the terminal.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert, key, password="")
    except OSError as fault:
        said = fault.strerror or fault
        raise ConfigError(f"server.tls_cert, server.tls_key: cannot be used ({said})") from fault


def config_of(app: Any, settings: Settings) -> uvicorn.Config:
    """Return how uvicorn serves an application: its protocols, bounds, certificate and proxies."""
    server, frame = settings.server, settings.ingest.frame_mb_max << 20
    return uvicorn.Config(
        app,
        http=protocol_of_reads(getattr(app, "hot", None)),
        # A proxy may leave the prefix on, and this is looked at before it is taken off.
        ws=protocol_of({INGEST_PATH: frame, server.path_prefix + INGEST_PATH: frame}),
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        backlog=BACKLOG,
        limit_concurrency=server.connections_max,
        ws_max_size=settings.stream.frame_kb_max * 1024,
        # It would be done for every client by itself, and costs more than all else of a frame.
        ws_per_message_deflate=False,
        # uvicorn takes fractions, too, though it does not say so.
        timeout_graceful_shutdown=server.shutdown_s_max,  # type: ignore[arg-type]
        proxy_headers=bool(server.proxies.strip()),
        forwarded_allow_ips=server.proxies,
        ssl_certfile=server.tls_cert or None,
        ssl_keyfile=server.tls_key or None,
    )
