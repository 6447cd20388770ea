"""Ranker: a task and queries in, ranked targets out. Everything below it is loaded; nothing above it is known."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import takewhile
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from uwe_core.backends.choosing import EncodingSummary, summary_of
from uwe_core.encoder import TOKENS_PER_BATCH, TokenisedTexts, Truncation
from uwe_core.errors import ConfigurationError, UnknownTaskError
from uwe_core.explanation import Explanation, explain, fold
from uwe_core.languages import languages_of
from uwe_core.model import UweModel
from uwe_core.narrowing import WHOLE, Narrowing
from uwe_core.rankable_space import Candidates, RankableSpace, SpaceSummary
from uwe_core.ranked_target import RankedTarget
from uwe_core.scoring.candidates import CandidateScores
from uwe_core.selection import QueryScores, best_targets, excluded_targets
from uwe_core.served_spaces import ServedSpaces
from uwe_core.target_space import TargetSpace
from uwe_core.tasks import RankingTask, is_standard, zero_shot_task
from uwe_core.token_embeddings import TokenEmbeddings
from uwe_core.token_index import TokenIndex
from uwe_core.token_span import TokenSpan
from uwe_core.types import Scores

__all__ = [
    "GIVEN_TASK",
    "STAGES",
    "Candidates",
    "QueryScores",
    "RankableSpace",
    "RankedTarget",
    "Ranker",
    "RankerDescription",
    "Rankings",
    "SpaceSummary",
    "Stage",
]

Stage = Literal["tokenise", "encode", "score", "top_k"]
STAGES: tuple[Stage, ...] = ("tokenise", "encode", "score", "top_k")
# One pass of the encoder may be padded to twice its real tokens: a long text among short ones gets a pass of its own.
_PADDING = 2
# Of targets of the moment, which no loaded space holds.
GIVEN_TASK = zero_shot_task("given")


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
class RankerDescription:
    """What ranks, and how it computes.

    Attributes:
        languages: that the model reads; None where nobody knows.
    """

    model_name: str
    model_fingerprint: str
    device: str
    encoding: EncodingSummary
    languages: tuple[str, ...] | None = None


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
        # Replaced as a whole, by one assignment, when a space changes; nobody changes what it holds.
        self.served = ServedSpaces(spaces)
        self.tasks = tasks
        self.encoding = encoding or summary_of(model.encoder)
        # A curve was fitted on a standard task: a task of one's own may have its name and other targets.
        self._standard_tasks = frozenset(
            name for name, task in tasks.items() if name in model.info.calibration and is_standard(task)
        )

    def task(self, name: str) -> RankingTask:
        """The task of that name.

        Raises:
            UnknownTaskError: there is none.
        """
        try:
            return self.tasks[name]
        except KeyError:
            raise UnknownTaskError(name, sorted(self.tasks)) from None

    @torch.inference_mode()
    def given(self, space: TargetSpace, tokens: Sequence[Float[Tensor, "_ dim"]]) -> RankableSpace:
        """Targets of the moment, ready to be scored as `GIVEN_TASK` asks; this ranker keeps nothing of them.

        Args:
            space: the targets.
            tokens: of each target, as `encode` gives them.
        """
        return RankableSpace(self.model, space, TokenIndex.of_tokens(self.model.encoder, space, tokens))

    @property
    def calibrated_tasks(self) -> frozenset[str]:
        """Names of the tasks whose targets have a confidence, over the spaces that are live now."""
        return frozenset(name for name in self._standard_tasks if self._is_calibrated(name, self._space_of(name)))

    def _space_of(self, task: str) -> RankableSpace:
        return self.spaces[self.tasks[task].target_space]

    def _is_calibrated(self, task: str, rankable: RankableSpace) -> bool:
        """Curves are of targets' own texts: the best of several scores is higher without being likelier."""
        return task in self._standard_tasks and rankable.alias_rows is None

    @property
    def spaces(self) -> Mapping[str, RankableSpace]:
        """The live spaces by name."""
        return self.served.live

    @property
    def description(self) -> RankerDescription:
        """What ranks, and how it computes."""
        device = str(self.model.encoder.device)
        return RankerDescription(
            self.model.name, self.model.fingerprint, device, self.encoding, languages_of(self.model)
        )

    def space_summaries(self) -> dict[str, SpaceSummary]:
        """The live spaces by name."""
        return {name: space.summary() for name, space in self.spaces.items()}

    def rank(
        self, task_name: str, queries: Sequence[str], top_k: int | None = None, narrowing: Narrowing = WHOLE
    ) -> Rankings:
        """The best `top_k` targets of each query (the task's default where None): all stages, one after another.

        Raises:
            UnknownTaskError: no task of that name.
            InputError: a filter names metadata that the space does not have.
            InvalidTextError, EmptyTextError: a query that cannot be encoded, by its position.
        """
        task = self.task(task_name)
        space = self.spaces[task.target_space]
        seconds: dict[Stage, float] = {}
        with _timed(seconds, "tokenise"):
            tokenised = self.tokenise(queries)
        with _timed(seconds, "encode"):
            tokens = self.encode(tokenised)
        with _timed(seconds, "score"):
            scores = self.score(space, tokens)
        with _timed(seconds, "top_k"):
            rankings = [
                self.select(space, task, query, row, len(ids), top_k or task.default_top_k, narrowing)
                for query, row, ids in zip(queries, scores, tokenised.token_ids, strict=True)
            ]
        return Rankings(rankings, tokenised.truncations, seconds)

    # The stages. Each takes what the one before it gave and keeps nothing, so that queries of several requests, tasks
    # and spaces may share a stage; the space is an object, never a name, so that all stages work on one version of it.
    # Each is done when it returns, on a GPU too: what it took can be measured.

    def tokenise(self, queries: Sequence[str], most_tokens: int | None = None) -> TokenisedTexts:
        """First stage, on the processor alone; may run on several threads at once.

        Args:
            queries: or other texts.
            most_tokens: of each text, special ones included, where fewer are to be read than the encoder can.

        Raises:
            InvalidTextError, EmptyTextError: a query that cannot be encoded, by its position.
        """
        return self.model.encoder.tokenise(queries, most_tokens)

    def spans(self, texts: Sequence[str]) -> list[list[TokenSpan]]:
        """Where the tokens of each text stand in it; of texts that `tokenise` accepts, on any thread."""
        return self.model.encoder.spans(texts)

    @torch.inference_mode()
    def encode(self, tokenised: TokenisedTexts) -> TokenEmbeddings:
        """Second stage: the token embeddings of each query, whatever task or space it is for."""
        padded = _PADDING * sum(map(len, tokenised.token_ids))
        tokens = self.model.encoder.encode(tokenised, min(padded, TOKENS_PER_BATCH))
        self._wait_for_device()
        return tokens

    @torch.inference_mode()
    def score(self, space: RankableSpace, queries: TokenEmbeddings) -> Scores | list[CandidateScores]:
        """Third stage: scores of encoded queries against the targets of a space, or its candidates."""
        scores = space.scorer.score(queries)
        self._wait_for_device()
        return scores

    @torch.inference_mode()
    def select(
        self,
        rankable: RankableSpace,
        task: RankingTask,
        query: str,
        scores: QueryScores,
        query_tokens: int,
        top_k: int,
        narrowing: Narrowing = WHOLE,
    ) -> list[RankedTarget]:
        """Last stage: the best targets of one query. Its `scores` are read alone, so that queries may share them.

        Args:
            rankable: the space that was scored.
            task: says whether the query itself is left out.
            query: as it was asked.
            scores: of the query, for the space.
            query_tokens: number of the query's tokens, special ones included.
            top_k: most targets to return.
            narrowing: which of the best ones to return; of equal scores the earlier target of the space comes first,
                so that one page begins where the page before it ended.

        Raises:
            InputError: its filter names metadata that the space does not have.
        """
        excluded = excluded_targets(task, query, rankable, narrowing)
        bound = query_tokens if self.model.interaction.bounded_by_query_length else 1
        allowed = None if narrowing.filter is None else rankable.mask(narrowing.filter)
        best, matched = best_targets(scores, narrowing.offset + top_k, excluded, allowed, rankable.alias_rows)
        indices, values, aliases = (found[narrowing.offset :] for found in (*(each.tolist() for each in best), matched))
        space, calibrated = rankable.space, self._is_calibrated(task.name, rankable)
        ranking = [
            RankedTarget(
                id=space.ids[index],
                text=space.texts[index],
                score=value,
                normalised_score=max(-1.0, min(1.0, value / bound)),  # rounding may step over the bound
                rank=rank,
                metadata=metadata,
                confidence=self.model.confidence(task.name, value, query_tokens) if calibrated else None,
                matched_alias=alias,
            )
            for rank, (index, value, metadata, alias) in enumerate(
                zip(indices, values, rankable.metadata_of(indices), aliases, strict=True), start=narrowing.offset + 1
            )
        ]
        return list(takewhile(lambda target: narrowing.accepts(target.score, target.confidence), ranking))

    @torch.inference_mode()
    def explain(
        self,
        rankable: RankableSpace,
        query: str,
        query_tokens: Float[Tensor, "query_tokens dim"],
        targets: Sequence[RankedTarget],
    ) -> Explanation:
        """Why targets that were selected for a query have their scores; may be left out.

        The parts sum to the score up to the rounding of the scorer, which multiplies in less than double precision.

        Args:
            rankable: the space that was scored.
            query: as it was asked.
            query_tokens: as `encode` gave them.
            targets: as `select` gave them.
        """
        matched = [target.matched_alias or target.text for target in targets]
        query_spans, *target_spans = self.model.encoder.spans([query, *matched])
        of_query = query_tokens.double().cpu()
        explanations = []
        for target, spans in zip(targets, target_spans, strict=True):
            of_target = rankable.index.tokens_of(rankable.row_of(target)).double().cpu()
            explanations.append(fold(explain(self.model.interaction, of_query, of_target), spans))
        return Explanation(query_spans, explanations)

    def _wait_for_device(self) -> None:
        device = self.model.encoder.device
        if device.type == "cuda":
            torch.cuda.synchronize(device)


@contextmanager
def _timed(seconds: dict[Stage, float], stage: Stage) -> Iterator[None]:
    start = time.perf_counter()
    yield
    seconds[stage] = time.perf_counter() - start
