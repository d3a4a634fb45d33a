"""The dashboards: which panels each has, and what each asks.

Every query is asked of a plant's own scrapes by a test, so that no panel stays empty. `WINDOW`
stands for the span of a rate, which Grafana chooses by the width of the panel.
"""

from __future__ import annotations

from typing import NamedTuple

WINDOW = "$__rate_interval"


OR_ZERO = " or vector(0)"
"""What is added to a query of what does not happen on a good day."""


class Panel(NamedTuple):
    """One panel: its queries with their legends; `kind` is a sort of panel of Grafana's."""

    title: str
    unit: str
    queries: dict[str, str]
    kind: str = "timeseries"


class Board(NamedTuple):
    """One dashboard: rows of panels by title."""

    uid: str
    title: str
    rows: dict[str, list[Panel]]


def _rate(metric: str, *by: str) -> str:
    rate = f"(rate({metric}[{WINDOW}]))"
    return f"sum by ({', '.join(by)}) {rate}" if by else f"sum{rate}"


def _or_none(query: str) -> str:
    """Return a query that answers 0 where nothing of it has happened yet."""
    return f"{query}{OR_ZERO}"


def _parts(metric: str, *parts: float) -> dict[str, str]:
    return {
        f"p{part * 100:g}": f"histogram_quantile({part}, {_rate(metric + '_bucket', 'le')})"
        for part in parts
    }


def _stat(title: str, unit: str, query: str, legend: str = "") -> Panel:
    return Panel(title, unit, {legend: query}, "stat")


FIVE_XX = 'tickplant_http_requests_total{status=~"5.."}'
"""Requests that ended in a fault of ours; there are none on a good day, and then 0 is shown."""

OPERATIONS = Board("tickplant-operations", "Tickplant: operations", {
    "Overview": [
        _stat("Ticks a second", "cps", _rate("ticks_ingested_total")),
        _stat("Feeds connected", "short", "sum(tickplant_feed_up)"),
        _stat("Rows that failed a second", "cps", _or_none(_rate("tickplant_events_failed_total"))),
        _stat("Healthy", "bool_yes_no", "min(tickplant_probe_up)"),
        _stat("Ready", "bool_yes_no", "min(tickplant_ready)"),
        Panel("Mid prices", "short", {"{{exchange}}:{{symbol}}": "tickplant_market_mid_price"}),
    ],
    "Latency": [
        Panel("Submission to durable", "s", _parts("tickplant_ack_seconds", 0.5, 0.95, 0.99)),
        Panel("Batch to durable", "s", _parts("tickplant_flush_seconds", 0.95)),
        Panel("Sync of the log", "s", _parts("tickplant_log_fsync_seconds", 0.95, 0.99)),
    ],
    "Batches": [
        Panel("Rows of a batch", "short", _parts("tickplant_batch_rows", 0.5, 0.95)),
        Panel("Batches a second", "cps", {"batches": _rate("tickplant_batch_rows_count")}),
        Panel("Batches filled", "percentunit", {"fill":
              f"{_rate('tickplant_batch_rows_sum')} / {_rate('tickplant_batch_rows_count')} "
              "/ max(tickplant_batch_rows_max)"}),
        Panel("Rows that wait", "short", {"{{instance}}": "tickplant_inbox_rows"}),
    ],
    "Errors": [
        Panel("Refused by the checks", "cps",
              {"{{reason}}": _or_none(_rate("tickplant_events_rejected_total", "reason"))}),
        Panel("Failed", "cps",
              {"{{error}}": _or_none(_rate("tickplant_events_failed_total", "error"))}),
        Panel("Refused, by reason", "short", {"{{reason}}": _or_none(
              "sum by (reason) (increase(tickplant_events_rejected_total[1h]))")}, "piechart"),
        _stat("Refused in the last hour", "short",
              _or_none("sum(increase(tickplant_events_rejected_total[1h]))")),
    ],
    "Load": [
        Panel("Backpressure (0 healthy to 3 overload)", "short",
              {"{{instance}}": "tickplant_backpressure_level"}),
        Panel("Shares of bounds", "percentunit", {"{{measure}}": "tickplant_backpressure_share"}),
        Panel("Quotes left out", "cps",
              {"{{feed}}: {{policy}}": _or_none(_rate("tickplant_events_shed_total",
                                                      "feed", "policy"))}),
    ],
    "What is stored": [
        Panel("Rows by table", "cps",
              {"{{table}}": _rate("tickplant_events_accepted_total", "table")}),
        Panel("Updates of candles", "cps",
              {"{{interval}}": _or_none(_rate("tickplant_candle_updates_total", "interval"))}),
        Panel("Order books", "short", {"{{state}}": "sum by (state) (tickplant_books)"}),
        _stat("Gaps open", "short", "sum(tickplant_gaps_open)"),
    ],
})  # fmt: skip

