"""AliasRows: an index that has rows for the aliases of its targets, and how a target's best row becomes its score.

Such an index has first a row for each target's own text, in their order, then one for each alias, target after target.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import accumulate, islice

import torch
from jaxtyping import Float, Int
from torch import Tensor

from uwe_core.scoring.candidates.candidate_scores import CandidateScores
from uwe_core.target_space import TargetSpace


@dataclass(frozen=True)
class CollapsedScores(CandidateScores):
    """Scores of candidates, each the best of its rows, which are kept beside them."""

    by_row: CandidateScores


@dataclass(frozen=True)
class AliasRows:
    """Which row of an index belongs to which target.

    Attributes:
        targets: their number; a target's own text is the row of its own number.
        aliases: all of them, target after target.
        first: `[targets + 1]`, on the CPU; the aliases of target `t` are those from `first[t]` up to `first[t + 1]`.
        owners: `[rows]`, on the device of the scores: the target of each row.
    """

    targets: int
    aliases: Sequence[str]
    first: Int[Tensor, " targets_plus_one"]
    owners: Int[Tensor, " rows"]

    @classmethod
    def of(cls, space: TargetSpace, device: torch.device) -> AliasRows | None:
        """Those of a space; None where its aliases are not matched."""
        if space.info.alias_column is None:
            return None
        counts = torch.tensor(list(map(len, space.aliases)))
        own = torch.arange(len(space))
        return cls(
            len(space),
            [alias for aliases in space.aliases for alias in aliases],
            torch.tensor([0, *accumulate(counts.tolist())]),
            torch.cat([own, own.repeat_interleave(counts)]).to(device),
        )

    def rows_of(self, targets: Int[Tensor, " some"]) -> Int[Tensor, " rows"]:
        """All rows of some targets, which are given in ascending order, on the CPU: own texts first, then aliases."""
        starts = self.first[targets]
        counts = self.first[targets + 1] - starts
        before = counts.cumsum(0) - counts
        aliases = torch.arange(int(counts.sum())) + (starts - before).repeat_interleave(counts)
        return torch.cat([targets, self.targets + aliases])

    def complete(self, rows: Int[Tensor, " rows"]) -> Int[Tensor, " more_rows"]:
        """All rows of the targets to which some rows belong, on the CPU."""
        return self.rows_of(self.owners.cpu()[rows].unique())

    def row_of(self, target: int, alias: str | None) -> int:
        """The row of a target's own text, or of one of its aliases."""
        if alias is None:
            return target
        rows = self._alias_rows(target)
        return rows[self.aliases[rows.start - self.targets : rows.stop - self.targets].index(alias)]

    def collapse(self, scores: Float[Tensor, " rows"]) -> Float[Tensor, " targets"]:
        """The score of each target: the best of its rows."""
        return scores[: self.targets].scatter_reduce(0, self.owners[self.targets :], scores[self.targets :], "amax")

    def collapse_candidates(self, scores: CandidateScores) -> CollapsedScores:
        """The same where each target has all of its rows among the candidates, or none."""
        targets, places = self.owners[scores.targets].unique(return_inverse=True)
        values = scores.values.new_full(targets.shape, -torch.inf).scatter_reduce(0, places, scores.values, "amax")
        more = partial(self._more, scores)
        return CollapsedScores(targets, values, scores.wanted, self.targets, more, partial(self._these, scores), scores)

    def matched(self, scores: Float[Tensor, " rows"] | CandidateScores, targets: Sequence[int]) -> list[str | None]:
        """The alias to which each of some targets owes its score; None where no alias is better than its own text.

        Args:
            scores: of all rows, or of candidates that hold all rows of these targets.
            targets: by their index in the space.
        """
        rows = [[target, *self._alias_rows(target)] for target in targets]
        flat = torch.tensor([row for own in rows for row in own], dtype=torch.int64, device=self.owners.device)
        values = iter(_values(scores, flat).tolist())
        matched: list[str | None] = []
        for own in rows:
            found = list(islice(values, len(own)))
            best = own[found.index(max(found))]  # the first of equal ones, and the own text is the first of all
            matched.append(None if best < self.targets else self.aliases[best - self.targets])
        return matched

    def _alias_rows(self, target: int) -> range:
        return range(self.targets + self._starts[target], self.targets + self._starts[target + 1])

    @cached_property
    def _starts(self) -> list[int]:
        """`first`, to be read one by one."""
        starts: list[int] = self.first.tolist()
        return starts

    def _more(self, scores: CandidateScores, count: int) -> CandidateScores:
        return self.collapse_candidates(scores.with_more(count))

    def _these(self, scores: CandidateScores, targets: Int[Tensor, " candidates"]) -> CandidateScores:
        return self.collapse_candidates(scores.with_these(self.rows_of(targets.cpu())))


def _values(scores: Float[Tensor, " all_rows"] | CandidateScores, rows: Int[Tensor, " some"]) -> Float[Tensor, " some"]:
    if isinstance(scores, CandidateScores):
        return scores.values[torch.searchsorted(scores.targets, rows)]
    return scores[rows]
