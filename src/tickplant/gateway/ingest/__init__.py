"""Rows over a WebSocket, each message acknowledged when its rows are durable."""
