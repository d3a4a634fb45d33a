"""Coinbase Advanced Trade: its WebSocket feed and its public REST API."""
