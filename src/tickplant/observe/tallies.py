"""What happens, noted when it happens and counted later: plain numbers that a scrape makes text of.

    ingest, requests ──► Notes.put ──► a queue ──► Counts.add, Spread.add ──► families
                         one append                512 at a time, or at a scrape

Between two batches a plant works on megabytes, so that whatever is touched seldom has left the
caches of the processor: a dozen of the client library's counters, with their look-ups of labels and
a lock for each number, took five times as long there as in a loop of their own. So the path of a
batch only puts down what is to be counted. Counting itself is done in one go, where it is quick.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from threading import Lock
from typing import Any

from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from tickplant.observe.families import counter, histograms

Key = tuple[str | int, ...]
"""The values of a series' labels, in the order of their names."""

NOTES_MAX = 512
"""Notes that wait to be counted; whoever puts the last counts them all, in less than 1 ms."""


class Counts(Collector):
    """A counter of ours, a series for each `Key`; any thread adds, any thread reads."""

    def __init__(self, name: str, text: str, *labels: str) -> None:
        self._name, self._text, self._labels = name, text, labels
        self._values: dict[Key, int] = {}
        self._lock = Lock()

    def add(self, notes: Iterable[tuple[Any, Key, int]]) -> None:
        """Add amounts to series by their keys; a series is there from its first count on."""
        with self._lock:
            values = self._values
            for _, key, amount in notes:
                values[key] = values.get(key, 0) + amount

    def values(self) -> dict[Key, int]:
        """Return what was counted so far."""
        with self._lock:
            return dict(self._values)

    def describe(self) -> Iterable[Metric]:
        """Return nothing: the registry then does not collect just to learn the names."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield the family."""
        values = {tuple(map(str, key)): value for key, value in self.values().items()}
        yield counter(self._name, self._text, values, *self._labels)


class Spread:
    """How many values lay up to each bound, and their sum; any thread adds."""

    __slots__ = ("_bounds", "_counts", "_lock", "_total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._total = 0.0
        self._lock = Lock()

    def add(self, notes: Iterable[tuple[Any, float]]) -> None:
        """Put values down; one that equals a bound lies up to it."""
        with self._lock:
            for _, value in notes:
                self._counts[bisect_left(self._bounds, value)] += 1
                self._total += value

    def read(self) -> tuple[list[int], float]:
        """Return the count up to each bound from the one before, that above the last; the sum."""
        with self._lock:
            return self._counts.copy(), self._total


class Spreads(Collector):
    """A histogram of ours, a `Spread` for each value of its label, or just one without a label."""

    def __init__(
        self, name: str, text: str, bounds: Sequence[float], label: str | None = None
    ) -> None:
        self._name, self._text = name, text
        self.bounds = tuple(bounds)
        self._labels = () if label is None else (label,)
        self._by_label: dict[str, Spread] = {}
        self._lock = Lock()

    def of(self, label: str = "") -> Spread:
        """Return the spread of one value of the label, which is shown from then on."""
        found = self._by_label.get(label)
        if found is None:
            with self._lock:
                found = self._by_label.setdefault(label, Spread(self.bounds))
        return found

    def add(self, notes: Iterable[tuple[Any, str, float]]) -> None:
        """Put values down under their labels."""
        by_label = defaultdict[str, list[tuple[Any, float]]](list)
        for target, label, value in notes:
            by_label[label].append((target, value))
        for label, mine in by_label.items():
            self.of(label).add(mine)

    def read(self) -> Mapping[str, tuple[list[int], float]]:
        """Return what each spread has, by the label."""
        with self._lock:
            spreads = dict(self._by_label)
        return {label: spread.read() for label, spread in spreads.items()}

    def describe(self) -> Iterable[Metric]:
        """Return nothing: the registry then does not collect just to learn the names."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield the family."""
        read = self.read().items()
        series = {(label,) if self._labels else (): found for label, found in read}
        yield histograms(f"tickplant_{self._name}", self._text, self.bounds, series, *self._labels)


class Notes(Collector):
    """What is not counted yet; any thread puts, any thread counts.

    Registered before those that it counts for, it brings them up to date at each scrape.
    """

    def __init__(self) -> None:
        self._waiting: deque[tuple[Any, ...]] = deque()
        self._lock = Lock()

    def put(self, *note: Any) -> None:
        """Note what to add to and what: key and amount, a value, or label and value."""
        waiting = self._waiting
        waiting.append(note)
        # Where another thread counts already, nobody waits for it.
        if len(waiting) >= NOTES_MAX and self._lock.acquire(blocking=False):
            try:
                self._count()
            finally:
                self._lock.release()

    def count(self) -> None:
        """Count all that was noted; what is noted meanwhile may wait for the next time."""
        with self._lock:
            self._count()

    def _count(self) -> None:
        take = self._waiting.popleft
        by_target = defaultdict[Any, list[tuple[Any, ...]]](list)
        for _ in range(len(self._waiting)):
            note = take()
            by_target[note[0]].append(note)
        for target, notes in by_target.items():
            target.add(notes)

    def describe(self) -> Iterable[Metric]:
        """Return nothing: it has no family of its own."""
        return []

    def collect(self) -> Iterable[Metric]:
        """Count, and yield nothing."""
        self.count()
        return []
