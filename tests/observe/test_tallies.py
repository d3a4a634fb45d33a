"""Our counts beside the client library's own: whatever happens, a scrape shows the same numbers."""

import random
import threading

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from tickplant.observe.metrics import Metrics
from tickplant.observe.tallies import NOTES_MAX, Counts, Notes, Spreads

BOUNDS = (0.0005, 0.01, 1.0, 100_000.0, 1_000_000.0)


def shown(registry: CollectorRegistry) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(generate_latest(registry).decode())
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


def test_what_is_shown_is_what_the_client_library_would_show() -> None:
    dice = random.Random(7)
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    counts = Counts("seen", "Seen.", "table", "status")
    plain, labelled = Spreads("took", "Took.", BOUNDS), Spreads("by", "By route.", BOUNDS, "route")
    notes, spread = Notes(), plain.of()
    for one in (notes, counts, plain, labelled):
        ours.register(one)
    counter = Counter("tickplant_seen", "Seen.", ("table", "status"), registry=theirs)
    took = Histogram("tickplant_took", "Took.", buckets=BOUNDS, registry=theirs)
    by = Histogram("tickplant_by", "By route.", ("route",), buckets=BOUNDS, registry=theirs)
    assert shown(ours) == shown(theirs)
    for _ in range(3 * NOTES_MAX // 2):
        table, status, amount = dice.choice("ab"), dice.choice((200, 404)), dice.randrange(1_000)
        value, route = dice.choice((*BOUNDS, 0.0, 10 ** dice.uniform(-5, 8))), dice.choice("xyz")
        notes.put(counts, (table, status), amount)
        notes.put(spread, value)
        notes.put(labelled, route, value)
        counter.labels(table, str(status)).inc(amount)
        took.observe(value)
        by.labels(route).observe(value)
    assert shown(ours) == shown(theirs)


def test_nothing_is_lost_between_threads_that_note_and_one_that_scrapes() -> None:
    metrics, threads, each = Metrics(), 4, 5 * NOTES_MAX
    stop = threading.Event()

    def note() -> None:
        for _ in range(each):
            metrics.acknowledged(1_000_000_000)
            metrics.logged("trades", 3)

    def scrape() -> None:
        while not stop.is_set():
            metrics.render()

    writers = [threading.Thread(target=note) for _ in range(threads)]
    reader = threading.Thread(target=scrape)
    for thread in (reader, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    stop.set()
    reader.join()
    found = shown(metrics.registry)
    assert found["tickplant_ack_seconds_count", frozenset()] == threads * each
    assert found["tickplant_ack_seconds_sum", frozenset()] == threads * each
    key = "tickplant_events_bytes_total", frozenset({("table", "trades")})
    assert found[key] == 3 * threads * each


def test_what_waits_to_be_counted_has_a_bound() -> None:
    notes, counts = Notes(), Counts("seen", "Seen.")
    for number in range(10 * NOTES_MAX):
        notes.put(counts, (), 1)
        assert number + 1 - sum(counts.values().values()) < NOTES_MAX
