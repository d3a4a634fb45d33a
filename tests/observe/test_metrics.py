from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tickplant.observe.metrics import Metrics
from tickplant.observe.outward import Top
from tickplant.observe.scraped import NUMBERS
from tickplant.plant.served import ServedStatus


@dataclass
class Rows:
    num_rows: int


@dataclass
class Batch:
    table: str
    rows: Rows


@dataclass
class Accepted:
    batches: list[Batch] = field(default_factory=list)
    duplicates: int = 0
    rejects: list[SimpleNamespace] = field(default_factory=list)


def samples(metrics: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    text, content_type = metrics.render()
    assert content_type.startswith("text/plain")
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def value(metrics: Metrics, name: str, **labels: str) -> float:
    return samples(metrics)[f"tickplant_{name}", tuple(sorted(labels.items()))]


def test_what_became_of_a_batch_is_counted_once_each() -> None:
    metrics = Metrics()
    submission = SimpleNamespace(table="trades", feed="push")
    rejects = [SimpleNamespace(reason=r) for r in ("price_not_positive", "time", "time")]
    batches = [Batch("trades", Rows(7)), Batch("quarantine", Rows(3))]
    metrics.accepted(submission, Accepted(batches, 2, rejects))
    metrics.accepted(submission, Accepted([Batch("trades", Rows(1))]))
    assert value(metrics, "events_accepted_total", table="trades", feed="push") == 8
    assert value(metrics, "events_duplicates_total", table="trades", feed="push") == 2
    assert value(metrics, "events_rejected_total", reason="time") == 2
    assert value(metrics, "events_rejected_total", reason="price_not_positive") == 1
    assert value(metrics, "batch_rows_count") == 2
    assert value(metrics, "batch_rows_sum") == 8
    assert value(metrics, "batch_rows_bucket", le="1.0") == 1


def test_two_plants_in_one_process_count_apart() -> None:
    one, other = Metrics(), Metrics()
    one.acknowledged(3_000_000)
    assert value(one, "ack_seconds_count") == 1
    assert value(one, "ack_seconds_sum") == 0.003
    assert value(other, "ack_seconds_count") == 0


def test_requests_are_counted_by_route_and_status() -> None:
    metrics = Metrics()
    for status in (200, 200, 404):
        metrics.answered("GET", "/v1/trades/{symbol}", status, 0.25)
    labels = {"method": "GET", "route": "/v1/trades/{symbol}"}
    assert value(metrics, "http_requests_total", status="200", **labels) == 2
    assert value(metrics, "http_requests_total", status="404", **labels) == 1
    assert value(metrics, "http_request_seconds_sum", route="/v1/trades/{symbol}") == 0.75


def test_candle_updates_are_counted_by_interval_and_basis() -> None:
    metrics = Metrics()
    metrics.candles_published("1m", "trade", "events", 4, 0)
    metrics.candles_published("1m", "trade", "events", 1, 1)
    metrics.candles_published("1m", "trade", "amendment", 2, 2)
    labels = {"interval": "1m", "basis": "trade"}
    assert value(metrics, "candle_updates_total", cause="events", **labels) == 5
    assert value(metrics, "candle_updates_total", cause="amendment", **labels) == 2
    assert value(metrics, "candles_closed_total", **labels) == 3


def test_the_fsync_latency_is_declared_only_when_something_moves_it() -> None:
    metrics = Metrics()
    assert b"log_fsync_seconds_bucket" not in metrics.render()[0]
    observe = metrics.fsync_observer()
    observe(0.004)
    assert value(metrics, "log_fsync_seconds_bucket", le="0.005") == 1
    assert value(metrics, "log_fsync_seconds_bucket", le="0.0025") == 0


def test_the_stream_is_counted_by_channel() -> None:
    metrics = Metrics()
    metrics.stream.opened()
    metrics.stream.opened()
    metrics.stream.closed()
    metrics.stream.sent("trades", 10)
    metrics.stream.sent("quotes", 5)
    metrics.stream.sent("trades", 1)
    metrics.stream.dropped("quotes", "conflate", 12)
    metrics.stream.disconnected("slow")
    for seconds in (0.0, 0.0001, 0.7, 60.0):
        metrics.stream.took(seconds)
    assert value(metrics, "stream_subscribers") == 1
    assert value(metrics, "stream_frames_total") == 3
    assert value(metrics, "stream_events_sent_total", channel="trades") == 11
    dropped = {"channel": "quotes", "policy": "conflate"}
    assert value(metrics, "stream_events_dropped_total", **dropped) == 12
    assert value(metrics, "stream_disconnects_total", reason="slow") == 1
    assert value(metrics, "stream_send_seconds_bucket", le="0.0001") == 2
    assert value(metrics, "stream_send_seconds_bucket", le="1.0") == 3
    assert value(metrics, "stream_send_seconds_count") == 4
    assert value(metrics, "stream_send_seconds_sum") == pytest.approx(60.7001)


def log_status(**changes: object) -> SimpleNamespace:
    fields = {
        "state": "ok", "seq_durable": 41, "seq_appended": 43, "segments": 2, "bytes": 1_000,
        "pending_bytes": 64, "fsyncs": 9, "fsync_s_max": 0.5, "damage": (),
    }  # fmt: skip
    return SimpleNamespace(**(fields | changes))


def test_the_status_of_every_part_is_read_at_the_scrape() -> None:
    metrics = Metrics()
    table = SimpleNamespace(rows_archived=100, rows_in_memory=7, files=3, bytes=4_096, blocks=2)
    store = SimpleNamespace(
        tables={"trades": table},
        bytes_in_memory=512,
        seq_archived=90,
        last_error=None,
        damage=(),
        archive_runs=4,
        files_compacted=8,
        files_expired=2,
    )
    feed = {"id": "synthetic", "state": "connected", "events": 12, "lag": 0.25, "restarts": 2}
    metrics.watch(
        log=log_status, store=lambda: store, hub=lambda: SimpleNamespace(rows=5, rows_published=50),
        feeds=lambda: [feed, feed | {"id": "dead", "state": "waiting", "lag": None}],
        served=lambda: ServedStatus(6, 1_024, 4_096, 5_000, 3),
        numbers={name: lambda: 1.0 for name in NUMBERS},
    )  # fmt: skip
    seen = samples(metrics)
    expected = {
        ("log_up", ()): 1, ("log_pending_bytes", ()): 64, ("log_segments", ()): 2,
        ("log_fsyncs_total", ()): 9, ("log_seq_durable", ()): 41,
        ("store_rows", (("place", "archive"), ("table", "trades"))): 100,
        ("store_rows", (("place", "memory"), ("table", "trades"))): 7,
        ("store_files", (("table", "trades"),)): 3,
        ("store_bytes", (("table", "trades"),)): 4_096,
        ("store_seq_archived", ()): 90, ("store_up", ()): 1,
        ("hub_rows_published_total", ()): 50,
        ("served_kinds", ()): 6, ("served_bytes", ()): 1_024, ("served_bytes_max", ()): 4_096,
        ("served_instruments_max", ()): 5_000, ("served_batches", ()): 3,
        ("feed_up", (("feed", "synthetic"),)): 1, ("feed_up", (("feed", "dead"),)): 0,
        ("feed_events_total", (("feed", "synthetic"),)): 12,
        ("feed_lag_seconds", (("feed", "synthetic"),)): 0.25,
    }  # fmt: skip
    for (name, labels), number in expected.items():
        assert seen[f"tickplant_{name}", labels] == number, name
    assert ("tickplant_feed_lag_seconds", (("feed", "dead"),)) not in seen
    for name in NUMBERS:
        assert seen[f"tickplant_{name}", ()] == 1


def test_an_unavailable_log_is_down() -> None:
    metrics = Metrics()
    metrics.watch(log=lambda: log_status(state="unavailable"))
    assert value(metrics, "log_up") == 0


def test_a_part_that_fails_hides_no_other_and_is_counted() -> None:
    metrics = Metrics()

    def broken() -> object:
        raise OSError("gone")

    metrics.watch(log=log_status, store=broken, numbers={"ready": lambda: 1.0})
    metrics.render()
    assert value(metrics, "scrape_errors_total", source="store") == 2
    assert value(metrics, "log_segments") == 2
    assert value(metrics, "ready") == 1


def test_memory_of_the_process_is_there() -> None:
    assert samples(Metrics())["process_resident_memory_bytes", ()] > 1_000_000


def test_the_market_has_numbers_only_where_there_is_a_book_and_one_freshness() -> None:
    metrics = Metrics()
    metrics.watch(
        market=lambda: [
            Top("BTC-USDT", "BINANCE", 100.0, 2.0, 0.75, 60.0),
            Top("EURUSD", "ORIGIN", None, None, None, 90.0),
            Top("GONE", "ORIGIN", None, None, None, None),
        ]
    )
    seen = samples(metrics)

    def of(symbol: str) -> dict[str, float]:
        mine = {name: v for (name, labels), v in seen.items() if ("symbol", symbol) in labels}
        return {name.removeprefix("tickplant_market_"): v for name, v in mine.items()}

    assert of("BTC-USDT") == {
        "mid_price": 100.0, "spread_bps": 2.0, "imbalance": 0.75, "staleness_seconds": 60.0,
        "health_score": 1.0,
    }  # fmt: skip
    assert of("EURUSD") == {"staleness_seconds": 90.0, "health_score": 0.5}
    assert of("GONE") == {"health_score": 0.0}


def test_the_names_of_other_systems_are_sums_of_ours() -> None:
    metrics = Metrics()
    for table, rows in (("trades", 7), ("quotes", 5), ("book", 3)):
        submission = SimpleNamespace(table=table, feed="push")
        metrics.accepted(submission, Accepted([Batch(table, Rows(rows))]))
    metrics.stream.opened()
    metrics.answered("GET", "/v1/candles/{symbol}", 200, 0.2)
    metrics.answered("GET", "/ohlc/minute", 200, 0.002)
    metrics.answered("GET", "/health", 200, 0.002)
    seen = samples(metrics)
    assert seen["ticks_ingested_total", ()] == 12
    assert seen["websocket_connections_active", ()] == 1
    assert seen["http_request_duration_seconds_count", ()] == 3
    assert seen["ohlc_query_duration_seconds_count", ()] == 2
    assert seen["ohlc_query_duration_seconds_bucket", (("le", "0.0025"),)] == 1
    assert seen["ohlc_query_duration_seconds_bucket", (("le", "+Inf"),)] == 2
    assert seen["ohlc_query_duration_seconds_sum", ()] == pytest.approx(0.202)
