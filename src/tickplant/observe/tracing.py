"""Where the time of one request, or of one frame of a feed, went: spans, where they are wanted.

    request, frame ─► Tracer.begin ─► Trace, one in many, else None
                          └─► pieces with their own times ─► Export (bounded) ─► OTLP over HTTP

What is not sampled has no `Trace` at all, and without `tracing.endpoint` there is no `Tracer`:
whoever could be traced asks `is None` and no more. OpenTelemetry is imported when a tracer is made.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar, Token
from typing import Any, TypeVar

from tickplant.model.errors import NotInstalled
from tickplant.observe.spans import Breaker, Export, SpanCounts, Wanted
from tickplant.version import VERSION

T = TypeVar("T")
Clock = Callable[[], int]
Value = str | int | float | bool

_CURRENT: ContextVar[Trace | None] = ContextVar("tickplant.trace", default=None)
_PATH = "/v1/traces"


def current() -> Trace | None:
    """Return the span that the work at hand belongs to, if it is traced."""
    return _CURRENT.get()


@contextmanager
def piece(name: str) -> Iterator[None]:
    """Let what is done in here be a span of what is traced, if it is."""
    trace = _CURRENT.get()
    if trace is None:
        yield
        return
    part = trace.begin(name)
    token = _CURRENT.set(part)
    try:
        yield
    except BaseException as fault:
        part.fail(fault)
        raise
    finally:
        _CURRENT.reset(token)
        part.end()


def measured(name: str, act: Callable[[], T]) -> T:
    """Return what `act()` returns; doing it is a piece of what is traced, if it is."""
    if _CURRENT.get() is None:
        return act()
    with piece(name):
        return act()


class Trace:
    """A span that is recorded. Any thread may add pieces to it; its owner ends it, once."""

    __slots__ = ("_parent", "_span", "_tracer", "acked_at")

    def __init__(self, tracer: Tracer, span: Any) -> None:
        self._tracer = tracer
        self._span = span
        self._parent = tracer.context_of(span)
        self.acked_at: int | None = None

    @property
    def id(self) -> str:
        """The trace's id, 32 hexadecimal digits, as log lines tell it."""
        return f"{self._span.get_span_context().trace_id:032x}"

    def begin(self, name: str) -> Trace:
        """Begin a piece of it; whoever began it ends it."""
        return Trace(self._tracer, self._tracer.start(name, self._parent, None))

    def note(self, name: str, start: int, end: int, values: Mapping[str, Value] = {}) -> None:
        """Add a piece that is over; times in ns UTC."""
        span = self._tracer.start(name, self._parent, start)
        span.set_attributes(dict(values))
        span.end(max(end, start))

    def tell(self, values: Mapping[str, Value]) -> None:
        """Say more of it."""
        self._span.set_attributes(dict(values))

    def rename(self, name: str) -> None:
        """Name it by what it has turned out to be."""
        self._span.update_name(name)

    def fail(self, fault: BaseException) -> None:
        """Say that it ended in a fault; its message is not told, it may hold anything."""
        from opentelemetry.trace import StatusCode  # noqa: PLC0415 - there is a tracer

        self._span.set_attributes({"error.type": type(fault).__name__})
        self._span.set_status(StatusCode.ERROR)

    def enter(self) -> Token[Trace | None]:
        """Let the work of this task belong to it, until `leave`."""
        return _CURRENT.set(self)

    def leave(self, token: Token[Trace | None]) -> None:
        """Undo `enter`, and end it."""
        _CURRENT.reset(token)
        self.end()

    @contextmanager
    def within(self) -> Iterator[None]:
        """Let what is done in here belong to it; whoever began it ends it."""
        token = _CURRENT.set(self)
        try:
            yield
        finally:
            _CURRENT.reset(token)

    def end_acked(self, clock: Clock) -> None:
        """End it, with how long the receipt took to reach who waited for it, if one was given."""
        if self.acked_at is not None:
            self.note("ack", self.acked_at, clock())
        self.end()

    def end(self) -> None:
        """End it now."""
        self._span.end()


