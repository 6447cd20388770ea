"""`POST /rank/{task}`: the targets of a task, ranked for one query or several."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path

from service.routes.dependencies import Ready, State
from service.schemas import (
    ErrorResponse,
    IndexSummary,
    ModelSummary,
    QueryResult,
    RankRequest,
    RankResponse,
    Target,
    Truncated,
)
from service.settings import Settings
from service.state import RankingEngine
from uwe_core.errors import InputError, LimitError
from uwe_core.ranker import Rankings

router = APIRouter(tags=["ranking"])
_ERRORS: dict[int | str, dict[str, Any]] = {status: {"model": ErrorResponse} for status in (404, 413, 422, 500, 503)}


@router.post("/rank/{task}", responses=_ERRORS)
async def rank(
    task: Annotated[str, Path(description="Name of a task; GET /tasks lists them.", examples=["job2skill"])],
    request: RankRequest,
    state: State,
    loaded: Ready,
) -> RankResponse:
    """Rank the target space of a task for each query, best targets first."""
    loaded.engine.task(task)
    check_limits(request, state.settings)
    state.metrics.request_queries.labels(task).observe(len(request.texts))
    rankings = await loaded.queue.rank(task, request.texts, request.top_k)
    return respond(task, request.texts, rankings, loaded.engine)


def check_limits(request: RankRequest, settings: Settings) -> None:
    """Refuse what is too much for one request, before it costs anything."""
    if len(request.texts) > settings.max_queries:
        raise LimitError(f"{len(request.texts)} queries; one request may hold {settings.max_queries}")
    for position, text in enumerate(request.texts):
        if len(text) > settings.max_query_chars:
            raise LimitError(f"text {position} has {len(text)} characters; a query may have {settings.max_query_chars}")
    if request.top_k is not None and request.top_k > settings.max_top_k:
        raise InputError(f"top_k is {request.top_k}; it may be {settings.max_top_k}")


def respond(task: str, queries: list[str], rankings: Rankings, engine: RankingEngine) -> RankResponse:
    """The rankings in the form they are sent in."""
    cuts = {cut.position: Truncated.model_validate(cut) for cut in rankings.truncations}
    model, space = engine.description, engine.space_summaries()[engine.task(task).target_space]
    return RankResponse(
        task=task,
        model=ModelSummary(name=model.model_name, fingerprint=model.model_fingerprint),
        index=IndexSummary(space=space.info.name, fingerprint=space.index_fingerprint),
        results=[
            QueryResult(query=query, targets=[Target.of(target) for target in ranking], truncated=cuts.get(position))
            for position, (query, ranking) in enumerate(zip(queries, rankings.rankings, strict=True))
        ],
    )
