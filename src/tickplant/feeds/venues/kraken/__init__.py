"""Kraken: protocol version 2 of its WebSocket API, and the older messages of version 1."""
