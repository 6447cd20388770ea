"""Traces: a span a request with its stages, passes linked to requests, the caller's trace goes on; nothing when off."""

from __future__ import annotations

import json
import logging
import re
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

import service
from service.app import create_app
from service.logs import json_lines
from service.settings import Settings
from service.traces import current_trace
from tests.service.conftest import FakeRanker
from uwe_core.errors import ConfigurationError

pytest.importorskip("opentelemetry.sdk", reason="needs the extra [tracing]")

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind, StatusCode

from service.otel import OtelTraces, traces_to_collector

SECRET = "nurse with a past"
TRACE = "0af7651916cd43dd8448eb211c80319c"
TRACEPARENT = f"00-{TRACE}-b7ad6b7169203331-01"
SHARED = ["encode", "score", "top_k", "serialise"]


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def client(exporter: InMemorySpanExporter, ranker: FakeRanker) -> Iterator[TestClient]:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with TestClient(create_app(Settings(), ranker, OtelTraces(provider)), raise_server_exceptions=False) as client:
        yield client


def named(exporter: InMemorySpanExporter, name: str) -> list[ReadableSpan]:
    return [span for span in exporter.get_finished_spans() if span.name == name]


def children(exporter: InMemorySpanExporter, parent: ReadableSpan) -> list[ReadableSpan]:
    spans = exporter.get_finished_spans()
    return [span for span in spans if span.parent is not None and span.parent.span_id == parent.context.span_id]


def test_a_request_is_a_span_with_its_stages(client: TestClient, exporter: InMemorySpanExporter) -> None:
    client.post("/rank/job2skill", json={"queries": ["ab", "abc"]}, headers={"X-Request-ID": "r1"})
    (request,) = named(exporter, "POST /rank/{task}")
    assert (request.kind, request.parent, request.status.status_code) == (SpanKind.SERVER, None, StatusCode.UNSET)
    assert dict(request.attributes or {}) == {
        "http.request.method": "POST", "http.route": "/rank/{task}", "http.response.status_code": 200,
        "uwe.task": "job2skill", "uwe.queries": 2, "uwe.key": "anonymous", "uwe.request_id": "r1",
    }  # fmt: skip
    stages = children(exporter, request)
    assert sorted(span.name for span in stages) == sorted(["tokenise", "wait", *SHARED])
    for span in stages:
        assert dict(span.attributes or {}) == {"uwe.batch.queries": 2, "uwe.batch.tokens": 5}
        assert request.start_time <= span.start_time <= span.end_time <= request.end_time  # type: ignore[operator]


def test_a_pass_is_linked_to_the_requests_it_served(
    client: TestClient, exporter: InMemorySpanExporter, ranker: FakeRanker
) -> None:
    """The first one occupies the computing thread, so that the others share the pass after it."""
    ranker.release.clear()
    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(client.post, "/rank/job2skill", json={"query": "a"})
        assert ranker.started.wait(timeout=20)
        others = [pool.submit(client.post, "/rank/jobnorm", json={"query": text}) for text in ("ab", "abc")]
        batcher = client.app.state.service.loaded.batcher  # type: ignore[attr-defined]
        while batcher._queue.texts < 2:
            time.sleep(0.005)
        ranker.release.set()
        assert [answer.result().status_code for answer in (first, *others)] == [200] * 3
    requests = {span.context.span_id: span for span in named(exporter, "POST /rank/{task}")}
    alone, shared = sorted(named(exporter, "pass"), key=lambda span: span.start_time or 0)
    assert [(a.attributes or {})["uwe.requests"] for a in (alone, shared)] == [1, 2]
    linked = [requests[link.context.span_id] for link in shared.links]
    assert [(span.attributes or {})["uwe.task"] for span in linked] == ["jobnorm"] * 2
    assert shared.context.trace_id not in {span.context.trace_id for span in linked}
    own = children(exporter, shared)
    assert [span.name for span in own] == SHARED
    for span in linked:
        copies = [stage for stage in children(exporter, span) if stage.name in SHARED]
        assert [(c.name, c.start_time, c.end_time) for c in copies] == [(s.name, s.start_time, s.end_time) for s in own]
        assert {link.context.span_id for copy in copies for link in copy.links} == {shared.context.span_id}
        assert {(copy.attributes or {})["uwe.batch.tokens"] for copy in copies} == {5}


def test_texts_that_are_embedded_or_brought_along_have_stages_too(
    client: TestClient, exporter: InMemorySpanExporter
) -> None:
    client.post("/embed", json={"texts": ["ab", "abc"]})
    (embedded,) = named(exporter, "POST /embed")
    assert (embedded.attributes or {})["uwe.queries"] == 2
    assert sorted(span.name for span in children(exporter, embedded)) == ["encode", "tokenise", "wait"]
    client.post("/rerank", json={"query": "a", "texts": ["ab", "abc"]})
    (reranked,) = named(exporter, "POST /rerank")
    assert (reranked.attributes or {})["uwe.queries"] == 1
    assert {"tokenise", "wait", "encode"} <= {span.name for span in children(exporter, reranked)}


def test_the_callers_trace_goes_on(client: TestClient, exporter: InMemorySpanExporter) -> None:
    headers = {"traceparent": TRACEPARENT, "tracestate": "vendor=nurse"}
    client.post("/rank/job2skill", json={"query": "a"}, headers=headers)
    (request,) = named(exporter, "POST /rank/{task}")
    assert request.parent is not None
    assert (f"{request.context.trace_id:032x}", f"{request.parent.span_id:016x}") == (TRACE, "b7ad6b7169203331")
    assert not request.context.trace_state


