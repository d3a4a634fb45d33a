"""Traces: which pieces a request and a frame have, where spans go, and what a dead collector costs.

Spans are looked at in memory, and as a collector on this machine gets them.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from websockets.sync.client import connect

from log_kit import lines_of
from stream_fakes import Served
from supervisor_kit import Scene, play, streams_of
from tickplant.compose import OpenPlant, World
from tickplant.config import TracingSettings, load
from tickplant.feeds.breaker import Breaker
from tickplant.gateway.app import create_app
from tickplant.model.errors import ConfigError, NotInstalled
from tickplant.observe.context import bound
from tickplant.observe.spans import BATCH_MAX, Export
from tickplant.observe.tracing import Tracer, current, measured, open_tracer, piece

CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
INGEST = {"decode", "inbox", "validate", "log append", "fsync wait", "apply", "ack", "render"}


def settings(**values: Any) -> TracingSettings:
    return TracingSettings(**{"sample": 1.0, "timeout_s": 2.0, **values})


class Memory(InMemorySpanExporter):
    """Keeps spans, and shows them by name with their parents' names."""

    def tree(self) -> dict[str, set[str]]:
        spans = self.get_finished_spans()
        names = {span.context.span_id: span.name for span in spans}
        made: dict[str, set[str]] = defaultdict(set)
        for span in spans:
            made[names.get(span.parent.span_id, "?") if span.parent else ""].add(span.name)
        return dict(made)


@contextmanager
def traced(folder: Path, exporter: Any, **values: Any) -> Iterator[Any]:
    tracer = Tracer(exporter, settings(**values), None)
    flags = {"data": str(folder), "log.segment_mb": 1}
    with OpenPlant(load(flags=flags), world=World(tracer=tracer)) as opened:
        yield opened.plant
    tracer.close()


def client_of(plant: Any) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(create_app(plant))
    return httpx.AsyncClient(transport=transport, base_url="http://plant")


ROW = {"symbol": "A", "price": 1.0, "id": "1"}


async def test_rows_are_traced_from_the_request_to_the_receipt(tmp_path: Path) -> None:
    memory = Memory()
    with traced(tmp_path, memory) as plant:
        async with client_of(plant) as client:
            answer = await client.post("/v1/trades", json=[ROW], headers={"traceparent": CALLER})
            assert answer.status_code == 201
            await asyncio.to_thread(plant.drain)
    tree = memory.tree()
    assert tree == {"?": {"POST /v1/trades"}, "POST /v1/trades": INGEST}
    spans = {span.name: span for span in memory.get_finished_spans()}
    assert {f"{span.context.trace_id:032x}" for span in spans.values()} == {CALLER.split("-")[1]}
    root = spans["POST /v1/trades"]
    assert root.parent.span_id == int(CALLER.split("-")[2], 16)
    assert root.attributes == {
        "http.request.method": "POST", "http.route": "/v1/trades",
        "http.response.status_code": 201,
    }  # fmt: skip
    assert dict(spans["validate"].attributes) == {"rows": 1, "submissions": 1}
    assert spans["fsync wait"].attributes["ok"]
    ends = [spans[name].end_time for name in ("decode", "validate", "log append", "ack")]
    assert ends == sorted(ends)
    assert all(span.start_time <= span.end_time for span in spans.values())


JSON = "application/json"
PLANTS = INGEST - {"decode", "render"}


def test_a_message_of_a_producer_is_traced_to_its_acknowledgement(tmp_path: Path) -> None:
    memory = Memory()
    with traced(tmp_path, memory) as plant:
        served = Served(create_app(plant))
        with connect(f"ws://127.0.0.1:{served.port}/v1/ingest", open_timeout=20) as socket:
            assert json.loads(socket.recv(20))["op"] == "hello"
            for seq in (1, 2):
                rows = [ROW | {"id": str(seq)}]
                message = {"op": "rows", "seq": seq, "table": "trades", "rows": rows}
                socket.send(json.dumps(message))
                assert json.loads(socket.recv(20))["op"] == "ack"
        served.stop()
    assert memory.tree() == {"": {"WS /v1/ingest"}, "WS /v1/ingest": PLANTS}
    names = [span.name for span in memory.get_finished_spans()]
    assert names.count("WS /v1/ingest") == names.count("ack") == 2


