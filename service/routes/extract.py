"""`POST /extract`: the skills of a whole vacancy, each with the sentences that it came from."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from fastapi import APIRouter, Request, Response
from starlette.requests import ClientDisconnect

from service.access_log import note_texts
from service.engine import RankingEngine
from service.extraction import extraction_json
from service.routes.dependencies import Ready, State
from service.routes.rank import CLIENT_GONE, UNPINNED_ERRORS, check_answerable
from service.schemas.extract import ExtractRequest, ExtractResponse
from service.settings import Settings
from service.while_connected import while_connected
from uwe_core.errors import EmptyTextError, InputError, InvalidTextError, LimitError
from uwe_core.sentences import LONGEST, Sentence, sentences
from uwe_core.text import unreadable_reason

router = APIRouter(tags=["ranking"])
# Each takes about as long as ranking a sentence does.
_EXPLAINED_PER_SENTENCE = 5


@router.post("/extract", response_model=ExtractResponse, responses=UNPINNED_ERRORS)
async def extract(body: ExtractRequest, request: Request, state: State, loaded: Ready) -> Response:
    """Rank the target space of a task for each sentence of a vacancy, and merge what is found."""
    note_texts(request, [body.text])
    source = loaded.batcher.source(loaded.engine.task(body.task))
    check_vacancy(body, state.settings)
    check_answerable(body, source, loaded.engine)
    pieces = await asyncio.to_thread(_sentences, body.text, state.settings)
    request.state.measured_task = source.task.name
    batcher, narrowing = loaded.batcher, body.narrowing
    try:
        async with while_connected(request):
            try:
                answers = await batcher.rank(source, _texts(pieces), body.per_sentence, narrowing, explain=body.explain)
            except EmptyTextError:  # rare: a sentence in letters that the model does not know
                pieces = await asyncio.to_thread(_readable, loaded.engine, pieces)
                answers = await batcher.rank(source, _texts(pieces), body.per_sentence, narrowing, explain=body.explain)
    except ClientDisconnect:
        return Response(status_code=CLIENT_GONE)
    by_text = dict(zip(_texts(pieces), answers, strict=True))
    arguments = (source, pieces, by_text, body.top_k, body.min_normalised_score)
    content = await asyncio.to_thread(extraction_json, *arguments)
    return Response(content, media_type="application/json")


def check_vacancy(request: ExtractRequest, settings: Settings) -> None:
    """Refuse what is too much for one vacancy, or no text, before it costs anything."""
    if len(request.text) > settings.max_vacancy_chars:
        raise LimitError(f"{len(request.text)} characters; a vacancy may have {settings.max_vacancy_chars}")
    reason = unreadable_reason(request.text)
    if reason is not None:
        raise (InvalidTextError if request.text.strip() else EmptyTextError)(0, reason)
    if max(request.top_k, request.per_sentence) > settings.max_top_k:
        raise InputError(f"top_k and per_sentence may be {settings.max_top_k}")
    if request.explain and request.per_sentence > _EXPLAINED_PER_SENTENCE:
        raise InputError(f"per_sentence is {request.per_sentence}; with 'explain' it may be {_EXPLAINED_PER_SENTENCE}")


def _sentences(text: str, settings: Settings) -> list[Sentence]:
    pieces = [piece for piece in sentences(text, min(LONGEST, settings.max_query_chars)) if not piece.heading]
    if not pieces:
        raise EmptyTextError(0, "holds no sentence")
    if len(pieces) > settings.max_sentences:
        raise LimitError(f"{len(pieces)} sentences; a vacancy may have {settings.max_sentences}")
    return pieces


def _readable(engine: RankingEngine, pieces: Sequence[Sentence]) -> list[Sentence]:
    """Those of which the tokenizer knows anything."""
    readable = []
    for piece in pieces:
        try:
            engine.tokenise([piece.text])
        except EmptyTextError:
            continue
        readable.append(piece)
    if not readable:
        raise EmptyTextError(0, "holds no sentence that the model can read")
    return readable


def _texts(pieces: Sequence[Sentence]) -> list[str]:
    return list(dict.fromkeys(piece.text for piece in pieces))