class Tracer:
    """Makes traces; one a process. Any thread. `exporter` is one of OpenTelemetry's.

    A share of `sample` is recorded, or what the caller's `traceparent` says (W3C trace context).
    """

    def __init__(self, exporter: Any, settings: Wanted, breaker: Breaker | None) -> None:
        from opentelemetry import trace  # noqa: PLC0415 - an extra
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.sampling import (  # noqa: PLC0415
            ParentBased,
            TraceIdRatioBased,
        )
        from opentelemetry.trace.propagation.tracecontext import (  # noqa: PLC0415
            TraceContextTextMapPropagator,
        )

        self._export = Export(exporter, settings, breaker)
        resource = Resource.create({"service.name": settings.service, "service.version": VERSION})
        self._provider = TracerProvider(
            sampler=ParentBased(TraceIdRatioBased(settings.sample)),
            resource=resource,
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(self._export.processor())
        self._tracer = self._provider.get_tracer("tickplant", VERSION)
        self._propagator = TraceContextTextMapPropagator()
        self._server, self._internal = trace.SpanKind.SERVER, trace.SpanKind.INTERNAL
        self.context_of = trace.set_span_in_context

    @property
    def counts(self) -> SpanCounts:
        """What became of the spans."""
        return self._export.counts

    def begin_request(self, name: str, headers: Iterable[tuple[bytes, bytes]]) -> Trace | None:
        """Begin the trace of a request, or go on with the caller's; None where it is not wanted."""
        carrier = {
            key.decode("latin-1"): value.decode("latin-1")
            for key, value in headers
            if key in (b"traceparent", b"tracestate")
        }
        context = self._propagator.extract(carrier) if carrier else None
        span = self._tracer.start_span(name, context, self._server)
        return Trace(self, span) if span.is_recording() else None

    def begin(self, name: str, start: int | None = None) -> Trace | None:
        """Begin a trace of its own, at `start` ns UTC or now; None where it is not wanted."""
        span = self._tracer.start_span(name, None, self._internal, start_time=start)
        return Trace(self, span) if span.is_recording() else None

    def start(self, name: str, parent: Any, start: int | None) -> Any:
        """Return a span of OpenTelemetry's within another one."""
        return self._tracer.start_span(name, parent, self._internal, start_time=start)

    def close(self) -> None:
        """Send what waits as far as it goes within `tracing.timeout_s`. Idempotent."""
        self._export.close()


def open_tracer(settings: Wanted, breaker: Breaker | None = None) -> Tracer | None:
    """Return the tracer that the settings ask for, if any. Raises `NotInstalled`."""
    endpoint = settings.endpoint.strip().rstrip("/")
    if not endpoint:
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415
            OTLPSpanExporter,
        )
    except ModuleNotFoundError:
        raise NotInstalled("tracing.endpoint", "OpenTelemetry", "tracing") from None
    whole = endpoint if "/" in endpoint.partition("://")[2] else endpoint + _PATH
    return Tracer(OTLPSpanExporter(whole, timeout=settings.timeout_s), settings, breaker)


class Steps:
    """The pieces that several traces have in common: what was done for all of them at once.

    Each step reaches from the end of the one before to now. One thread, but for `durable`.
    """

    __slots__ = ("_clock", "_last", "_traces")

    def __init__(self, traces: list[Trace], clock: Clock) -> None:
        self._traces = traces
        self._clock = clock
        self._last = clock()

    def done(self, name: str, **values: Value) -> None:
        """Note that a step is over."""
        now = self._clock()
        for trace in self._traces:
            trace.note(name, self._last, now, values)
        self._last = now

    def waited(self, since: Iterable[int]) -> None:
        """Note how long each was waiting before, from its own time on."""
        for trace, at in zip(self._traces, since, strict=True):
            trace.note("inbox", at, self._last)

    def durable(
        self, then: Callable[[BaseException | None], None]
    ) -> Callable[[BaseException | None], None]:
        """Return `then`, which the log calls, with a note of how long that took from now on."""
        began = self._clock()

        def on_durable(fault: BaseException | None) -> None:
            now = self._clock()
            for trace in self._traces:
                trace.note("fsync wait", began, now, {"ok": fault is None})
            then(fault)

        return on_durable

    def acked(self) -> None:
        """Note when the receipt was given; who waits for it ends the step `ack`."""
        now = self._clock()
        for trace in self._traces:
            trace.acked_at = now


def note_ack(clock: Clock = time.time_ns) -> None:
    """Note how long the receipt took to reach who waited for it, where that is traced."""
    trace = _CURRENT.get()
    if trace is not None and trace.acked_at is not None:
        trace.note("ack", trace.acked_at, clock())