@pytest.mark.parametrize(
    ("path", "body", "more"),
    [
        ("/write", b"trades,symbol=A price=1.0", set()),
        ("/ticks/", b'{"symbol": "A", "price": 1.0, "time": "2023-11-14T00:00:00Z"}', {"render"}),
        ("/ticks/bulk", b'[{"symbol": "A", "price": 1.0, "time": "2023-11-14T00:00:00Z"}]',
         {"render"}),
    ],
)  # fmt: skip
async def test_other_systems_doors_are_traced_too(
    tmp_path: Path, path: str, body: bytes, more: set[str]
) -> None:
    memory = Memory()
    with traced(tmp_path, memory) as plant:
        async with client_of(plant) as client:
            answer = await client.post(path, content=body, headers={"Content-Type": JSON})
            assert answer.is_success, answer.text
            await asyncio.to_thread(plant.drain)
    assert memory.tree()[f"POST {path}"] == PLANTS | {"decode"} | more


async def test_a_query_is_traced_and_its_log_lines_name_the_trace(tmp_path: Path) -> None:
    memory = Memory()
    with traced(tmp_path, memory) as plant, lines_of("tickplant.gateway") as written:
        async with client_of(plant) as client:
            await client.post("/v1/trades", json=[ROW])
            memory.clear()
            assert (await client.get("/v1/trades/A")).status_code == 200
            plant.status = lambda: 1 // 0
            assert (await client.get("/v1/status")).status_code == 500
    tree = memory.tree()
    assert tree["GET /v1/trades/{symbol}"] == {"parse", "read"}
    assert tree["read"] == {"render"}
    (line,) = map(json.loads, written.getvalue().splitlines())
    broken = [s for s in memory.get_finished_spans() if s.attributes.get("error.type")]
    assert {span.name for span in broken} == {"GET /v1/status", "read"}
    assert line["trace"] == f"{broken[0].context.trace_id:032x}"
    assert "division" not in str([dict(span.attributes) for span in broken])


@pytest.mark.parametrize(("sample", "caller"), [(0.0, None), (1.0, CALLER[:-1] + "0")])
async def test_what_is_not_sampled_leaves_nothing(
    tmp_path: Path, sample: float, caller: str | None
) -> None:
    memory = Memory()
    with traced(tmp_path, memory, sample=sample) as plant:
        async with client_of(plant) as client:
            headers = {"traceparent": caller} if caller else {}
            await client.post("/v1/trades", json=[ROW], headers=headers)
            await client.get("/v1/trades/A", headers=headers)
    assert memory.get_finished_spans() == ()


async def test_a_traceparent_that_is_none_begins_a_trace(tmp_path: Path) -> None:
    memory = Memory()
    with traced(tmp_path, memory) as plant:
        async with client_of(plant) as client:
            for caller in ("", "00-xyz", f"00-{'0' * 32}-{'0' * 16}-01", CALLER + "-more"):
                answer = await client.get("/ready", headers={"traceparent": caller})
                assert answer.status_code == 200
    roots = [span for span in memory.get_finished_spans() if span.name == "GET /ready"]
    assert [root.parent for root in roots] == [None] * 4


def test_a_frame_is_traced_to_its_rows(tmp_path: Path) -> None:
    memory = Memory()
    tracer = Tracer(memory, settings(), None)

    async def act(scene: Scene) -> None:
        await scene.until(lambda: scene.feed.board.counts(scene.loop.clock())["live"] >= 1)
        await scene.server.market(["A-USD"], 0.5, 3)

    play(tmp_path, streams_of("A-USD"), act, tracer=tracer)
    tracer.close()
    tree = memory.tree()
    assert tree[""] == {"feed toy"}
    assert tree["feed toy"] >= {"parse", "inbox", "validate", "log append", "fsync wait", "apply"}


class Collector:
    """A collector on this machine: keeps what it is sent, or refuses."""

    def __init__(self) -> None:
        self.got: list[tuple[str, ExportTraceServiceRequest]] = []
        self.status = 200
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.got.append((self.path, ExportTraceServiceRequest.FromString(body)))
                self.send_response(outer.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True)
        self.thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join(5)


@pytest.fixture
def collector() -> Iterator[Collector]:
    made = Collector()
    yield made
    made.close()


async def test_a_collector_gets_the_spans_by_otlp(tmp_path: Path, collector: Collector) -> None:
    flags = {"data": str(tmp_path), "log.segment_mb": 1, "tracing.endpoint": collector.url,
             "tracing.sample": 1, "tracing.service": "here"}  # fmt: skip
    with OpenPlant(load(flags=flags)) as opened:
        async with client_of(opened.plant) as client:
            await client.post("/v1/trades", json=[ROW])
        counts = opened.plant.tracer.counts
        text = opened.plant.metrics.render()[0].decode()
        assert 'tickplant_trace_spans_total{outcome="exported"} 0.0' in text
    text = opened.plant.metrics.render()[0].decode()
    assert f'tickplant_trace_spans_total{{outcome="exported"}} {len(INGEST) + 1}.0' in text
    sent = [span for _, one in collector.got for group in one.resource_spans
            for scope in group.scope_spans for span in scope.spans]  # fmt: skip
    assert {span.name for span in sent} == {"POST /v1/trades", *INGEST}
    assert (counts.exported, counts.dropped, counts.failed) == (len(sent), 0, 0)
    path, first = collector.got[0]
    told = {one.key: one.value.string_value for one in first.resource_spans[0].resource.attributes}
    assert (path, told["service.name"]) == ("/v1/traces", "here")


