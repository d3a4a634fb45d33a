"""An example of each message; tests hold them against the schemas."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_TS = "2014-05-07T00:00:01Z"
_RECV = "2014-05-07T00:00:01.25Z"
_HEAD = {"symbol": "EURUSD", "venue": "ORIGIN"}
_TIMES = {"ts_event": _TS, "ts_recv": _RECV}
_BAR = {
    "interval": "1m",
    "basis": "trade",
    "start": "2014-05-07T00:00:00Z",
    "end": "2014-05-07T00:01:00Z",
    "state": "forming",
    "revision": 5077,
}
_PRICES = {"open": 1.3928, "high": 1.3931, "low": 1.3927, "close": 1.393, "volume": 1200.0}
_TRADE = {"price": 1.3928, "size": 100.0, "side": "buy", "id": "T-17"}
_NONE: dict[str, Any] = {"conditions": None, "exchange": None, "flags": []}
_QUOTE: dict[str, Any] = {
    "bid_price": 1.3927,
    "bid_size": 1_000_000.0,
    "ask_price": 1.3929,
    "ask_size": 2_000_000.0,
    "exchange": None,
    "flags": [],
}
_TICK = {
    "symbol": "EURUSD",
    "exchange": "ORIGIN",
    "time": _TS,
    "price": 1.3928,
    "size": 100.0,
    "seq": 1043,
    "synthetic": False,
}


def _data(channel: str, event: Mapping[str, Any]) -> dict[str, Any]:
    return {"op": "data", "id": 1, "channel": channel, "seq": 1043, "events": [event]}


STREAM: Mapping[str, Mapping[str, Any]] = {
    "Subscribe": {"op": "subscribe", "id": 1, "channel": "trades", "symbols": ["EURUSD"]},
    "Unsubscribe": {"op": "unsubscribe", "id": 1},
    "Ping": {"op": "ping", "id": 2},
    "Trades": _data("trades", {**_HEAD, **_TIMES, "seq": 1043, **_TRADE, **_NONE}),
    "Quotes": _data("quotes", {**_HEAD, **_TIMES, "seq": 1043, **_QUOTE}),
    "Stats": _data(
        "stats",
        {**_HEAD, **_TIMES, "seq": 1043, "name": "open_interest", "value": 81_450.5, "flags": []},
    ),
    "Books": _data(
        "books",
        {
            **_HEAD,
            **_TIMES,
            "seq": 1043,
            "action": "update",
            "update": 48822,
            "bids": [[64_000.0, 1.5]],
            "asks": [[64_001.0, 0.0]],
        },
    ),
    "Candles": _data(
        "candles",
        {
            **_HEAD,
            **_BAR,
            **_PRICES,
            "timezone": "UTC",
            "day_start": "00:00",
            "vwap": 1.39295,
            "count": 42,
            "coverage": 1.0,
        },
    ),
    "Indicators": _data("indicators", {**_HEAD, **_BAR, "close": 1.393, "sma": 1.39295}),
    "Status": _data(
        "status",
        {
            "ts": _TS,
            "state": "running",
            "ready": True,
            "reason": "accepting",
            "backpressure": "healthy",
            "run": 3,
        },
    ),
    "Subscribed": {
        "op": "subscribed",
        "id": 1,
        "channel": "trades",
        "symbols": ["ORIGIN:EURUSD"],
        "seq": 1042,
        "run": 3,
    },
    "Unsubscribed": {"op": "unsubscribed", "id": 1},
    "Live": {"op": "live", "id": 1, "seq": 5077},
    "Heartbeat": {"op": "heartbeat", "seq": 5077, "run": 3, "ts": _TS},
    "Pong": {"op": "pong", "id": 2, "seq": 5077, "run": 3, "ts": _TS},
    "Slow": {"op": "slow", "id": 1, "channel": "quotes", "dropped": 12, "policy": "conflate"},
    "Gap": {
        "op": "gap",
        "id": 5078,
        "feed": "push",
        "symbols": ["ORIGIN:EURUSD"],
        "start": "2024-05-07T09:01:30Z",
        "end": "2024-05-07T09:04:30Z",
        "cause": "restart",
        "noticed": "2024-05-07T09:04:31Z",
        "status": "open",
        "events": None,
    },
    "Feed": {
        "op": "feed",
        "feed": "binance",
        "ts": _TS,
        "line": 1,
        "state": "down",
        "reason": "the connection broke",
        "refused": [],
        "streams": {"live": 40, "down": 40},
    },
    "Error": {"op": "error", "id": 3, "code": "unknown_symbol", "message": "EURUSX is not known"},
}

INGEST: Mapping[str, Mapping[str, Any]] = {
    "Hello": {"op": "hello", "producer": "collector-7", "feed": "mine", "venue": "X"},
    "RowsSent": {
        "op": "rows",
        "seq": 1,
        "table": "trades",
        "rows": [{"symbol": "ACME", "price": 101.5, "size": 2}],
    },
    "Alive": {"op": "alive", "ts": _TS},
    "Hole": {"op": "hole", "start": _TS, "end": "2014-05-07T00:03:00Z", "detail": "restarted"},
    "End": {"op": "end"},
    "Ping": {"op": "ping", "id": 1},
    "HelloSaid": {
        "op": "hello",
        "run": 3,
        "seq": 1042,
        "tables": ["trades", "quotes", "stats"],
        "window": 64,
        "frame_bytes_max": 8_388_608,
        "heartbeat_s": 5.0,
        "ts": _TS,
    },
    "Ready": {"op": "ready", "feed": "mine", "producer": "collector-7", "venue": "X"},
    "Ack": {
        "op": "ack",
        "seq": 1,
        "accepted": 1,
        "duplicates": 0,
        "rejected": [],
        "seq_first": 1043,
        "seq_last": 1043,
    },
    "Refused": {"op": "error", "seq": 2, "code": "bad_table", "message": "table: books is not"},
    "Ended": {"op": "ended", "ts": _TS},
    "Beat": {"op": "heartbeat", "ts": _TS},
    "PongSaid": {"op": "pong", "id": 1, "ts": _TS},
}

SEEDS: Mapping[str, Mapping[str, Any]] = {
    "Action": {"action": "subscribe", "symbols": ["EURUSD"]},
    "Connected": {"type": "connected", "message": "send subscribe, unsubscribe or ping"},
    "Changed": {"type": "subscribed", "symbols": ["EURUSD"]},
    "Ticked": {"type": "tick", "data": _TICK},
    "Tick": _TICK,
    "Bar": {
        "bucket": "2014-05-07T00:00:00Z",
        "symbol": "EURUSD",
        **_PRICES,
        "tick_count": 42,
        "state": "forming",
        "revision": 5077,
    },
    "Ponged": {"type": "pong"},
    "Fault": {"type": "error", "code": "unknown_symbol", "message": "EURUSX is not known"},
}
