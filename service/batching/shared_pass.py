"""SharedPass: texts of several requests, tasks and spaces through the stages together."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from service.answers import AnswerKey, query_json
from service.batching.pending import Pending, PendingQuery, TokenIds
from service.engine import RankingEngine
from service.lru_cache import LruCache
from service.observability import Metrics, ServiceStage
from service.traces import PassTrace, traced_pass
from uwe_core.encoder import TokenisedTexts
from uwe_core.ranker import QueryScores, RankableSpace, RankedTarget
from uwe_core.token_embeddings import TokenEmbeddings
from uwe_core.token_span import TokenSpan


class PassResults(NamedTuple):
    """What came of a pass.

    Attributes:
        answers: the JSON of each query.
        tokens: token embeddings of each text, on the engine's device, in memory that no batch shares.
    """

    answers: dict[AnswerKey, bytes]
    tokens: dict[TokenIds, Tensor]


class _Ranking(NamedTuple):
    """Targets of one query, and its tokens where they are explained."""

    targets: list[RankedTarget]
    query_tokens: list[TokenSpan] | None = None


class SharedPass:
    """Every distinct text is encoded once, scored once for each space, and every distinct answer is written once.

    Args:
        engine: the stages.
        metrics: told of each stage and of each batch.
        embeddings: token embeddings of earlier queries, on the engine's device.
    """

    def __init__(self, engine: RankingEngine, metrics: Metrics, embeddings: LruCache[TokenIds, Tensor]) -> None:
        self._engine = engine
        self._metrics = metrics
        self._embeddings = embeddings
        self._traced: PassTrace | None = None

    @torch.inference_mode()
    def compute(self, texts: Sequence[Pending]) -> PassResults:
        """The JSON of each query and the token embeddings of all texts; raises whatever a stage raises."""
        tokens = sum(len(text.token_ids) for text in texts)
        self._metrics.observe_batch(len(texts), tokens)
        traces = (text.request.trace for text in texts)
        with traced_pass(traces, queries=len(texts), tokens=tokens) as self._traced:
            return self._compute(texts)

    def _compute(self, texts: Sequence[Pending]) -> PassResults:
        distinct = list({text.key: text for text in texts if isinstance(text, PendingQuery)}.values())
        with self._timed("encode"):
            tokens = self._encode(dict.fromkeys(text.token_ids for text in texts))
        return PassResults(self._rank(distinct, tokens) if distinct else {}, tokens)

    def _rank(self, distinct: Sequence[PendingQuery], tokens: dict[TokenIds, Tensor]) -> dict[AnswerKey, bytes]:
        with self._timed("score"):
            scores = self._score(distinct, tokens)
        with self._timed("top_k"):
            rankings = {query.key: _Ranking(self._select(query, scores)) for query in distinct}
        explained = [query for query in distinct if query.key.explain]
        if explained:
            with self._timed("explain"):
                for query in explained:
                    rankings[query.key] = self._explain(query, tokens[query.token_ids], rankings[query.key].targets)
        with self._timed("serialise"):
            return {
                query.key: query_json(query.key.text, ranking.targets, query.truncation, ranking.query_tokens)
                for query, ranking in zip(distinct, rankings.values(), strict=True)
            }

    def _encode(self, texts: dict[TokenIds, None]) -> dict[TokenIds, Tensor]:
        tokens: dict[TokenIds, Tensor] = {}
        unknown: list[TokenIds] = []
        for text in texts:
            known = self._embeddings.get(text)
            if known is None:
                unknown.append(text)
            else:
                tokens[text] = known
        self._metrics.observe_lookups("embedding", hits=len(tokens), misses=len(unknown))
        if unknown:
            encoded = self._engine.encode(TokenisedTexts([list(text) for text in unknown], []))
            for text, embeddings in zip(unknown, encoded, strict=True):
                tokens[text] = embeddings.clone()  # a view would keep the whole batch
                self._embeddings.put(text, tokens[text])
        return tokens

    def _score(
        self, queries: Sequence[PendingQuery], tokens: dict[TokenIds, Tensor]
    ) -> dict[tuple[RankableSpace, TokenIds], QueryScores]:
        by_space: dict[RankableSpace, dict[TokenIds, None]] = {}
        for query in queries:
            by_space.setdefault(query.request.source.space, {})[query.token_ids] = None
        scores: dict[tuple[RankableSpace, TokenIds], QueryScores] = {}
        for space, texts in by_space.items():
            rows = self._engine.score(space, TokenEmbeddings.from_texts([tokens[text] for text in texts]))
            scores |= {(space, text): row for text, row in zip(texts, rows, strict=True)}
        return scores

    def _select(
        self, query: PendingQuery, scores: dict[tuple[RankableSpace, TokenIds], QueryScores]
    ) -> list[RankedTarget]:
        source, key = query.request.source, query.key
        row = scores[source.space, query.token_ids]
        return self._engine.select(
            source.space, source.task, key.text, row, len(query.token_ids), key.top_k, key.narrowing
        )

    def _explain(self, query: PendingQuery, tokens: Tensor, targets: list[RankedTarget]) -> _Ranking:
        found = self._engine.explain(query.request.source.space, query.key.text, tokens, targets)
        explained = [replace(target, explanation=why) for target, why in zip(targets, found.targets, strict=True)]
        return _Ranking(explained, found.query_tokens)

    @contextmanager
    def _timed(self, stage: ServiceStage) -> Iterator[None]:
        start = time.perf_counter()
        yield
        seconds = time.perf_counter() - start
        self._metrics.observe_stage(stage, seconds)
        if self._traced is not None:
            self._traced.stage(stage, seconds)
