"""The middleware that every request goes through: its id, its time, its line in the log, and the answer to faults."""

from __future__ import annotations

import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.access_log import AccessLog
from service.errors import unexpected_response
from service.keys import KeyRing
from service.observability import Metrics
from service.request_id import REQUEST_ID_HEADER, current_request_id, request_id_of
from service.traces import Traces, current_trace


class RequestMiddleware:
    """Gives each request an id, measures it, logs it, traces it where somebody wants that, and answers faults."""

    def __init__(
        self, app: ASGIApp, metrics: Metrics, log: AccessLog, ring: KeyRing, traces: Traces | None = None
    ) -> None:
        self.app = app
        self.metrics = metrics
        self.log = log
        self.ring = ring
        self.traces = traces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        request_id = state["request_id"] = request_id_of(scope["headers"], self.ring)
        # Never taken back: the server runs each request in a context of its own, and logs its last words there.
        current_request_id.set(request_id)
        trace = None if self.traces is None else self.traces.begin(scope["method"], scope["headers"])
        current_trace.set(trace)
        start = time.perf_counter()
        status: int | None = None
        fault: Exception | None = None

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (REQUEST_ID_HEADER.lower().encode(), request_id.encode())]
            await send(message)

        try:
            await self.app(scope, receive, send_with_id)
        except Exception as error:
            fault = error
            if status is not None:
                raise
            await unexpected_response(request_id, error)(scope, receive, send_with_id)
        finally:
            seconds = time.perf_counter() - start
            answered = 500 if status is None else status
            self.metrics.observe_request(
                scope["path"], answered, seconds, state.get("key_name"), state.get("measured_task")
            )
            route = self.metrics.route(scope)
            self.log.write(scope, route, answered, seconds)
            if trace is not None:
                trace.end(route, answered, fault, state)
