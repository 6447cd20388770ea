"""From the service's JSON to results. Fields that are not known are left alone: a later service may have more."""

from __future__ import annotations

import base64
import sys
from array import array
from collections.abc import Sequence
from typing import Any, TypeVar

from service.client.results import (
    BatchResult,
    BatchResults,
    Contribution,
    EmbeddedText,
    Embeddings,
    Evidence,
    ExtractedSkill,
    Extraction,
    IndexSummary,
    ItemError,
    Job,
    ModelSummary,
    QueryResult,
    RankedText,
    Rankings,
    Readiness,
    ScoreExplanation,
    Space,
    Target,
    Task,
    Token,
    Truncated,
    Word,
)

Kind = TypeVar("Kind")


def rankings_of(body: Any, queries: int) -> Rankings:
    """The answer to a request of that many queries.

    Raises:
        TypeError, KeyError, ValueError: it is something else, as in every function here.
    """
    fields = _of(dict, body)
    results = tuple(map(_query_result, _of(list, fields["results"])))
    if len(results) != queries:
        raise ValueError(f"{len(results)} results for {queries} queries")
    return Rankings(
        task=_of(str, fields["task"]), model=_model(fields["model"]), index=_index(fields["index"]), results=results
    )


def batch_of(body: Any, items: int) -> BatchResults:
    """The answer to a batch of that many items."""
    fields = _of(dict, body)
    results = tuple(map(_batch_result, _of(list, fields["results"])))
    if len(results) != items:
        raise ValueError(f"{len(results)} results for {items} items")
    return BatchResults(
        task=_of(str, fields["task"]), model=_model(fields["model"]), index=_index(fields["index"]), results=results
    )


def extraction_of(body: Any) -> Extraction:
    """The skills of a vacancy."""
    fields = _of(dict, body)
    return Extraction(
        task=_of(str, fields["task"]),
        model=_model(fields["model"]),
        index=_index(fields["index"]),
        sentences=_of(int, fields["sentences"]),
        skills=tuple(map(_extracted_skill, _of(list, fields["skills"]))),
    )


def reranked_of(body: Any, texts: Sequence[str]) -> tuple[RankedText, ...]:
    """The answer to a request to rerank these texts."""
    ranked = [(_of(int, one["index"]), float(_of((int, float), one["score"]))) for one in _of(list, body)]
    if sorted(index for index, _ in ranked) != list(range(len(texts))):
        raise ValueError(f"not the positions of {len(texts)} texts")
    return tuple(RankedText(index, score, texts[index]) for index, score in ranked)


def embeddings_of(body: Any, texts: int) -> Embeddings:
    """The answer to a request to embed so many texts, in base64."""
    fields = _of(dict, body)
    dimension = _of(int, fields["dimension"])
    results = tuple(_embedded_text(result, dimension) for result in _of(list, fields["results"]))
    if len(results) != texts:
        raise ValueError(f"{len(results)} results for {texts} texts")
    return Embeddings(_model(fields["model"]), dimension, _of(bool, fields["normalised"]), results)


def tasks_of(body: Any) -> tuple[Task, ...]:
    """The list of tasks."""
    return tuple(map(_task, _of(list, _of(dict, body)["tasks"])))


def spaces_of(body: Any) -> tuple[Space, ...]:
    """The list of spaces."""
    return tuple(map(_space, _of(list, _of(dict, body)["spaces"])))


def job_of(body: Any) -> Job:
    """A change of a space."""
    fields = _of(dict, body)
    error = None if fields["error"] is None else _of(dict, fields["error"])
    return Job(
        id=_of(str, fields["id"]),
        space=_of(str, fields["space"]),
        kind=_of(str, fields["kind"]),
        state=_of(str, fields["state"]),
        done=_of(int, fields["done"]),
        total=_of(int, fields["total"]),
        encoded=_of(int, fields["encoded"]),
        fingerprint=_or_none(str, fields["fingerprint"]),
        error=None if error is None else (_of(str, error["code"]), _of(str, error["message"])),
    )


