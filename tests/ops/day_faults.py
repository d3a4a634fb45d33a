"""What can go wrong in the day: disks, a clock, a feed and a subscriber that do as told."""

from __future__ import annotations

import asyncio
import base64
import errno
import os
import shutil
import socket
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from tickplant.feeds.contract import Feed
from tickplant.log.disk import Buffer
from tickplant.log.disk import RealDisk as LogDisk
from tickplant.store.disk import Disk as StoreDisk
from tickplant.store.disk import Sink as File

HANDSHAKE_S_MAX = 10.0
SOCKET_BYTES = 4_096


class FeedCut(Exception):
    """The source of a feed is gone."""


class Clock:
    """The plant's clock: the real one, and how far it was stepped, ns."""

    def __init__(self) -> None:
        self.stepped_ns = 0

    def __call__(self) -> int:
        return time.time_ns() + self.stepped_ns


class Disks:
    """One disk with the log and the archive on it: slow by `sync_s`, or full."""

    def __init__(self) -> None:
        self.sync_s = 0.0
        self.full = False

    def check(self) -> None:
        if self.full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def usage(self, path: Path) -> Any:
        """Return the room on the disk as `shutil.disk_usage` does."""
        found = shutil.disk_usage(path)
        return found._replace(free=0) if self.full else found


class SlowLog(LogDisk):
    """The real disk under the log."""

    def __init__(self, disks: Disks) -> None:
        self._disks = disks

    def create(self, path: str) -> int:
        self._disks.check()
        return super().create(path)

    def allocate(self, file: int, size: int) -> None:
        self._disks.check()
        super().allocate(file, size)

    def pwritev(self, file: int, buffers: Sequence[Buffer], offset: int) -> int:
        self._disks.check()
        return super().pwritev(file, buffers, offset)

    def datasync(self, file: int) -> None:
        self._disks.check()
        time.sleep(self._disks.sync_s)
        super().datasync(file)


class SlowStore(StoreDisk):
    """The real disk under the archive."""

    def __init__(self, disks: Disks) -> None:
        self._disks = disks

    def create(self, path: Path) -> File:
        self._disks.check()
        return super().create(path)


class Mortal:
    """A feed whose source can die: then it ends with a fault whenever it is started again."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self.name, self.venue, self.kind = feed.name, feed.venue, feed.kind
        self.instruments = feed.instruments
        self._death = asyncio.Event()

    def kill(self, *, dead: bool) -> None:
        if dead:
            self._death.set()
        else:
            self._death.clear()

    async def run(self, sink: Any) -> None:
        if self._death.is_set():
            raise FeedCut("nobody answers")
        running = asyncio.create_task(self._feed.run(sink))
        death = asyncio.create_task(self._death.wait())
        try:
            await asyncio.wait({running, death}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (running, death):
                task.cancel()
            await asyncio.gather(running, death, return_exceptions=True)
        raise FeedCut("the source hung up")


class Stuck(NamedTuple):
    """A subscriber that reads nothing; `close` ends it."""

    socket: socket.socket

    def close(self) -> None:
        self.socket.close()


async def subscribe_and_read_nothing(host: str, port: int) -> Stuck:
    """Subscribe to everything, by hand: a library would read ahead."""
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SOCKET_BYTES)
    made.setblocking(False)
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(HANDSHAKE_S_MAX):
        await loop.sock_connect(made, (host, port))
        key = base64.b64encode(os.urandom(16)).decode()
        head = (
            f"GET /v1/stream HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n"
        )
        await loop.sock_sendall(made, head.encode())
        answer = await loop.sock_recv(made, 1_024)
    assert b"101" in answer.partition(b"\r\n")[0], answer
    wish = {"op": "subscribe", "id": 1, "channel": "trades", "symbols": ["*"]}
    await loop.sock_sendall(made, _frame(msgspec.json.encode(wish)))
    return Stuck(made)


def _frame(text: bytes) -> bytes:
    """Return a masked text frame of fewer than 126 bytes (RFC 6455, 5.2)."""
    assert len(text) < 126
    mask = os.urandom(4)
    return (
        bytes([0x81, 0x80 | len(text)]) + mask + bytes(b ^ mask[n % 4] for n, b in enumerate(text))
    )
