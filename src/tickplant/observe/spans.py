"""Spans on their way out: a bounded queue, one thread, and a count of what did not fit.

    span ends ─► queue (bounded: what does not fit is dropped) ─► thread ─► exporter
                                                     breaker open: nothing is sent for a while

Nobody who is traced waits here: ending a span is an entry in a queue.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from typing import Any, Protocol

_LOG = logging.getLogger(__name__)

BATCH_MAX = 512
EVERY_S = 1.0
"""How long a span waits for others at most, s."""


class Wanted(Protocol):
    """How spans are made and sent; the settings under `tracing`."""

    @property
    def endpoint(self) -> str:
        """Return where to send them, empty for nowhere."""
        ...

    @property
    def sample(self) -> float:
        """Return the share of what is traced."""
        ...

    @property
    def service(self) -> str:
        """Return the name of the service."""
        ...

    @property
    def queue_max(self) -> int:
        """Return how many spans may wait."""
        ...

    @property
    def timeout_s(self) -> float:
        """Return how long sending may take."""
        ...


class Breaker(Protocol):
    """What says whether the collector is to be asked; see `feeds.breaker`."""

    def wait_s(self) -> float:
        """Return how long not to ask, s."""
        ...

    def succeeded(self) -> None:
        """Note an attempt that went well."""
        ...

    def failed(self, retry_after_s: float | None = None) -> None:
        """Note one that did not."""
        ...


class SpanCounts:
    """What became of spans; the thread that exports writes, but for `dropped`."""

    __slots__ = ("dropped", "exported", "failed")

    def __init__(self) -> None:
        self.exported = 0
        self.failed = 0
        self.dropped = 0


class Export:
    """The queue and its thread. `exporter` has `export` and `shutdown` as OpenTelemetry's have."""

    def __init__(self, exporter: Any, settings: Wanted, breaker: Breaker | None) -> None:
        self.counts = SpanCounts()
        self._exporter = exporter
        self._breaker = breaker
        self._queue_max = settings.queue_max
        self._timeout_s = settings.timeout_s
        self._queue: deque[Any] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="traces", daemon=True)
        self._thread.start()

    def processor(self) -> Any:
        """Return what OpenTelemetry tells of spans that have ended."""
        from opentelemetry.sdk.trace import SpanProcessor  # noqa: PLC0415 - an extra

        put = self.put

        class Queued(SpanProcessor):
            """Passes sampled spans on."""

            def on_end(self, span: Any) -> None:
                """Take a span that has ended."""
                put(span)

        return Queued()

    def put(self, span: Any) -> None:
        """Take a span, or count it as dropped where the queue is full."""
        with self._changed:
            if len(self._queue) >= self._queue_max or self._closing:
                self.counts.dropped += 1
                return
            self._queue.append(span)
            if len(self._queue) == BATCH_MAX:
                self._changed.notify()

    def close(self) -> None:
        """Send what waits, as far as that goes in time; then take nothing any more. Idempotent."""
        with self._changed:
            if self._closing:
                return
            self._closing = True
            self._changed.notify()
        self._thread.join(self._timeout_s)
        self._exporter.shutdown()  # it ends the pauses between attempts
        self._thread.join(self._timeout_s)
        with self._changed:
            self.counts.dropped += len(self._queue)
            self._queue.clear()

    # -- the thread --------------------------------------------------------------------------------

    def _run(self) -> None:
        resting = False
        while True:
            with self._changed:
                if not self._closing and (resting or len(self._queue) < BATCH_MAX):
                    self._changed.wait(EVERY_S)
                closing = self._closing
            resting = self._send_all()
            if closing:
                return

    def _send_all(self) -> bool:
        """Send what there is; True where the collector is not to be asked now.

        Spans then wait in the queue, and those that do not fit are dropped.
        """
        while self._queue:
            if self._breaker is not None and self._breaker.wait_s():
                return True
            with self._changed:
                batch = [self._queue.popleft() for _ in range(min(len(self._queue), BATCH_MAX))]
            self._send(batch)
        return False

    def _send(self, batch: list[Any]) -> None:
        try:
            good = self._exporter.export(batch).name == "SUCCESS"
        except Exception:
            _LOG.exception("spans could not be sent")
            good = False
        if good:
            self.counts.exported += len(batch)
        else:
            self.counts.failed += len(batch)
        if self._breaker is not None:
            if good:
                self._breaker.succeeded()
            else:
                self._breaker.failed()
