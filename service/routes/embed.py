"""`POST /embed`: the vectors of texts, of each text or of each of its tokens."""

from __future__ import annotations

import asyncio
from functools import partial

from fastapi import APIRouter, Request, Response
from starlette.requests import ClientDisconnect

from service.access_log import note_texts
from service.batching import Reading
from service.embeddings_json import bare_parts, head, mean_parts, token_parts
from service.model_names import check_model
from service.routes.dependencies import Ready, State
from service.routes.rank import CLIENT_GONE, ERRORS, in_parts
from service.schemas.embed import AnyEmbedRequest, EmbedRequest, EmbedResponse, TeiEmbedRequest, TeiEmbedResponse
from service.settings import Settings
from service.state import Loaded
from service.text_fields import TextField, naming
from service.while_connected import while_connected
from uwe_core.errors import LimitError

router = APIRouter(tags=["embedding"])


@router.post("/embed", response_model=EmbedResponse | TeiEmbedResponse, responses=ERRORS)
async def embed(body: AnyEmbedRequest, request: Request, state: State, loaded: Ready) -> Response:
    """The vector of each text, or of each of its tokens.

    With `inputs` in place of `text` or `texts`, request and answer (a bare list of vectors) are those of
    text-embeddings-inference.
    """
    texts = body.field
    note_texts(request, texts.texts)
    check_limits(texts, state.settings)
    state.metrics.request_queries.labels("/embed").observe(len(texts.texts))
    try:
        async with while_connected(request):
            with naming(texts):
                if isinstance(body, TeiEmbedRequest):
                    return in_parts(await _bare(body, loaded))
                return in_parts(await _described(body, loaded, state.settings))
    except ClientDisconnect:
        return Response(status_code=CLIENT_GONE)


async def _described(body: EmbedRequest, loaded: Loaded, settings: Settings) -> list[bytes]:
    check_model(body.model, loaded.engine)
    texts = body.field.texts
    embedded = await loaded.batcher.embed(texts, most_tokens=settings.max_embedded_tokens if body.tokens else None)
    start = head(loaded.engine, embedded.dimension, normalised=body.normalise)
    # Numbers become text at some millions a second: not on the event loop.
    if not body.tokens:
        write = partial(mean_parts, start, texts, embedded, body.encoding_format, normalise=body.normalise)
        return await asyncio.to_thread(write)
    spans = await asyncio.to_thread(loaded.engine.spans, texts)
    return await asyncio.to_thread(
        partial(token_parts, start, texts, embedded, spans, body.encoding_format, normalise=body.normalise)
    )


async def _bare(body: TeiEmbedRequest, loaded: Loaded) -> list[bytes]:
    embedded = await loaded.batcher.embed(body.field.texts, Reading(refuse_longer=body.truncate is False))
    return await asyncio.to_thread(partial(bare_parts, embedded, normalise=body.normalize))


def check_limits(texts: TextField, settings: Settings) -> None:
    """Refuse what is too much for one request, before it costs anything; the limits are those of queries."""
    if len(texts.texts) > settings.max_queries:
        raise LimitError(f"{len(texts.texts)} {texts.name}; one request may hold {settings.max_queries}")
    texts.refuse_longer(settings.max_query_chars)