def test_a_collector_that_refuses_is_counted_and_not_asked_twice(collector: Collector) -> None:
    collector.status = 400
    tracer = open_tracer(settings(endpoint=f"{collector.url}/own/path"))
    assert tracer is not None
    trace = tracer.begin("one")
    assert trace is not None
    trace.end()
    tracer.close()
    assert [path for path, _ in collector.got] == ["/own/path"]
    assert (tracer.counts.exported, tracer.counts.failed) == (0, 1)


class Dead:
    """An exporter that hangs until it is shut down, then fails."""

    def __init__(self) -> None:
        self.asked, self.go = 0, threading.Event()

    def export(self, spans: Any) -> SpanExportResult:
        self.asked += 1
        assert self.go.wait(20)
        return SpanExportResult.FAILURE

    def shutdown(self) -> None:
        self.go.set()


async def test_a_dead_collector_slows_nothing_and_what_does_not_fit_is_counted(
    tmp_path: Path,
) -> None:
    dead = Dead()
    with traced(tmp_path, dead, queue_max=20, timeout_s=0.1) as plant:
        async with client_of(plant) as client:
            for number in range(10):
                answer = await client.post("/v1/trades", json=[{**ROW, "id": str(number)}])
                assert answer.status_code == 201
        counts = plant.tracer.counts
        plant.tracer.close()
    made = 10 * (len(INGEST) + 1)
    assert counts.exported == 0
    assert counts.dropped >= made - 2 * BATCH_MAX
    assert counts.failed + counts.dropped == made
    assert counts.dropped >= made - 40


class Failing:
    def __init__(self) -> None:
        self.asked = 0
        self.good = False

    def export(self, spans: Any) -> SpanExportResult:
        self.asked += 1
        return SpanExportResult.SUCCESS if self.good else SpanExportResult.FAILURE

    def shutdown(self) -> None:
        pass


def test_after_failures_in_a_row_the_collector_is_left_alone_and_then_tried() -> None:
    now = 0
    failing = Failing()
    export = Export(failing, settings(queue_max=5), Breaker(lambda: now))
    export._thread.join(0)
    for _ in range(10):
        export.put(object())
        export._send_all()
    asked = failing.asked
    assert asked == 10
    for _ in range(8):
        export.put(object())
        assert export._send_all()
    assert failing.asked == asked
    assert export.counts.dropped == 3
    now = 60 * 10**9
    failing.good = True
    assert not export._send_all()
    assert (export.counts.exported, export.counts.failed) == (5, 10)
    export.close()


async def test_without_an_endpoint_there_is_no_tracer(tmp_path: Path) -> None:
    assert open_tracer(TracingSettings()) is None
    flags = {"data": str(tmp_path), "log.segment_mb": 1}
    with OpenPlant(load(flags=flags)) as opened:
        assert opened.plant.tracer is None
        app = create_app(opened.plant)
        assert "Traced" not in [middleware.cls.__name__ for middleware in app.user_middleware]
        async with client_of(opened.plant) as client:
            answer = await client.post("/v1/trades", json=[ROW], headers={"traceparent": CALLER})
            assert answer.status_code == 201
    assert current() is None
    assert measured("x", lambda: 7) == 7
    with piece("x"):
        assert current() is None
    assert "trace" not in bound()


def test_where_the_package_is_missing_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "opentelemetry.exporter.otlp.proto.http.trace_exporter"
    monkeypatch.setitem(__import__("sys").modules, name, None)
    with pytest.raises(NotInstalled, match=r"pip install 'tickplant\[tracing\]'"):
        open_tracer(settings(endpoint="http://127.0.0.1:4318"))


@pytest.mark.parametrize("given", ["127.0.0.1:4318", "grpc://host", "http://me:secret@host"])
def test_an_endpoint_that_is_none_is_refused(given: str) -> None:
    with pytest.raises(ConfigError, match=r"tracing\.endpoint"):
        load(flags={"tracing.endpoint": given})