@pytest.mark.parametrize("header", ["", "nonsense", f"00-{'0' * 32}-b7ad6b7169203331-01", f"ff-{TRACE}-{'1' * 16}-01"])
def test_what_is_no_trace_begins_a_new_one(client: TestClient, exporter: InMemorySpanExporter, header: str) -> None:
    assert client.get("/healthz", headers={"traceparent": header}).status_code == 200
    (request,) = named(exporter, "GET /healthz")
    assert request.parent is None


def test_faults_are_told_by_their_kind_alone(
    client: TestClient, exporter: InMemorySpanExporter, ranker: FakeRanker
) -> None:
    ranker.fails = ArithmeticError(f"broken by {SECRET}")
    client.post("/rank/job2skill", json={"query": SECRET})
    client.post(f"/rank/{SECRET}?q={SECRET}", json={"query": SECRET})
    (faulty,) = [span for span in named(exporter, "POST /rank/{task}") if not span.status.is_ok]
    assert (faulty.attributes or {})["error.type"] == "ArithmeticError"
    (unknown,) = [span for span in named(exporter, "POST /rank/{task}") if span.status.is_ok]
    assert ((unknown.attributes or {})["uwe.task"], (unknown.attributes or {})["http.response.status_code"]) == (
        "unknown",
        404,
    )
    assert [(span.attributes or {})["error.type"] for span in named(exporter, "pass")] == ["ArithmeticError"]
    told = "".join(span.to_json() for span in exporter.get_finished_spans())
    assert "past" not in told


def test_what_is_not_sampled_has_ids_and_no_spans(ranker: FakeRanker, exporter: InMemorySpanExporter) -> None:
    provider = TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with TestClient(create_app(Settings(), ranker, OtelTraces(provider))) as client:
        assert client.post("/rank/job2skill", json={"query": "a"}).status_code == 200
    assert exporter.get_finished_spans() == ()


def test_lines_of_the_log_name_the_trace(
    client: TestClient, exporter: InMemorySpanExporter, caplog: pytest.LogCaptureFixture
) -> None:
    lines: list[dict[str, Any]] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(json.loads(json_lines().format(record)))  # type: ignore[method-assign]
    logger = logging.getLogger("service.access_log")
    logger.addHandler(handler)
    try:
        with caplog.at_level(logging.INFO, "service.access_log"):
            client.get("/healthz", headers={"traceparent": TRACEPARENT})
    finally:
        logger.removeHandler(handler)
    (request,) = named(exporter, "GET /healthz")
    assert (lines[0]["trace_id"], lines[0]["span_id"]) == (TRACE, f"{request.context.span_id:016x}")
    assert current_trace.get() is None


class Collector:
    """What receives spans over HTTP."""

    def __init__(self) -> None:
        self.spans: list[Any] = []
        self.services: set[str] = set()
        self.arrived = threading.Event()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                sent = ExportTraceServiceRequest.FromString(self.rfile.read(int(self.headers["Content-Length"])))
                for resource in sent.resource_spans:
                    names = {a.key: a.value.string_value for a in resource.resource.attributes}
                    collector.services.add(names["service.name"])
                    collector.spans += [span for scope in resource.scope_spans for span in scope.spans]
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()
                collector.arrived.set()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    def __enter__(self) -> Collector:
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def variables(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_SERVICE_NAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")
    return monkeypatch


@pytest.mark.parametrize("service", ["uwe", "shop"])
def test_spans_arrive_at_the_collector_that_the_environment_names(
    service: str, ranker: FakeRanker, variables: pytest.MonkeyPatch
) -> None:
    with Collector() as collector:
        variables.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{collector.server.server_port}")
        if service != "uwe":
            variables.setenv("OTEL_SERVICE_NAME", service)
        with TestClient(create_app(Settings(tracing=True), ranker)) as client:
            client.post("/rank/job2skill", json={"query": "a"}, headers={"traceparent": TRACEPARENT})
            assert collector.arrived.wait(timeout=20)
    assert collector.services == {service}
    (request,) = (span for span in collector.spans if span.name == "POST /rank/{task}")
    assert request.trace_id.hex() == TRACE


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_collector_that_is_not_there_disturbs_nobody(ranker: FakeRanker, variables: pytest.MonkeyPatch) -> None:
    variables.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://127.0.0.1:9/v1/traces")
    with TestClient(create_app(Settings(tracing=True), ranker)) as client:
        for number in range(20):
            assert client.post("/rank/job2skill", json={"query": f"a{number}"}).status_code == 200
        start = time.monotonic()
    assert time.monotonic() - start < 5


def test_tracing_without_a_collector_stops_the_start(variables: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match="OTEL_EXPORTER_OTLP_ENDPOINT"):
        create_app(Settings(tracing=True), FakeRanker())
    with pytest.raises(ConfigurationError, match="no collector is named"):
        traces_to_collector()


def test_without_the_extra_it_is_said_what_to_install(variables: pytest.MonkeyPatch) -> None:
    variables.setitem(sys.modules, "service.otel", None)
    with pytest.raises(ConfigurationError, match=r"\[tracing\]"):
        create_app(Settings(tracing=True), FakeRanker())


def test_nothing_is_imported_while_tracing_is_off(ranker: FakeRanker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "service.otel", None)
    with TestClient(create_app(Settings(), ranker)) as client:
        assert client.post("/rank/job2skill", json={"query": "a"}).status_code == 200
    sources = {path.name: path.read_text() for path in Path(service.__file__).parent.rglob("*.py")}
    importing = re.compile(r"^(from|import) (opentelemetry|service\.otel)\b", re.MULTILINE)
    assert {name for name, source in sources.items() if importing.search(source)} == {"otel.py"}