def readiness_of(body: Any) -> Readiness:
    """What a ready service tells of itself."""
    fields = _of(dict, body)
    return Readiness(
        model=_model(fields["model"]),
        device=_of(str, fields["device"]),
        backend=_of(str, fields["backend"]),
        precision=_of(str, fields["precision"]),
        threads=_of(int, fields["threads"]),
    )


def _embedded_text(body: Any, dimension: int) -> EmbeddedText:
    fields = _of(dict, body)
    embedding, token_embeddings = fields["embedding"], fields["token_embeddings"]
    return EmbeddedText(
        text=_of(str, fields["text"]),
        embedding=None if embedding is None else _vectors(embedding, dimension)[0],
        tokens=None if fields["tokens"] is None else _tokens(fields["tokens"]),
        token_embeddings=None if token_embeddings is None else _vectors(token_embeddings, dimension),
        truncated=None if fields.get("truncated") is None else _truncated(fields["truncated"]),
    )


def _vectors(written: Any, dimension: int) -> tuple[array[float], ...]:
    """Vectors end to end, in base64 of 4-byte floats, little-endian."""
    numbers = array("f", base64.b64decode(_of(str, written), validate=True))
    if sys.byteorder == "big":
        numbers.byteswap()
    if not numbers or len(numbers) % dimension:
        raise ValueError(f"{len(numbers)} numbers are not vectors of {dimension}")
    return tuple(numbers[start : start + dimension] for start in range(0, len(numbers), dimension))


def _query_result(body: Any) -> QueryResult:
    fields = _of(dict, body)
    return QueryResult(
        query=_of(str, fields["query"]),
        targets=tuple(map(_target, _of(list, fields["targets"]))),
        truncated=None if fields.get("truncated") is None else _truncated(fields["truncated"]),
        query_tokens=None if fields.get("query_tokens") is None else _tokens(fields["query_tokens"]),
    )


def _batch_result(body: Any) -> BatchResult:
    fields = _of(dict, body)
    error = None if fields["error"] is None else _of(dict, fields["error"])
    return BatchResult(
        id=fields["id"] if isinstance(fields["id"], str) or fields["id"] is None else _of(int, fields["id"]),
        result=None if fields["result"] is None else _query_result(fields["result"]),
        error=None if error is None else ItemError(_of(str, error["code"]), _of(str, error["message"])),
        line=None if fields.get("line") is None else _of(int, fields["line"]),
    )


def _extracted_skill(body: Any) -> ExtractedSkill:
    fields = _of(dict, body)
    return ExtractedSkill(
        id=_of(str, fields["id"]),
        text=_of(str, fields["text"]),
        normalised_score=float(_of((int, float), fields["normalised_score"])),
        confidence=None if fields.get("confidence") is None else float(_of((int, float), fields["confidence"])),
        rank=_of(int, fields["rank"]),
        metadata=_of(dict, fields["metadata"]),
        evidence=tuple(map(_evidence, _of(list, fields["evidence"]))),
    )


def _evidence(body: Any) -> Evidence:
    fields = _of(dict, body)
    return Evidence(
        start=_of(int, fields["start"]),
        end=_of(int, fields["end"]),
        text=_of(str, fields["text"]),
        score=float(_of((int, float), fields["score"])),
        normalised_score=float(_of((int, float), fields["normalised_score"])),
        confidence=None if fields.get("confidence") is None else float(_of((int, float), fields["confidence"])),
        matched_alias=None if fields.get("matched_alias") is None else _of(str, fields["matched_alias"]),
        truncated=None if fields.get("truncated") is None else _truncated(fields["truncated"]),
        words=None if fields.get("words") is None else tuple(map(_word, _of(list, fields["words"]))),
    )


