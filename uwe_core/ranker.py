"""Ranker: a task and queries in, ranked targets out. Everything below it is loaded; nothing above it is known."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import torch

from uwe_core.backends.choosing import EncodingSummary, summary_of
from uwe_core.encoder import Truncation
from uwe_core.errors import ConfigurationError, UnknownTaskError
from uwe_core.model import UweModel
from uwe_core.scoring import Scorer, make_scorer
from uwe_core.target_space import SpaceInfo, TargetSpace
from uwe_core.tasks import RankingTask
from uwe_core.text import same_text_key
from uwe_core.token_index import StorageType, TokenIndex
from uwe_core.top_k import top_k as best_targets
from uwe_core.types import Scores

Stage = Literal["tokenise", "encode", "score", "top_k"]
STAGES: tuple[Stage, ...] = ("tokenise", "encode", "score", "top_k")


@dataclass(frozen=True)
class RankedTarget:
    """One target of a ranking.

    Attributes:
        score: the interaction's own value; soft late interaction grows with the number of query tokens.
        normalised_score: in [-1, 1], comparable between queries.
        rank: 1 is best.
    """

    id: str
    text: str
    score: float
    normalised_score: float
    rank: int
    metadata: dict[str, Any]


@dataclass(frozen=True)
class Rankings:
    """Ranked targets per query, in the order of the queries, with what happened on the way.

    Attributes:
        truncations: queries longer than the encoder's limit, of which only the beginning was read.
        seconds: time per stage.
    """

    rankings: list[list[RankedTarget]]
    truncations: list[Truncation]
    seconds: dict[Stage, float]


@dataclass(frozen=True)
class SpaceSummary:
    """What is loaded of one target space."""

    info: SpaceInfo
    fingerprint: str
    index_fingerprint: str
    dtype: StorageType
    targets: int
    tokens: int
    nbytes: int


class RankableSpace:
    """A target space with its token index on the model's device, ready to be scored.

    Raises:
        FingerprintError: the index was made by another model or from other texts.
    """

    def __init__(self, model: UweModel, space: TargetSpace, index: TokenIndex) -> None:
        index.check_fits(model.encoder, space)
        self.space = space
        self.index = index.to(model.encoder.device)
        self.scorer: Scorer = make_scorer(self.index, model.interaction)

    def summary(self) -> SpaceSummary:
        """The facts of the space and its index."""
        manifest = self.index.manifest
        return SpaceSummary(
            info=self.space.info,
            fingerprint=self.space.fingerprint,
            index_fingerprint=self.index.fingerprint,
            dtype=manifest.dtype,
            targets=manifest.targets,
            tokens=manifest.tokens,
            nbytes=self.index.nbytes,
        )

    @cached_property
    def targets_by_text(self) -> dict[str, list[int]]:
        """Target indices by the key of their text; targets may share a text."""
        by_text: defaultdict[str, list[int]] = defaultdict(list)
        for position, text in enumerate(self.space.texts):
            by_text[same_text_key(text)].append(position)
        return dict(by_text)


@dataclass(frozen=True)
class RankerDescription:
    """What ranks, and how it computes."""

    model_name: str
    model_fingerprint: str
    device: str
    encoding: EncodingSummary


class Ranker:
    """Ranks the targets of loaded spaces for queries of named tasks.

    Args:
        model: what encodes queries.
        spaces: by name, with indexes of that model.
        tasks: by name.
        encoding: how the model's backend was chosen; None where nobody chose.

    Raises:
        ConfigurationError: a task's target space is not among the spaces.
    """

    def __init__(
        self,
        model: UweModel,
        spaces: Mapping[str, RankableSpace],
        tasks: Mapping[str, RankingTask],
        encoding: EncodingSummary | None = None,
    ) -> None:
        for task in tasks.values():
            if task.target_space not in spaces:
                raise ConfigurationError(f"task '{task.name}' ranks the space '{task.target_space}', which is not here")
        self.model = model
        self.spaces = spaces
        self.tasks = tasks
        self.encoding = encoding or summary_of(model.encoder)

    def task(self, name: str) -> RankingTask:
        """The task of that name.

        Raises:
            UnknownTaskError: there is none.
        """
        try:
            return self.tasks[name]
        except KeyError:
            raise UnknownTaskError(name, sorted(self.tasks)) from None

    @property
    def description(self) -> RankerDescription:
        """What ranks, and how it computes."""
        device = str(self.model.encoder.device)
        return RankerDescription(self.model.name, self.model.fingerprint, device, self.encoding)

    def space_summaries(self) -> dict[str, SpaceSummary]:
        """The loaded spaces by name."""
        return {name: space.summary() for name, space in self.spaces.items()}

    @torch.inference_mode()
    def rank(self, task_name: str, queries: Sequence[str], top_k: int | None = None) -> Rankings:
        """The best `top_k` targets of each query (the task's default where None).

        Raises:
            UnknownTaskError: no task of that name.
            InvalidTextError, EmptyTextError: a query that cannot be encoded, by its position.
        """
        task = self.task(task_name)
        rankable = self.spaces[task.target_space]
        encoder = self.model.encoder
        seconds: dict[Stage, float] = {}
        with _timed(seconds, "tokenise", encoder.device):
            tokenised = encoder.tokenise(queries)
        with _timed(seconds, "encode", encoder.device):
            tokens = encoder.encode(tokenised)
        with _timed(seconds, "score", encoder.device):
            scores = rankable.scorer.score(tokens)
        with _timed(seconds, "top_k", encoder.device):
            if task.exclude_query:
                _exclude_queries(scores, queries, rankable)
            lengths = tokens.token_counts.tolist() if self.model.interaction.bounded_by_query_length else None
            rankings = [
                self._best(rankable.space, row, top_k or task.default_top_k, lengths[query] if lengths else 1)
                for query, row in enumerate(scores)
            ]
        return Rankings(rankings, tokenised.truncations, seconds)

    @staticmethod
    def _best(space: TargetSpace, scores: torch.Tensor, top_k: int, bound: int) -> list[RankedTarget]:
        indices, values = (tensor.tolist() for tensor in best_targets(scores, top_k))
        best = zip(indices, values, space.metadata_of(indices), strict=True)
        return [
            RankedTarget(
                id=space.ids[index],
                text=space.texts[index],
                score=value,
                normalised_score=max(-1.0, min(1.0, value / bound)),  # rounding may step over the bound
                rank=rank,
                metadata=metadata,
            )
            for rank, (index, value, metadata) in enumerate(best, start=1)
        ]


def _exclude_queries(scores: Scores, queries: Sequence[str], rankable: RankableSpace) -> None:
    for row, query in zip(scores, queries, strict=True):
        row[rankable.targets_by_text.get(same_text_key(query), [])] = -torch.inf


@contextmanager
def _timed(seconds: dict[Stage, float], stage: Stage, device: torch.device) -> Iterator[None]:
    start = time.perf_counter()
    yield
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    seconds[stage] = time.perf_counter() - start
