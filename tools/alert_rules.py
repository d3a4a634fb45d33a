"""The alerts: when each fires, for how long it must last, and what it says.

The first group has the thresholds of the systems that the plant takes the place of; the second
those of its HTTP side; the third is about what this plant has besides: a log, an archive, gaps,
books, subscribers. Rates are over a minute, so that `lasting` alone says how long a state lasts.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple


class Alert(NamedTuple):
    """One alert; `lasting` is how long `expr` must have had an answer, `` for at once."""

    name: str
    severity: Literal["critical", "warning", "info"]
    expr: str
    lasting: str
    summary: str
    description: str


def _quantile(part: float, metric: str, labels: str = "instance, le") -> str:
    return f"histogram_quantile({part}, sum by ({labels}) (rate({metric}_bucket[1m])))"


_ACK = _quantile(0.99, "tickplant_ack_seconds")

TICKS = [
    Alert("HighTickProcessingLatency", "warning", f"{_ACK} > 0.1", "5m",
          "Ticks take more than 100 ms from submission to durable (p99)",
          "The slowest percent of batches waits {{ $value | humanizeDuration }} for its receipt."),
    Alert("CriticalTickProcessingLatency", "critical", f"{_ACK} > 0.5", "2m",
          "Ticks take more than 500 ms from submission to durable (p99)",
          "The slowest percent of batches waits {{ $value | humanizeDuration }} for its receipt."),
    Alert("HighTickProcessingErrorRate", "critical",
          "sum by (instance) (rate(tickplant_events_failed_total[1m])) > 10", "2m",
          "More than 10 rows a second end in a fault",
          "{{ $value | humanize }} rows a second were handed in and not taken."),
    Alert("TickValidationErrorsIncreasing", "warning",
          "sum by (instance) (rate(tickplant_events_rejected_total[1m])) > 50", "5m",
          "More than 50 rows a second are refused by the checks",
          "{{ $value | humanize }} rows a second go to the quarantine."),
    Alert("LowTickThroughput", "warning",
          "rate(ticks_ingested_total[1m]) < 100 and rate(ticks_ingested_total[1m]) > 0", "5m",
          "Fewer than 100 ticks a second are stored",
          "{{ $value | humanize }} trades and quotes a second."),
    Alert("NoTicksProcessed", "critical", "rate(ticks_ingested_total[1m]) == 0", "5m",
          "No tick was stored for five minutes",
          "Neither a trade nor a quote was stored by {{ $labels.instance }}."),
    Alert("HighBatchFlushLatency", "warning",
          f"{_quantile(0.95, 'tickplant_flush_seconds')} > 0.5", "5m",
          "Batches take more than 500 ms to become durable (p95)",
          "The slowest twentieth of batches takes {{ $value | humanizeDuration }}."),
    Alert("LowBatchFillRate", "info",
          "rate(tickplant_batch_rows_sum[1m]) / rate(tickplant_batch_rows_count[1m]) "
          "/ tickplant_batch_rows_max < 0.5 and tickplant_inbox_rows > tickplant_batch_rows_max",
          "15m",
          "Batches are less than half full though rows wait",
          "Batches are filled to {{ $value | humanizePercentage }}."),
    Alert("NoActiveAccounts", "critical", "sum by (instance) (tickplant_feed_up) == 0", "5m",
          "No feed is connected",
          "Not one feed of {{ $labels.instance }} is connected."),
    Alert("TickProcessorDown", "critical", 'up{job="tickplant"} == 0 or tickplant_ready == 0', "1m",
          "The plant is down or accepts no rows",
          "{{ $labels.instance }} cannot be scraped, or says that it is not ready."),
    Alert("HighMemoryUsage", "warning",
          'process_resident_memory_bytes{job="tickplant"} > 2147483648', "10m",
          "The plant uses more than 2 GiB of memory",
          "It uses {{ $value | humanize1024 }}B."),
    Alert("HighPendingRows", "warning",
          "tickplant_inbox_rows > 0.5 * tickplant_inbox_rows_max", "5m",
          "More than half of the room for waiting rows is taken",
          "{{ $value | humanize }} rows wait; at the bound producers are refused."),
    Alert("HighFeedLag", "warning", "tickplant_feed_lag_seconds > 5", "5m",
          "A feed's events are more than five seconds old on arrival",
          "Those of {{ $labels.feed }} are {{ $value | humanizeDuration }} old."),
]  # fmt: skip

API = [
    Alert("HighApiLatency", "warning",
          f"{_quantile(0.95, 'tickplant_http_request_seconds')} > 1", "5m",
          "Requests take more than a second (p95)",
          "The slowest twentieth of requests takes {{ $value | humanizeDuration }}."),
    Alert("HighApiErrorRate", "critical",
          'sum by (instance) (rate(tickplant_http_requests_total{status=~"5.."}[1m])) > 0.05', "5m",
          "More than 0.05 requests a second end in a fault of the plant",
          "{{ $value | humanize }} requests a second are answered with 5xx."),
]  # fmt: skip

PLANT = [
    Alert("GapOpenTooLong", "warning", "tickplant_gaps_open_seconds_max > 900", "1m",
          "A gap has been open for more than 15 minutes",
          "The oldest one has been open for {{ $value | humanizeDuration }}."),
    Alert("LogUnavailable", "critical", "tickplant_log_up == 0", "30s",
          "The log cannot make rows durable",
          "fsync or a write of the journal fails on {{ $labels.instance }}; rows are refused."),
    Alert("LogFsyncSlow", "warning",
          f"{_quantile(0.99, 'tickplant_log_fsync_seconds')} > 0.25", "5m",
          "Syncs of the log take more than 250 ms (p99)",
          "The slowest percent of syncs takes {{ $value | humanizeDuration }}."),
    Alert("DiskNearlyFull", "critical",
          "tickplant_disk_free_bytes < 0.1 * tickplant_disk_size_bytes "
          "or tickplant_disk_free_bytes < 4 * tickplant_disk_needed_bytes", "2m",
          "The disk of the data is nearly full",
          "{{ $value | humanize1024 }}B are free."),
    Alert("ArchiveFailing", "critical", "tickplant_store_up == 0", "2m",
          "The archive cannot be written",
          "Rows stay in memory and in the journal until the archive takes them."),
    Alert("DamageFound", "critical", "tickplant_log_damage + tickplant_store_damage > 0", "",
          "Damaged files were found",
          "{{ $value }} places of the journal or the archive of {{ $labels.instance }}."),
    Alert("FeedDown", "critical",
          'max by (instance, feed) (tickplant_feed_state{state=~"waiting|starting"}) == 1', "5m",
          "A feed that should run is not connected",
          "{{ $labels.feed }} of {{ $labels.instance }} waits, or tries to connect."),
    Alert("StreamsStalled", "warning",
          'sum by (instance, feed) (tickplant_feed_streams{state=~"stalled|down"}) > 0', "5m",
          "Subscriptions of a feed have stalled while others of it live",
          "{{ $value }} of {{ $labels.feed }} are stalled or down."),
    Alert("FeedBreakerOpen", "warning", 'tickplant_feed_breaker{state="closed"} == 0', "5m",
          "A feed's venue or provider is not asked any more: its requests fail",
          "The breaker before the requests of {{ $labels.feed }} has not closed for five minutes."),
    Alert("SlowSubscribersDisconnected", "warning",
          'sum by (instance, reason) (increase(tickplant_stream_disconnects_total[5m])) > 0', "",
          "Subscribers were cut off",
          "{{ $value | humanize }} in five minutes: {{ $labels.reason }}."),
    Alert("BackpressureCritical", "warning", "tickplant_backpressure_level == 2", "1m",
          "The plant is hard pressed",
          "Quotes of live feeds are thinned out on {{ $labels.instance }}, and polls are rare."),
    Alert("BackpressureOverload", "critical", "tickplant_backpressure_level == 3", "30s",
          "The plant is overloaded and refuses rows",
          "Producers of {{ $labels.instance }} are told to retry; live feeds wait."),
    Alert("QuotesLeftOut", "warning",
          "sum by (instance, feed, policy) (increase(tickplant_events_shed_total[5m])) > 0", "",
          "Quotes of a live feed were left out under load",
          "{{ $value | humanize }} of {{ $labels.feed }} in five minutes: {{ $labels.policy }}."),
    Alert("RecoverySlow", "warning", "tickplant_recovery_seconds > 60", "",
          "The start took, or takes, more than a minute",
          "It took {{ $value | humanizeDuration }} until all rows could be read."),
    Alert("TracesLost", "info",
          'sum by (instance, outcome) '
          '(increase(tickplant_trace_spans_total{outcome!="exported"}[5m])) > 0', "10m",
          "Spans of traces do not reach the collector",
          "{{ $value | humanize }} in five minutes were {{ $labels.outcome }}."),
    Alert("MetricsIncomplete", "warning",
          "sum by (instance, source) (increase(tickplant_scrape_errors_total[5m])) > 0", "5m",
          "A part of the plant cannot be read for its metrics",
          "The metrics of {{ $labels.source }} are missing, so alerts on them cannot fire."),
]  # fmt: skip

GROUPS = {"tickplant-ticks": TICKS, "tickplant-api": API, "tickplant-plant": PLANT}

EVERY_S = 15
"""How often the rules are evaluated, s."""

_UNITS_S = {"s": 1, "m": 60, "h": 3_600}
_SPAN = re.compile(r"\[(\d+)([smh])\]")
_GAP_OPEN = re.compile(r"(tickplant_gaps_open_seconds_max > )(\d+)")


def faster(alert: Alert, factor: float) -> Alert:
    """Return an alert for a world in which time passes `factor` times as fast.

    Scaled are how long it must last, the spans of its rates, and the age of a gap; a latency stays
    what it is, because the disk of that world is no faster.
    """

    def shorter(number: str, unit: str) -> str:
        return f"{round(1_000 * int(number) * _UNITS_S[unit] / factor)}ms"

    expr = _SPAN.sub(lambda found: f"[{shorter(*found.groups())}]", alert.expr)
    expr = _GAP_OPEN.sub(lambda found: f"{found[1]}{int(found[2]) / factor:g}", expr)
    lasting = shorter(alert.lasting[:-1], alert.lasting[-1]) if alert.lasting else ""
    return alert._replace(expr=expr, lasting=lasting)
