"""`POST /rerank`, `/v1/rerank` and `/v2/rerank`: texts of the moment ranked for a query, as other services do it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, Literal

import orjson
from fastapi import APIRouter, Request, Response
from starlette.requests import ClientDisconnect

from service.access_log import note_texts
from service.answers import AnswerSource
from service.batching import Reading
from service.given_targets import check_targets, space_of
from service.model_names import check_model
from service.routes.dependencies import Ready, State
from service.routes.rank import CLIENT_GONE, ERRORS
from service.schemas.origin import ModelSummary
from service.schemas.rerank import (
    ApiVersion,
    CohereRerankRequest,
    CohereRerankResponse,
    RankedText,
    RerankedDocument,
    RerankMeta,
    TeiRerankRequest,
    TeiRerankResponse,
)
from service.schemas.zero_shot import GivenTarget
from service.state import Loaded, ServiceState
from service.text_fields import TextField, naming
from service.while_connected import while_connected

router = APIRouter(tags=["reranking"])


@dataclass(frozen=True)
class Ranked:
    """One of the texts, by its position in the request."""

    index: int
    score: float
    normalised_score: float


@router.post("/rerank", response_model=TeiRerankResponse, response_model_exclude_none=True, responses=ERRORS)
async def rerank(body: TeiRerankRequest, request: Request, state: State, loaded: Ready) -> Any:
    """Rank `texts` for a query: the shape of text-embeddings-inference."""
    note_texts(request, [body.query])
    check_model(body.model, loaded.engine)
    texts = TextField("texts", body.texts)
    reading = Reading(refuse_longer=body.truncate is False)
    try:
        async with while_connected(request):
            _, ranking = await ranked(body.query, texts, len(body.texts), reading, state, loaded)
    except ClientDisconnect:
        return Response(status_code=CLIENT_GONE)
    return [
        RankedText(
            index=one.index,
            score=one.score if body.raw_scores else one.normalised_score,
            text=body.texts[one.index] if body.return_text else None,
        )
        for one in ranking
    ]


@router.post("/v1/rerank", response_model=CohereRerankResponse, response_model_exclude_none=True, responses=ERRORS)
async def rerank_v1(body: CohereRerankRequest, request: Request, state: State, loaded: Ready) -> Any:
    """Rank `documents` for a query: the shape of Cohere's first version."""
    return await reranked("1", body, request, state, loaded)


@router.post("/v2/rerank", response_model=CohereRerankResponse, response_model_exclude_none=True, responses=ERRORS)
async def rerank_v2(body: CohereRerankRequest, request: Request, state: State, loaded: Ready) -> Any:
    """Rank `documents` for a query: the shape of Cohere's second version."""
    return await reranked("2", body, request, state, loaded)


async def reranked(
    version: Literal["1", "2"], body: CohereRerankRequest, request: Request, state: ServiceState, loaded: Loaded
) -> CohereRerankResponse | Response:
    """Cohere's answer, whose versions ask alike for what is answered here."""
    note_texts(request, [body.query])
    check_model(body.model, loaded.engine)
    documents = TextField("documents", body.texts)
    top_n, reading = body.top_n or len(body.documents), Reading(most_tokens=body.max_tokens_per_doc)
    try:
        async with while_connected(request):
            source, ranking = await ranked(body.query, documents, top_n, reading, state, loaded)
    except ClientDisconnect:
        return Response(status_code=CLIENT_GONE)
    return CohereRerankResponse(
        id=request.state.request_id,
        results=[
            RerankedDocument(
                index=one.index,
                relevance_score=one.normalised_score,
                document=body.document(one.index) if body.return_documents else None,
            )
            for one in ranking
        ],
        meta=RerankMeta(
            api_version=ApiVersion(version=version),
            model=ModelSummary(name=source.model_name, fingerprint=source.model_fingerprint),
        ),
    )


async def ranked(
    query: str, texts: TextField, top_n: int, reading: Reading, state: ServiceState, loaded: Loaded
) -> tuple[AnswerSource, list[Ranked]]:
    """The best of the texts, as `POST /rank` ranks targets of the moment."""
    asked = TextField("query", [query], several=False)
    asked.refuse_longer(state.settings.max_query_chars)
    check_targets(texts, state.settings)
    state.metrics.request_queries.labels("/rerank").observe(1)
    state.metrics.given_targets.observe(len(texts.texts))
    space = await asyncio.to_thread(
        lambda: space_of([GivenTarget(text=text, id=str(index)) for index, text in enumerate(texts.texts)])
    )
    with naming(texts, asked):
        source, (answer,) = await loaded.batcher.rank_given(space, [query], top_n, reading=reading)
    return source, await asyncio.to_thread(_read, answer)


def _read(answer: bytes) -> list[Ranked]:
    return [
        Ranked(int(target["id"]), target["score"], target["normalised_score"])
        for target in orjson.loads(answer)["targets"]
    ]
