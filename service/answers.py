"""Answers as JSON: each query's part is written once, and responses are put together from parts.

orjson writes the dataclasses of the ranker as they stand, faster than pydantic-core (docs/adr/0005).
`service.schemas.rank.RankResponse` describes the form; tests hold both together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import orjson
from pydantic_core import to_jsonable_python

from service.engine import RankingEngine
from uwe_core.encoder import Truncation
from uwe_core.narrowing import WHOLE, Narrowing
from uwe_core.ranker import RankableSpace, RankedTarget
from uwe_core.tasks import RankingTask
from uwe_core.token_span import TokenSpan

_TAIL = b"]}"


class AnswerKey(NamedTuple):
    """Everything that decides the answer to one query; equal keys have equal answers.

    Attributes:
        request: number of the request that brought its own targets, which no other one shares; None of a task.
    """

    task: str
    text: str
    top_k: int
    narrowing: Narrowing
    explain: bool
    model_fingerprint: str
    index_fingerprint: str
    request: int | None = None


@dataclass(frozen=True)
class AnswerSource:
    """What answers come from: the task, the model, and one version of the task's space.

    A request has one source from its beginning to its end, so that a space which changes meanwhile changes nothing of
    it.

    Attributes:
        request: see `AnswerKey`; targets that came with a request are of no space that has a name.
    """

    task: RankingTask
    space: RankableSpace
    model_name: str
    model_fingerprint: str
    request: int | None = None

    @classmethod
    def of(
        cls, engine: RankingEngine, task: RankingTask, space: RankableSpace | None = None, request: int | None = None
    ) -> AnswerSource:
        """Of a task as this engine ranks it, over the live version of its space or the given one."""
        model = engine.description
        served = space or engine.served.space(task.target_space)
        return cls(task, served, model.model_name, model.model_fingerprint, request)

    @property
    def index_fingerprint(self) -> str:
        """Of the version of the space; see `SpaceSummary.index_fingerprint`."""
        return self.space.fingerprint

    def key(self, text: str, top_k: int, narrowing: Narrowing = WHOLE, *, explain: bool = False) -> AnswerKey:
        """The key of the answer to one query."""
        fingerprints = (self.model_fingerprint, self.space.fingerprint)
        return AnswerKey(self.task.name, text, top_k, narrowing, explain, *fingerprints, self.request)

    @cached_property
    def head(self) -> bytes:
        """The JSON before the results."""
        space = self.task.target_space if self.request is None else None
        facts = {
            "task": self.task.name,
            "model": {"name": self.model_name, "fingerprint": self.model_fingerprint},
            "index": {"space": space, "fingerprint": self.index_fingerprint},
            "results": [],
        }
        return orjson.dumps(facts).removesuffix(_TAIL)


def query_json(
    query: str,
    targets: Sequence[RankedTarget],
    truncation: Truncation | None,
    query_tokens: Sequence[TokenSpan] | None = None,
) -> bytes:
    """The result of one query; metadata that JSON has no form for are written as pydantic writes them."""
    truncated = truncation and {"tokens": truncation.tokens, "kept_tokens": truncation.kept_tokens}
    facts = {"query": query, "targets": targets, "truncated": truncated, "query_tokens": query_tokens}
    return orjson.dumps(facts, default=to_jsonable_python)


def response_parts(source: AnswerSource, results: Sequence[bytes]) -> list[bytes]:
    """The body of a response in parts, its results in the order given and not copied."""
    parts = [source.head]
    for result in results:
        parts += [result, b","]
    parts[-1] = _TAIL  # in place of the last comma; a request has at least one query
    return parts
