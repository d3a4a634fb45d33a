"""What the parts of the plant say of themselves, as metric families."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from prometheus_client.metrics_core import Metric

from tickplant.observe.families import counter, gauge, keyed


def log(status: Any) -> Iterator[Metric]:
    """Yield what the log says of itself."""
    yield gauge("log_up", "1 while the log makes rows durable.", float(status.state == "ok"))
    yield gauge("log_seq_durable", "The last number that is on disk.", status.seq_durable)
    yield gauge("log_seq_appended", "The last number that was handed in.", status.seq_appended)
    yield gauge("log_segments", "Journal segments.", status.segments)
    yield gauge("log_bytes", "Bytes of the journal.", status.bytes)
    yield gauge("log_pending_bytes", "Bytes that wait for the disk.", status.pending_bytes)
    yield counter("log_fsyncs", "Syncs of the journal.", status.fsyncs)
    yield gauge("log_fsync_seconds_max", "Longest sync since the start.", status.fsync_s_max)
    yield gauge("log_damage", "Damaged places that were found.", len(status.damage))


def store(status: Any) -> Iterator[Metric]:
    """Yield what the store says of itself."""
    tables = status.tables
    rows = {(name, "archive"): float(table.rows_archived) for name, table in tables.items()}
    rows |= {(name, "memory"): float(table.rows_in_memory) for name, table in tables.items()}
    yield gauge("store_rows", "Rows that are kept, by place.", rows, "table", "place")
    blocks = keyed({name: table.blocks for name, table in tables.items()})
    yield gauge("store_blocks", "Blocks of rows in memory.", blocks, "table")
    yield gauge(
        "store_files", "Archive files.", keyed({n: t.files for n, t in tables.items()}), "table"
    )
    yield gauge(
        "store_bytes", "Archive bytes.", keyed({n: t.bytes for n, t in tables.items()}), "table"
    )
    yield gauge("store_memory_bytes", "Bytes of events in memory.", status.bytes_in_memory)
    yield gauge("store_seq_archived", "Archived up to this number.", status.seq_archived)
    yield gauge("store_up", "0 while archiving fails.", float(status.last_error is None))
    yield counter(
        "store_archive_runs", "Runs that moved memory to the archive.", status.archive_runs
    )
    yield counter("store_files_compacted", "Archive files merged.", status.files_compacted)
    yield counter("store_files_expired", "Files that were kept long enough.", status.files_expired)
    yield gauge("store_damage", "Damaged files that were found.", len(status.damage))


def hub(status: Any) -> Iterator[Metric]:
    """Yield what the hub says of itself."""
    yield gauge("hub_rows", "Recent rows that are kept for subscribers.", status.rows)
    yield counter("hub_rows_published", "Rows published, candles too.", status.rows_published)


def coverage(status: Any) -> Iterator[Metric]:
    """Yield what the ledger of gaps says of themselves."""
    yield counter("gaps", "Entries of the gap ledger, by cause.", keyed(status.gaps), "cause")
    yield gauge("gaps_open", "Gaps that are neither repaired nor given up.", status.gaps_open)
    oldest = "How long the oldest open gap has been open."
    yield gauge("gaps_open_seconds_max", oldest, status.open_s_max)
    yield gauge(
        "uncovered_seconds", "Event time of gaps that are over, unrepaired.", status.uncovered_s
    )
    yield gauge("events_repaired", "Events that repairs of gaps brought.", status.events_repaired)
    lags = keyed(status.lags_s)
    yield gauge("watermark_lag_seconds", "Age of the feed's watermark.", lags, "feed")


def served(status: Any) -> Iterator[Metric]:
    """Yield what the candles in memory says of itself."""
    yield gauge("served_kinds", "Kinds of candles that are kept in memory.", status.kinds)
    yield gauge("served_bytes", "Bytes of older candles in memory.", status.bytes)
    yield gauge("served_bytes_max", "The bound of that memory.", status.bytes_max)
    yield gauge(
        "served_instruments_max", "Instruments that memory has room for.", status.instruments_max
    )
    yield gauge("served_batches", "Batches that readers of candles look through.", status.batches)


def books(status: Any) -> Iterator[Metric]:
    """Yield what the books says of themselves."""
    held = keyed(status.held)
    yield gauge("books", "Order books that are held, by state.", held, "state")
    yield gauge("book_levels", "Price levels of all books.", status.levels)
    yield counter("book_snapshots", "Snapshots that books began anew with.", status.cleared)
    yield counter("books_lost", "Times that a book was not right any more.", status.lost)
    yield counter("books_crossed", "Books that were stored crossed.", status.crossed)


def probes(found: Mapping[str, tuple[bool, str]]) -> Iterator[Metric]:
    """Yield the probes of `/health`."""
    up = {name: float(good) for name, (good, _) in found.items()}
    yield gauge("probe_up", "1 while the probe of `/health` is good.", keyed(up), "probe")


def disk(found: tuple[int, int, int]) -> Iterator[Metric]:
    """Yield the room on the disk of the data: free, needed, in all, bytes."""
    for name, text, value in zip(
        ("free", "needed", "size"),
        ("Free on the data's disk.", "Less free is unhealthy.", "Size of the data's disk."),
        found,
        strict=True,
    ):
        yield gauge(f"disk_{name}_bytes", text, value)


def backpressure(pressure: Any) -> Iterator[Metric]:
    """Yield how hard pressed the plant is, and by what."""
    text = "0 healthy, 1 warning, 2 critical, 3 overload."
    yield gauge("backpressure_level", text, float(pressure.level))
    shares = {name: measure.share for name, measure in dict(pressure.measures).items()}
    yield gauge("backpressure_share", "Part of a bound that is used.", keyed(shares), "measure")
    changes = keyed(pressure.changes)
    yield counter("backpressure_changes", "Times that a level was come to.", changes, "level")


def lines(counts: Any) -> Iterator[Metric]:
    """Yield what became of the lines of this process's log."""
    text = "Lines of the program's own log, by level."
    yield counter("messages_logged", text, keyed(counts.written), "level")
    text = "Lines that were the same over and over, and summed up in one."
    yield counter("messages_held_back", text, counts.held_back)
    yield counter("messages_lost", "Lines that nobody took.", counts.lost)


def spans(counts: Any) -> Iterator[Metric]:
    """Yield what became of the spans of traces."""
    found = {name: getattr(counts, name) for name in ("exported", "failed", "dropped")}
    yield counter(
        "trace_spans", "Spans of traces, by what became of them.", keyed(found), "outcome"
    )
