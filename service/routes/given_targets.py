"""`POST /rank`: targets that come with the request, ranked for one query or several."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Request, Response
from starlette.requests import ClientDisconnect

from service.access_log import note_texts
from service.given_targets import GivenTargetsRequest, check_targets, space_of
from service.routes.dependencies import Ready, State
from service.routes.rank import CLIENT_GONE, ERRORS, check_limits, respond
from service.schemas import RankResponse
from service.settings import Settings
from service.text_fields import TextField, naming, text_field
from service.while_connected import while_connected
from uwe_core.errors import InputError
from uwe_core.ranker import GIVEN_TASK

router = APIRouter(tags=["ranking"])


@router.post("/rank", response_model=RankResponse, responses=ERRORS)
async def rank_given(body: GivenTargetsRequest, request: Request, state: State, loaded: Ready) -> Response:
    """Rank the targets of this request for each query, best first, exactly as those of a task are ranked.

    Nothing of them is kept, and neither the task nor the space of the answer has a name.
    """
    targets = TextField("targets", [target.text for target in body.given])
    queries = text_field("query", body.query, "queries", body.queries)
    note_texts(request, queries.texts)
    check_request(body, queries, state.settings)
    check_targets(targets, state.settings)
    state.metrics.request_queries.labels("/rank").observe(len(body.texts))
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
    check_limits(body, GIVEN_TASK, settings)
    if body.min_confidence is not None:
        raise InputError("min_confidence: targets that come with a request have no confidence")
