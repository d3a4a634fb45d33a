"""Clients of a running plant: `Client` for plain code, `AsyncClient` for event loops.

Both read and write over HTTP with Arrow on the wire, and follow the stream over a WebSocket that
reconnects by itself. They import neither the plant nor the gateway.
"""

from tickplant.client.aio import AsyncClient
from tickplant.client.push import Ingest
from tickplant.client.push_aio import AsyncIngest
from tickplant.client.rows import Receipt, Rejected
from tickplant.client.stream import Stream
from tickplant.client.stream_aio import AsyncStream
from tickplant.client.sync import Client

__all__ = [
    "AsyncClient",
    "AsyncIngest",
    "AsyncStream",
    "Client",
    "Ingest",
    "Receipt",
    "Rejected",
    "Stream",
]
