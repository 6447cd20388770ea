"""What the service asks of whatever traces requests, without knowing it: nothing is imported while tracing is off.

One request is one span, with a span below it for each of its stages. Requests share stages from `encode` on: a pass has
a trace of its own, linked to the requests it served, and each of them has a copy of its stages.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:  # settings lead here, and are read before torch is there
    from service.observability import Route, ServiceStage


class PassTrace(Protocol):
    """Some queries that are computed at once."""

    def stage(self, stage: ServiceStage, seconds: float) -> None:
        """One stage ended just now."""

    def end(self, fault: type[BaseException] | None) -> None:
        """The pass ended, by an error of that class or well."""


class RequestTrace(Protocol):
    """One request."""

    @property
    def trace_id(self) -> str:
        """32 hexadecimal digits."""

    @property
    def span_id(self) -> str:
        """16 hexadecimal digits."""

    @property
    def recording(self) -> bool:
        """Whether the request was sampled."""

    def stage(self, stage: ServiceStage, seconds: float, *, queries: int, tokens: int) -> None:
        """One stage of the request's own ended just now, over so much."""

    def begin_pass(self, served: Iterable[RequestTrace], *, queries: int, tokens: int) -> PassTrace:
        """A pass begins that serves these requests, this one among them."""

    def end(self, route: Route, status: int, fault: Exception | None, facts: dict[str, Any]) -> None:
        """The request was answered; `facts` is the state that middlewares and routes left."""


class Traces(Protocol):
    """Makes traces."""

    def begin(self, method: str, headers: Iterable[tuple[bytes, bytes]]) -> RequestTrace:
        """A request begins; a trace that its caller began goes on."""

    def close(self) -> None:
        """Send what is left, for a moment."""


# Of the request that the running task works for; None outside of any, and while tracing is off.
current_trace: ContextVar[RequestTrace | None] = ContextVar("trace", default=None)


@contextmanager
def traced_pass(traces: Iterable[RequestTrace | None], *, queries: int, tokens: int) -> Iterator[PassTrace | None]:
    """Trace a pass while the block runs; None where no request that it serves is traced.

    Args:
        traces: of the requests that are served; one may come several times.
        queries: computed at once.
        tokens: of all of them.
    """
    served = list(dict.fromkeys(trace for trace in traces if trace is not None and trace.recording))
    if not served:
        yield None
        return
    traced = served[0].begin_pass(served, queries=queries, tokens=tokens)
    try:
        yield traced
    except BaseException as error:
        traced.end(type(error))
        raise
    traced.end(None)
