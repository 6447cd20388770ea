"""What the service needs of a ranker; tests bring one without weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import Protocol

from jaxtyping import Float
from torch import Tensor

from uwe_core.encoder import TokenisedTexts
from uwe_core.explanation import Explanation
from uwe_core.model import UweModel
from uwe_core.narrowing import WHOLE, Narrowing
from uwe_core.ranker import QueryScores, RankableSpace, RankedTarget, RankerDescription, SpaceSummary
from uwe_core.scoring.candidates import CandidateScores
from uwe_core.served_spaces import ServedSpaces
from uwe_core.target_space import TargetSpace
from uwe_core.tasks import RankingTask
from uwe_core.token_embeddings import TokenEmbeddings
from uwe_core.token_span import TokenSpan
from uwe_core.types import Scores


class RankingEngine(Protocol):
    """Tasks over loaded spaces, and the stages of ranking; see `uwe_core.ranker.Ranker`."""

    tasks: Mapping[str, RankingTask]
    # Replaced by one assignment when a space changes.
    served: ServedSpaces
    model: UweModel

    @property
    def calibrated_tasks(self) -> Set[str]:
        """Names of the tasks whose targets have a confidence."""
        ...

    @property
    def description(self) -> RankerDescription:
        """What ranks, and how it computes."""
        ...

    def task(self, name: str) -> RankingTask:
        """The task of that name, or UnknownTaskError."""
        ...

    def space_summaries(self) -> Mapping[str, SpaceSummary]:
        """The live spaces by name."""
        ...

    def tokenise(self, queries: Sequence[str], most_tokens: int | None = None) -> TokenisedTexts:
        """Token ids, so many of each text at most, or an error that names the query; on any thread."""
        ...

    def spans(self, texts: Sequence[str]) -> list[list[TokenSpan]]:
        """Where the tokens of each text stand in it; of texts that `tokenise` accepts, on any thread."""
        ...

    def given(self, space: TargetSpace, tokens: Sequence[Float[Tensor, "_ dim"]]) -> RankableSpace:
        """Targets of the moment, ready to be scored; on any thread."""
        ...

    def encode(self, tokenised: TokenisedTexts) -> TokenEmbeddings:
        """Token embeddings of each query."""
        ...

    def score(self, space: RankableSpace, queries: TokenEmbeddings) -> Scores | list[CandidateScores]:
        """Scores of a space, a row for each query: of every target, or of its candidates."""
        ...

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
        """The best targets of one query."""
        ...

    def explain(
        self,
        rankable: RankableSpace,
        query: str,
        query_tokens: Float[Tensor, "query_tokens dim"],
        targets: Sequence[RankedTarget],
    ) -> Explanation:
        """Why targets that were selected for a query have their scores."""
        ...