def _word(body: Any) -> Word:
    fields = _of(dict, body)
    return Word(
        start=_of(int, fields["start"]),
        end=_of(int, fields["end"]),
        text=_of(str, fields["text"]),
        contribution=float(_of((int, float), fields["contribution"])),
    )


def _target(body: Any) -> Target:
    fields = _of(dict, body)
    return Target(
        id=_of(str, fields["id"]),
        text=_of(str, fields["text"]),
        score=float(_of((int, float), fields["score"])),
        normalised_score=float(_of((int, float), fields["normalised_score"])),
        rank=_of(int, fields["rank"]),
        metadata=_of(dict, fields["metadata"]),
        confidence=None if fields.get("confidence") is None else float(_of((int, float), fields["confidence"])),
        explanation=None if fields.get("explanation") is None else _explanation(fields["explanation"]),
        matched_alias=None if fields.get("matched_alias") is None else _of(str, fields["matched_alias"]),
    )


def _explanation(body: Any) -> ScoreExplanation:
    fields = _of(dict, body)
    return ScoreExplanation(
        tokens=_tokens(fields["tokens"]),
        pairs=tuple(map(_contribution, _of(list, fields["pairs"]))),
        rest=tuple(float(_of((int, float), part)) for part in _of(list, fields["rest"])),
    )


def _contribution(body: Any) -> Contribution:
    fields = _of(dict, body)
    return Contribution(
        query_token=_of(int, fields["query_token"]),
        target_token=_of(int, fields["target_token"]),
        contribution=float(_of((int, float), fields["contribution"])),
    )


def _tokens(body: Any) -> tuple[Token, ...]:
    return tuple(map(_token, _of(list, body)))


def _token(body: Any) -> Token:
    fields = _of(dict, body)
    start, end = (None if fields[edge] is None else _of(int, fields[edge]) for edge in ("start", "end"))
    return Token(_of(str, fields["token"]), start, end)


def _truncated(body: Any) -> Truncated:
    fields = _of(dict, body)
    return Truncated(tokens=_of(int, fields["tokens"]), kept_tokens=_of(int, fields["kept_tokens"]))


def _model(body: Any) -> ModelSummary:
    fields = _of(dict, body)
    return ModelSummary(name=_of(str, fields["name"]), fingerprint=_of(str, fields["fingerprint"]))


def _index(body: Any) -> IndexSummary:
    fields = _of(dict, body)
    return IndexSummary(space=_or_none(str, fields["space"]), fingerprint=_of(str, fields["fingerprint"]))


def _task(body: Any) -> Task:
    fields = _of(dict, body)
    return Task(
        name=_of(str, fields["name"]),
        description=_of(str, fields["description"]),
        queries=_of(str, fields["queries"]),
        target_space=_of(str, fields["target_space"]),
        exclude_query=_of(bool, fields["exclude_query"]),
        default_top_k=_of(int, fields["default_top_k"]),
        example=None if fields.get("example") is None else _of(str, fields["example"]),
    )


def _space(body: Any) -> Space:
    fields = _of(dict, body)
    return Space(
        name=_of(str, fields["name"]),
        kind=_of(str, fields["kind"]),
        language=_of(str, fields["language"]),
        licence=_or_none(str, fields.get("licence")),
        attribution=_or_none(str, fields.get("attribution")),
        fingerprint=_of(str, fields["fingerprint"]),
        index_fingerprint=_of(str, fields["index_fingerprint"]),
        targets=_of(int, fields["targets"]),
        editable=_of(bool, fields.get("editable", False)),
        warnings=tuple(_of(str, warning) for warning in _of(list, fields.get("warnings", []))),
        previous_fingerprint=_or_none(str, fields.get("previous_fingerprint")),
    )


def _or_none(kind: type[Kind], value: Any) -> Kind | None:
    return None if value is None else _of(kind, value)


def _of(kind: type[Kind] | tuple[type[Kind], ...], value: Any) -> Kind:
    if not isinstance(value, kind):
        raise TypeError(f"a {type(value).__name__} where another kind of value belongs")
    return value
