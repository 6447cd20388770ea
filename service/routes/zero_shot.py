"""`POST /rank`: any target space, or targets that come with the request, ranked without a task."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Request, Response
from starlette.requests import ClientDisconnect

from service.access_log import note_texts
from service.given_targets import check_targets, space_of
from service.routes.dependencies import Ready, State
from service.routes.rank import CLIENT_GONE, ERRORS, answer, check_limits, respond
from service.schemas.rank import RankResponse
from service.schemas.zero_shot import GivenTargetsRequest, SpaceRankRequest, ZeroShotRequest
from service.settings import Settings
from service.state import Loaded, ServiceState
from service.text_fields import TextField, naming, text_field
from service.while_connected import while_connected
from uwe_core.errors import InputError
from uwe_core.ranker import GIVEN_TASK
from uwe_core.tasks import ZERO_SHOT, zero_shot_task

router = APIRouter(tags=["ranking"])


@router.post("/rank", response_model=RankResponse, responses=ERRORS)
async def rank_zero_shot(body: ZeroShotRequest, request: Request, state: State, loaded: Ready) -> Response:
    """Rank a `space`, or the `targets` of this request, for each query, exactly as those of a task are ranked.

    The answer's task is called `zero-shot`. Of targets that come with a request nothing is kept, and the answer names
    no space.
    """
    if isinstance(body, SpaceRankRequest):
        return await answer(zero_shot_task(body.space), body, request, state, loaded)
    return await rank_given(body, request, state, loaded)


async def rank_given(body: GivenTargetsRequest, request: Request, state: ServiceState, loaded: Loaded) -> Response:
    """The response for targets that came with the request."""
    targets = TextField("targets", [target.text for target in body.given])
    queries = text_field("query", body.query, "queries", body.queries)
    note_texts(request, queries.texts)
    check_request(body, queries, state.settings)
    loaded.batcher.check_model(body.model_fingerprint)
    check_targets(targets, state.settings)
    state.metrics.request_queries.labels(ZERO_SHOT).observe(len(body.texts))
    state.metrics.given_targets.observe(len(body.targets))
    try:
        async with while_connected(request):
            space = await asyncio.to_thread(space_of, body.given)
            with naming(targets, queries):
                source, results = await loaded.batcher.rank_given(
                    space, body.texts, body.top_k, body.narrowing, explain=body.explain
                )
    except ClientDisconnect:
        return Response(status_code=CLIENT_GONE)
    return respond(source, results)


def check_request(body: GivenTargetsRequest, queries: TextField, settings: Settings) -> None:
    """Refuse what is too much for one request, and a least confidence, which targets of the moment have none of."""
    queries.refuse_longer(settings.max_query_chars)
    check_limits(body, body.texts, GIVEN_TASK, settings)
    if body.fingerprint is not None:
        raise InputError("fingerprint: targets that come with a request have no index to name")
    if body.min_confidence is not None:
        raise InputError("min_confidence: targets that come with a request have no confidence")
