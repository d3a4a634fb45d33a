"""For each alert: series that make it fire and then resolve, as `promtool test rules` takes them.

A case is a bad time, longer than the alert must last, and a good time after it. Samples are 15 s
apart; a counter or a bucket is given by its growth a sample, a gauge by its value.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate

STEP_S = 15
GOOD = 26
"""Samples of the good time: longer than the longest window of a rule, and its rest."""

PLANT = 'instance="plant:8000",job="tickplant"'
BOUNDS = ("0.1", "0.25", "0.5", "1.0", "2.5", "+Inf")


@dataclass(frozen=True)
class Line:
    """A series: its name with labels, what it does in the bad and in the good time."""

    series: str
    bad: float
    good: float
    grows: bool = False

    def values(self, bad: int, good: int) -> str:
        """Return the samples of so many bad and good ones."""
        steps = [self.bad] * bad + [self.good] * good
        return " ".join(f"{value:g}" for value in (accumulate(steps) if self.grows else steps))


@dataclass(frozen=True)
class Turns(Line):
    """A gauge that is 1 and 0 by turns in the bad time, from 1 on or from 0, and then as good."""

    def values(self, bad: int, good: int) -> str:
        """Return the samples."""
        steps = [(self.bad + at) % 2 for at in range(bad)] + [self.good] * good
        return " ".join(f"{value:g}" for value in steps)


@dataclass(frozen=True)
class Case:
    """`lasts_s` is the `for` of the rule, as the reader of the case is told it."""

    lasts_s: int
    lines: tuple[Line, ...]

    @property
    def bad(self) -> int:
        """Samples of the bad time."""
        return self.lasts_s // STEP_S + 12


def gauge(name: str, bad: float, good: float, labels: str = "") -> Line:
    return Line(f"{name}{{{PLANT}{labels and ',' + labels}}}", bad, good)


def counter(name: str, bad: float, good: float, labels: str = "") -> Line:
    return Line(f"{name}{{{PLANT}{labels and ',' + labels}}}", bad, good, grows=True)


def histogram(name: str, slow: str) -> tuple[Line, ...]:
    """Return buckets of which all lie just below `slow` in the bad time, then below the first."""
    first = BOUNDS.index(slow)
    return tuple(
        counter(f"{name}_bucket", 150.0 if place >= first else 0.0, 150.0, f'le="{bound}"')
        for place, bound in enumerate(BOUNDS)
    )


def fill(rows: float, waiting: float) -> tuple[Line, ...]:
    return (
        counter("tickplant_batch_rows_sum", rows, 150_000),
        counter("tickplant_batch_rows_count", 10, 10),
        gauge("tickplant_batch_rows_max", 16_384, 16_384),
        gauge("tickplant_inbox_rows", waiting, 0),
        gauge("tickplant_inbox_rows_max", 2_000_000, 2_000_000),
    )


def disk(free: float) -> tuple[Line, ...]:
    return (
        gauge("tickplant_disk_free_bytes", free, 50e9),
        gauge("tickplant_disk_size_bytes", 100e9, 100e9),
        gauge("tickplant_disk_needed_bytes", 1e8, 1e8),
    )


FEED = 'feed="venue"'
ACK = "tickplant_ack_seconds"

CASES: dict[str, Case] = {
    "HighTickProcessingLatency": Case(300, histogram(ACK, "0.25")),
    "CriticalTickProcessingLatency": Case(120, histogram(ACK, "1.0")),
    "HighTickProcessingErrorRate": Case(
        120, (counter("tickplant_events_failed_total", 180, 0, 'error="Overloaded"'),)
    ),
    "TickValidationErrorsIncreasing": Case(
        300,
        (
            counter("tickplant_events_rejected_total", 600, 0, 'reason="time"'),
            counter("tickplant_events_rejected_total", 600, 15, 'reason="price_missing"'),
        ),
    ),
    "LowTickThroughput": Case(300, (counter("ticks_ingested_total", 750, 15_000),)),
    "NoTicksProcessed": Case(300, (counter("ticks_ingested_total", 0, 15_000),)),
    "HighBatchFlushLatency": Case(300, histogram("tickplant_flush_seconds", "1.0")),
    "LowBatchFillRate": Case(900, fill(10_000, 100_000)),
    "NoActiveAccounts": Case(
        300,
        (
            gauge("tickplant_feed_up", 0, 1, FEED),
            gauge("tickplant_feed_up", 0, 0, 'feed="other"'),
        ),
    ),
    "TickProcessorDown": Case(60, (gauge("up", 0, 1), gauge("tickplant_ready", 1, 1))),
    "HighMemoryUsage": Case(600, (gauge("process_resident_memory_bytes", 2.2e9, 5e8),)),
    "HighPendingRows": Case(300, fill(150_000, 1_200_000)),
    "HighFeedLag": Case(300, (gauge("tickplant_feed_lag_seconds", 7, 0.1, FEED),)),
    "HighApiLatency": Case(300, histogram("tickplant_http_request_seconds", "2.5")),
    "HighApiErrorRate": Case(
        300,
        (
            counter("tickplant_http_requests_total", 1, 0, 'status="500",route="/health"'),
            counter("tickplant_http_requests_total", 900, 900, 'status="200",route="/health"'),
        ),
    ),
    "GapOpenTooLong": Case(60, (gauge("tickplant_gaps_open_seconds_max", 901, 0),)),
    "LogUnavailable": Case(30, (gauge("tickplant_log_up", 0, 1),)),
    "LogFsyncSlow": Case(300, histogram("tickplant_log_fsync_seconds", "0.5")),
    "DiskNearlyFull": Case(120, disk(9e9)),
    "ArchiveFailing": Case(120, (gauge("tickplant_store_up", 0, 1),)),
    "DamageFound": Case(
        0, (gauge("tickplant_log_damage", 0, 0), gauge("tickplant_store_damage", 1, 0))
    ),
    "FeedDown": Case(
        300,
        (
            gauge("tickplant_feed_state", 1, 0, f'{FEED},state="waiting"'),
            gauge("tickplant_feed_state", 0, 1, f'{FEED},state="connected"'),
            gauge("tickplant_feed_state", 1, 1, 'feed="import",state="finished"'),
        ),
    ),
    "StreamsStalled": Case(
        300,
        (
            gauge("tickplant_feed_streams", 1, 0, f'{FEED},state="stalled"'),
            gauge("tickplant_feed_streams", 2, 3, f'{FEED},state="live"'),
            gauge("tickplant_feed_streams", 5, 5, f'{FEED},state="quiet"'),
        ),
    ),
    "FeedBreakerOpen": Case(
        300,
        (
            gauge("tickplant_feed_breaker", 0, 1, f'{FEED},state="closed"'),
            # Once a minute one request tries, and fails.
            Turns(f'tickplant_feed_breaker{{{PLANT},{FEED},state="half_open"}}', 1, 0),
            Turns(f'tickplant_feed_breaker{{{PLANT},{FEED},state="open"}}', 0, 0),
            gauge("tickplant_feed_breaker", 1, 1, 'feed="other",state="closed"'),
        ),
    ),
    "SlowSubscribersDisconnected": Case(
        0, (counter("tickplant_stream_disconnects_total", 1, 0, 'reason="slow"'),)
    ),
    "BackpressureCritical": Case(60, (gauge("tickplant_backpressure_level", 2, 1),)),
    "BackpressureOverload": Case(30, (gauge("tickplant_backpressure_level", 3, 0),)),
    "QuotesLeftOut": Case(
        0,
        (
            counter(
                "tickplant_events_shed_total",
                5,
                0,
                'table="quotes",feed="kraken",policy="conflate"',
            ),
        ),
    ),
    "TracesLost": Case(
        600,
        (
            counter("tickplant_trace_spans_total", 5, 0, 'outcome="dropped"'),
            counter("tickplant_trace_spans_total", 50, 50, 'outcome="exported"'),
        ),
    ),
    "RecoverySlow": Case(0, (gauge("tickplant_recovery_seconds", 61, 3),)),
    "MetricsIncomplete": Case(
        300, (counter("tickplant_scrape_errors_total", 1, 0, 'source="store"'),)
    ),
}

MORE: dict[str, tuple[str, Case]] = {
    "a feed that tries again and again": (
        "FeedDown",
        Case(
            300,
            tuple(
                Turns(f'tickplant_feed_state{{{PLANT},{FEED},state="{state}"}}', bad, 0)
                for state, bad in (("waiting", 1), ("starting", 0))
            ),
        ),
    ),
    "not ready is down": (
        "TickProcessorDown",
        Case(60, (gauge("up", 1, 1), gauge("tickplant_ready", 0, 1))),
    ),
    "a large disk with little room for the log": (
        "DiskNearlyFull",
        Case(
            120,
            (
                gauge("tickplant_disk_free_bytes", 3e8, 9e8),
                gauge("tickplant_disk_size_bytes", 1e9, 1e9),
                gauge("tickplant_disk_needed_bytes", 1e8, 1e8),
            ),
        ),
    ),
    "damage of the log": (
        "DamageFound",
        Case(0, (gauge("tickplant_log_damage", 2, 0), gauge("tickplant_store_damage", 0, 0))),
    ),
    "a client that does not read": (
        "SlowSubscribersDisconnected",
        Case(0, (counter("tickplant_stream_disconnects_total", 1, 0, 'reason="stalled"'),)),
    ),
}
"""Other ways in which an alert comes to fire."""