MARKET = Board("tickplant-market", "Tickplant: market", {
    "HTTP": [
        Panel("Requests a second", "reqps",
              {"{{route}}": _rate("tickplant_http_requests_total", "route")}),
        Panel("Latency (p95)", "s", _parts("tickplant_http_request_seconds", 0.95)),
        _stat("Faults a second", "reqps", _or_none(_rate(FIVE_XX))),
        Panel("Latency by route (p95)", "s", {"{{route}}":
              "histogram_quantile(0.95, "
              + _rate("tickplant_http_request_seconds_bucket", "route", "le") + ")"}),
    ],
    "Prices": [
        Panel("Mid price", "short", {"{{exchange}}:{{symbol}}": "tickplant_market_mid_price"}),
        _stat("Mid price now", "short", "tickplant_market_mid_price", "{{symbol}}"),
        Panel("Spread", "short", {"{{exchange}}:{{symbol}}": "tickplant_market_spread_bps"}),
        _stat("Widest spread (bps)", "short", "max(tickplant_market_spread_bps)"),
        Panel("Imbalance", "percentunit", {"{{exchange}}:{{symbol}}":
              "tickplant_market_imbalance"}),
        _stat("Instruments", "short", "max(tickplant_instruments)"),
    ],
    "How fresh": [
        Panel("Health score", "short", {"{{exchange}}:{{symbol}}":
              "tickplant_market_health_score"}),
        Panel("Staleness", "s", {"{{exchange}}:{{symbol}}":
              "tickplant_market_staleness_seconds"}),
        _stat("Share that is fresh", "percentunit",
              "avg(tickplant_market_health_score == bool 1)"),
        Panel("Lag of feeds", "s", {"{{feed}}": "tickplant_feed_lag_seconds"}),
        Panel("Lag of watermarks", "s", {"{{feed}}": "tickplant_watermark_lag_seconds"}),
    ],
    "Books": [
        Panel("Levels", "short", {"{{instance}}": "tickplant_book_levels"}),
        Panel("Books made anew", "cps",
              {"{{reason}}": _or_none(_rate("tickplant_book_rebuilds_total", "reason"))}),
    ],
})  # fmt: skip

FX = Board("tickplant-fx", "Tickplant: FX", {
    "FX": [
        Panel("Requests a second, latency (p95)", "short", {
            "requests": _rate("http_request_duration_seconds_count"),
            **_parts("http_request_duration_seconds", 0.95)}),
        Panel("Ticks a second", "cps", {"ticks": _rate("ticks_ingested_total")}),
        Panel("Bars: latency (p95)", "s", _parts("ohlc_query_duration_seconds", 0.95)),
        Panel("Open connections", "short", {"{{instance}}": "websocket_connections_active"}),
        Panel("Faults a second", "reqps", {"5xx": _or_none(_rate(FIVE_XX))}),
    ],
})  # fmt: skip

CAPACITY = Board("tickplant-capacity", "Tickplant: capacity", {
    "The machine": [
        Panel("Processor", "short", {"cores": _rate("process_cpu_seconds_total")}),
        Panel("Memory", "bytes", {
            "process": "process_resident_memory_bytes",
            "events": "tickplant_store_memory_bytes",
            "candles": "tickplant_served_bytes"}),
        Panel("Free on the data's disk", "bytes", {"{{instance}}": "tickplant_disk_free_bytes"}),
        Panel("Journal", "bytes", {"{{instance}}": "tickplant_log_bytes"}),
        Panel("Archive", "bytes", {"{{table}}": "sum by (table) (tickplant_store_bytes)"}),
        Panel("Rows in memory", "short",
              {"{{table}}": 'sum by (table) (tickplant_store_rows{place="memory"})'}),
    ],
    "The stream": [
        Panel("Subscribers", "short", {"{{instance}}": "tickplant_stream_subscribers"}),
        Panel("Events sent", "cps",
              {"{{channel}}": _or_none(_rate("tickplant_stream_events_sent_total", "channel"))}),
        Panel("Events left out", "cps",
              {"{{channel}}": _or_none(_rate("tickplant_stream_events_dropped_total", "channel"))}),
        Panel("Sending", "s", _parts("tickplant_stream_send_seconds", 0.5, 0.99)),
        Panel("Cut off", "cps",
              {"{{reason}}": _rate("tickplant_stream_disconnects_total", "reason")}),
    ],
})  # fmt: skip

BOARDS = (OPERATIONS, MARKET, FX, CAPACITY)
