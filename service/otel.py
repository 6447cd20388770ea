"""Traces by OpenTelemetry's SDK; imported only where tracing is on (`[tracing]`).

Attributes hold counts and names of ours: no text, no path and no header of a caller, nor the message of an error, which
may quote them. That is why spans are made here and not by OpenTelemetry's own middleware for ASGI, which notes URLs and
addresses as they come, and knows nothing of stages.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any, Final, cast

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode, Tracer, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from service.observability import Route, ServiceStage
from service.traces import RequestTrace
from uwe_core.errors import ConfigurationError

_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_SERVICE: Final = "uwe"
_TRACEPARENT: Final = b"traceparent"
# How long a process that ends waits for the collector; SIGTERM leaves three seconds for everything.
_LAST_SECONDS: Final = 0.5


def traces_to_collector() -> OtelTraces:
    """Traces that are sent over OTLP/HTTP in the background, as the standard variables `OTEL_...` say.

    Raises:
        ConfigurationError: they name no endpoint.
    """
    if not any(os.environ.get(name) for name in _ENDPOINTS):
        raise ConfigurationError(f"tracing is true, and no collector is named: set {_ENDPOINTS[1]}")
    resource = Resource.create({"service.version": version("unified-work-embeddings")})
    if str(resource.attributes[SERVICE_NAME]).startswith("unknown_service"):
        resource = resource.merge(Resource({SERVICE_NAME: _SERVICE}))
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return OtelTraces(provider)


class OtelTraces:
    """See `Traces`.

    Args:
        provider: samples, and sends; it is nobody else's.
    """

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("service", version("unified-work-embeddings"))
        self._propagator = TraceContextTextMapPropagator()

    def begin(self, method: str, headers: Iterable[tuple[bytes, bytes]]) -> OtelRequestTrace:
        """See `Traces`. The caller's `tracestate` is not passed on: it is free text."""
        given = [value.decode("latin-1") for name, value in headers if name == _TRACEPARENT]
        parent = self._propagator.extract({"traceparent": given}, Context())
        attributes = {"http.request.method": method}
        span = self._tracer.start_span(method, parent, SpanKind.SERVER, attributes)
        return OtelRequestTrace(self._tracer, method, span)

    def close(self) -> None:
        """See `Traces`."""
        # The SDK may wait much longer for a collector that is not there.
        last = threading.Thread(target=self._provider.shutdown, daemon=True)
        last.start()
        last.join(_LAST_SECONDS)


@dataclass(frozen=True, eq=False)
class OtelRequestTrace:
    """See `RequestTrace`."""

    _tracer: Tracer
    _method: str
    span: Span

    @property
    def trace_id(self) -> str:
        """See `RequestTrace`."""
        return f"{self.span.get_span_context().trace_id:032x}"

    @property
    def span_id(self) -> str:
        """See `RequestTrace`."""
        return f"{self.span.get_span_context().span_id:016x}"

    @property
    def recording(self) -> bool:
        """See `RequestTrace`."""
        return self.span.is_recording()

    def stage(self, stage: ServiceStage, seconds: float, *, queries: int, tokens: int) -> None:
        """See `RequestTrace`."""
        if self.recording:
            end = time.time_ns()
            _child(self._tracer, self.span, stage, (_before(end, seconds), end), queries, tokens)

    def begin_pass(self, served: Iterable[RequestTrace], *, queries: int, tokens: int) -> OtelPassTrace:
        """See `RequestTrace`."""
        requests = [cast("OtelRequestTrace", trace).span for trace in served]
        links = [Link(span.get_span_context()) for span in requests]
        attributes = _sizes(queries, tokens) | {"uwe.requests": len(requests)}
        span = self._tracer.start_span("pass", Context(), SpanKind.INTERNAL, attributes, links)
        return OtelPassTrace(self._tracer, span, requests, queries, tokens)

    def end(self, route: Route, status: int, fault: Exception | None, facts: dict[str, Any]) -> None:
        """See `RequestTrace`."""
        span = self.span
        span.set_attributes({"http.route": route.template, "http.response.status_code": status})
        texts = facts.get("texts")
        optional: dict[str, str | int | None] = {
            "uwe.task": route.task,
            "uwe.key": facts.get("key_name"),
            "uwe.request_id": facts.get("request_id"),
            "uwe.queries": None if texts is None else len(texts),
            "error.type": str(status) if status >= 500 and fault is None else _name(fault),
        }
        span.set_attributes({name: value for name, value in optional.items() if value is not None})
        span.update_name(f"{self._method} {route.template}")
        if status >= 500:
            span.set_status(Status(StatusCode.ERROR))
        span.end()


@dataclass(frozen=True, eq=False)
class OtelPassTrace:
    """See `PassTrace`."""

    _tracer: Tracer
    _span: Span
    _requests: list[Span]
    _queries: int
    _tokens: int
    _stages: list[tuple[ServiceStage, tuple[int, int]]] = field(default_factory=list)

    def stage(self, stage: ServiceStage, seconds: float) -> None:
        """See `PassTrace`."""
        end = time.time_ns()
        self._stages.append((stage, (_before(end, seconds), end)))

    def end(self, fault: type[BaseException] | None) -> None:
        """See `PassTrace`. A request that was answered meanwhile gets its stages all the same."""
        if fault is not None:
            self._span.set_attribute("error.type", fault.__name__)
            self._span.set_status(Status(StatusCode.ERROR))
        for stage, times in self._stages:
            _child(self._tracer, self._span, stage, times, self._queries, self._tokens)
            for request in self._requests:
                _child(self._tracer, request, stage, times, self._queries, self._tokens, self._span)
        self._span.end()


def _child(
    tracer: Tracer,
    parent: Span,
    stage: ServiceStage,
    times: tuple[int, int],
    queries: int,
    tokens: int,
    linked: Span | None = None,
) -> None:
    """A span that is over already."""
    links = [] if linked is None else [Link(linked.get_span_context())]
    context = set_span_in_context(parent, Context())
    span = tracer.start_span(stage, context, attributes=_sizes(queries, tokens), links=links, start_time=times[0])
    span.end(times[1])


def _sizes(queries: int, tokens: int) -> dict[str, int]:
    return {"uwe.batch.queries": queries, "uwe.batch.tokens": tokens}


def _before(end: int, seconds: float) -> int:
    return end - int(seconds * 1e9)


def _name(fault: Exception | None) -> str | None:
    return None if fault is None else type(fault).__name__
