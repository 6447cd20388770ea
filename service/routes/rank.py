"""`POST /rank/{task}` and `POST /rank`: the targets of a task or of any space, ranked for one query or several."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response
from fastapi.responses import StreamingResponse
from starlette.requests import ClientDisconnect

from service.access_log import note_texts
from service.answers import AnswerSource, response_parts
from service.batching import Pins
from service.engine import RankingEngine
from service.routes.dependencies import Ready, State
from service.schemas.errors import ErrorResponse
from service.schemas.narrowed import NarrowedRequest, PagedRequest
from service.schemas.rank import RankRequest, RankResponse
from service.settings import Settings
from service.state import Loaded, ServiceState
from service.while_connected import while_connected
from uwe_core.errors import InputError, LimitError
from uwe_core.metadata_filter import check_columns
from uwe_core.tasks import RankingTask

router = APIRouter(tags=["ranking"])
ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorResponse} for status in (404, 408, 409, 413, 422, 500, 503)
}
# Of routes whose requests name no fingerprint.
UNPINNED_ERRORS = {status: answer for status, answer in ERRORS.items() if status != 409}
# Nobody reads this answer; the status, nginx's own for it, is for the metrics.
CLIENT_GONE = 499
# Larger bodies are sent part by part: put together they would hold up the event loop, and fill memory twice.
_LARGEST_WHOLE_BYTES = 1 << 20
_JSON = "application/json"


@router.post("/rank/{task}", response_model=RankResponse, responses=ERRORS)
async def rank(
    task: Annotated[str, Path(description="Name of a task; GET /tasks lists them.", examples=["job2skill"])],
    body: RankRequest,
    request: Request,
    state: State,
    loaded: Ready,
) -> Response:
    """Rank the target space of a task for each query, best targets first."""
    return await answer(loaded.engine.task(task), body, request, state, loaded)


async def answer(
    task: RankingTask, body: RankRequest, request: Request, state: ServiceState, loaded: Loaded
) -> Response:
    """The response to a request for a task, from the space as it was when the request came."""
    note_texts(request, body.texts)
    check_limits(body, body.texts, task, state.settings)
    source = loaded.batcher.source(task, Pins(body.fingerprint, body.model_fingerprint))
    check_answerable(body, source, loaded.engine)
    state.metrics.request_queries.labels(task.name).observe(len(body.texts))
    try:
        async with while_connected(request):
            results = await loaded.batcher.rank(source, body.texts, body.top_k, body.narrowing, explain=body.explain)
    except ClientDisconnect:
        return Response(status_code=CLIENT_GONE)
    return respond(source, results)


def respond(source: AnswerSource, results: Sequence[bytes]) -> Response:
    """The response with these results."""
    return in_parts(response_parts(source, results))


def in_parts(parts: Sequence[bytes]) -> Response:
    """A body of JSON, whole or part by part."""
    length = sum(map(len, parts))
    if length <= _LARGEST_WHOLE_BYTES:
        return Response(b"".join(parts), media_type=_JSON)
    return StreamingResponse(_one_by_one(parts), media_type=_JSON, headers={"Content-Length": str(length)})


async def _one_by_one(parts: Sequence[bytes]) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


def check_limits(request: PagedRequest, texts: Sequence[str], task: RankingTask, settings: Settings) -> None:
    """Refuse what is too much for one request, before it costs anything."""
    if len(texts) > settings.max_queries:
        raise LimitError(f"{len(texts)} queries; one request may hold {settings.max_queries}")
    for position, text in enumerate(texts):
        if len(text) > settings.max_query_chars:
            raise LimitError(f"text {position} has {len(text)} characters; a query may have {settings.max_query_chars}")
    if request.top_k is not None and request.top_k > settings.max_top_k:
        raise InputError(f"top_k is {request.top_k}; it may be {settings.max_top_k}")
    if request.offset > settings.max_offset:
        raise InputError(f"offset is {request.offset}; it may be {settings.max_offset}")
    top_k = request.top_k or task.default_top_k
    if request.explain and top_k > settings.max_explained:
        raise InputError(f"top_k is {top_k}; with 'explain' it may be {settings.max_explained}")


def check_answerable(request: NarrowedRequest, source: AnswerSource, engine: RankingEngine) -> None:
    """Refuse a least confidence where there is no confidence, and a filter on what is not known of the targets."""
    if request.min_confidence is not None and source.task.name not in engine.calibrated_tasks:
        raise InputError(f"min_confidence: the model is not calibrated for the task '{source.task.name}'")
    wanted = request.narrowing.filter
    if wanted is not None:
        check_columns(wanted, source.space.columns)
