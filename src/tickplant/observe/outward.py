"""What comes in and goes out, as metric families: feeds, the stream, the market."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from prometheus_client.metrics_core import Metric

from tickplant.observe.families import counter, gauge, histogram, keyed
from tickplant.observe.freshness import freshness
from tickplant.observe.streamed import SEND_SECONDS, StreamCounts

_FEED_UP = {"connected": 1.0}


def feeds(feeds: Sequence[Mapping[str, Any]]) -> Iterator[Metric]:
    """Yield the state, the rate and the lag of every feed, as `/v1/feeds` shows them."""
    up = {feed["id"]: _FEED_UP.get(feed["state"], 0.0) for feed in feeds}
    yield gauge("feed_up", "1 while the feed is connected.", keyed(up), "feed")
    events = {feed["id"]: float(feed["events"]) for feed in feeds}
    yield counter("feed_events", "Rows that the feed submitted.", keyed(events), "feed")
    lags = {feed["id"]: feed["lag"] for feed in feeds if feed.get("lag") is not None}
    yield gauge("feed_lag_seconds", "Age of the last event on arrival.", keyed(lags), "feed")
    states = {(feed["id"], feed["state"]): 1.0 for feed in feeds}
    yield gauge("feed_state", "1 for the state that the feed is in.", states, "feed", "state")
    for name, key, text in (
        ("restarts", "restarts", "Times that the feed failed or was cut."),
        ("gaps_open", "gaps_open", "Gaps of the feed that are not repaired."),
    ):
        found = keyed({feed["id"]: float(feed[key]) for feed in feeds if key in feed})
        made = counter if name == "restarts" else gauge
        yield made(f"feed_{name}", text, found, "feed")
    breakers = {
        (feed["id"], state): float(feed["breaker"] == state)
        for feed in feeds
        if "breaker" in feed
        for state in ("closed", "open", "half_open")
    }
    text = "1 for the state of the breaker before requests to the feed's venue or provider."
    yield gauge("feed_breaker", text, breakers, "feed", "state")
    yield from _venue_feeds([feed for feed in feeds if "connections" in feed])


def _venue_feeds(feeds: Sequence[Mapping[str, Any]]) -> Iterator[Metric]:
    """Yield what is judged of the connections and streams of venues' feeds."""
    lines = [
        (feed["id"], str(line["line"]), line) for feed in feeds for line in feed["connections"]
    ]
    up = {(id, number): float(line["state"] == "live") for id, number, line in lines}
    yield gauge("connection_up", "1 while the connection is live.", up, "feed", "line")
    failed = {(id, number): float(line["failed"]) for id, number, line in lines}
    ends = "Times that the connection ended or could not be made."
    yield counter("connection_failures", ends, failed, "feed", "line")
    streams = {
        (feed["id"], state): float(count)
        for feed in feeds
        for state, count in feed["streams"].items()
    }
    yield gauge(
        "feed_streams", "Subscriptions by what is judged of them.", streams, "feed", "state"
    )
    repairs = {feed["id"]: feed["repairs"] for feed in feeds if "repairs" in feed}
    for name, text in (
        ("repaired", "Gaps that the feed has repaired."),
        ("events", "Events that repairs brought."),
        ("failed", "Attempts to repair a gap that failed."),
        ("unrepairable", "Gaps that the feed has given up."),
    ):
        counts = keyed({id: float(found[name]) for id, found in repairs.items()})
        yield counter(f"feed_repairs_{name}", text, counts, "feed")


def stream(counts: StreamCounts) -> Iterator[Metric]:
    """Yield what the stream sends, and to whom it does not."""
    yield gauge("stream_subscribers", "Open connections of the stream.", counts.subscribers)
    yield counter("stream_frames", "Frames of data sent.", counts.frames)
    sent = keyed(counts.sent_events)
    yield counter("stream_events_sent", "Events sent, each receiver's.", sent, "channel")
    dropped = {key: float(value) for key, value in dict(counts.dropped_events).items()}
    yield counter(
        "stream_events_dropped",
        "Events that slow subscribers missed.",
        dropped,
        "channel",
        "policy",
    )
    ended = keyed(counts.disconnects)
    yield counter("stream_disconnects", "Connections that the plant ended.", ended, "reason")
    yield histogram(
        "tickplant_stream_send_seconds",
        "How long the socket took to take a message.",
        SEND_SECONDS,
        counts.sends,
        counts.send_s,
    )


class Top(NamedTuple):
    """What the market shows of one instrument; None is unknown. `age_s` is that of its newest."""

    symbol: str
    exchange: str
    mid: float | None
    spread_bps: float | None
    imbalance: float | None
    age_s: float | None


def market(tops: Sequence[Top]) -> Iterator[Metric]:
    """Yield the gauges of the market; where there is no book there is no number."""
    for name, text, values in (
        ("mid_price", "Middle of best bid and ask.", [top.mid for top in tops]),
        ("spread_bps", "Spread / mid price x 10,000.", [top.spread_bps for top in tops]),
        ("imbalance", "Bid share of the best five levels.", [top.imbalance for top in tops]),
        ("staleness_seconds", "Age of the newest event.", [top.age_s for top in tops]),
        (
            "health_score",
            "1 fresh, 0.5 to be watched, 0 stale.",
            [freshness(top.age_s).health for top in tops],
        ),
    ):
        known = {
            (top.symbol, top.exchange): value
            for top, value in zip(tops, values, strict=True)
            if value is not None
        }
        yield gauge(f"market_{name}", text, known, "symbol", "exchange")
