"""The dashboard of load tests: what k6 writes by remote write (`make load`)."""

from __future__ import annotations

from dashboard_panels import WINDOW, Board, Panel

_QUANTILES = ("p50", "p95", "p99")

LOAD = Board("tickplant-load", "Tickplant: load test", {
    "The load": [
        Panel("Virtual users", "short", {"users": "sum(k6_vus)"}),
        Panel("Requests a second", "reqps",
              {"requests": f"sum(rate(k6_http_reqs_total[{WINDOW}]))"}),
        Panel("Checks passed", "percentunit", {"": "avg(k6_checks_rate)"}, "stat"),
        Panel("Requests failed", "percentunit", {"": "avg(k6_http_req_failed_rate)"}, "stat"),
    ],
    "Latency": [
        Panel("Of the slowest route", "s",
              {part: f"max(k6_http_req_duration_{part})" for part in _QUANTILES}),
        Panel("By route (p95)", "s", {"{{route}}": "max by (route) (k6_http_req_duration_p95)"}),
    ],
    "What was checked": [
        Panel("Checks passed, each", "percentunit", {"{{check}}":
              "avg by (check) (k6_checks_rate)"}),
        Panel("Messages of sockets a second", "cps", {"{{route}}":
              f"sum by (route) (rate(k6_ws_msgs_received_total[{WINDOW}]))"}),
    ],
})  # fmt: skip
