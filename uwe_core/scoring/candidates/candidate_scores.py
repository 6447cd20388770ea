"""CandidateScores: exact scores of some targets of a space; the others have none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from uwe_core.top_k import top_k


@dataclass(frozen=True)
class CandidateScores:
    """The scores of one query with its candidates.

    Attributes:
        targets: `[candidates]`, by their index in the space, ascending.
        values: `[candidates]`, float32.
        wanted: as many candidates as were asked for; a few less may have been found.
        space_size: number of targets of the space.
        with_more: the scores of the same query with at least so many candidates.
        with_these: its scores with these targets, ascending, in place of any that are proposed.
    """

    targets: Int[Tensor, " candidates"]
    values: Float[Tensor, " candidates"]
    wanted: int
    space_size: int
    with_more: Callable[[int], CandidateScores]
    with_these: Callable[[Int[Tensor, " candidates"]], CandidateScores]

    def best(
        self, k: int, excluded: Sequence[int] = (), allowed: Bool[Tensor, " targets"] | None = None
    ) -> tuple[Int[Tensor, " best"], Float[Tensor, " best"]]:
        """Indices and scores of the `k` best targets, best first, ties by ascending index, as `top_k` of all scores.

        Args:
            k: most targets to return.
            excluded: targets to leave out.
            allowed: `[targets]`, all targets but these are left out too; None allows all.
        """
        enough = self.enough(k, excluded, allowed)
        places, values = top_k(enough.values.masked_fill(enough._left_out(excluded, allowed), -torch.inf), k)
        return enough.targets.cpu()[places], values

    def enough(
        self, k: int, excluded: Sequence[int] = (), allowed: Bool[Tensor, " targets"] | None = None
    ) -> CandidateScores:
        """These scores where `k` of their targets are left, or those of more candidates; see `best`.

        Where too few candidates are left, though the space has more targets, more are proposed; where few targets are
        allowed at all, all of those are scored in place of more and more candidates that are not.
        """
        there = self.space_size - len(set(excluded))
        if allowed is not None:
            there = int(allowed.sum()) - int(allowed[list(set(excluded))].sum())
        kept = len(self.targets) - int(self._left_out(excluded, allowed).sum())
        if kept >= min(k, there):
            return self
        if allowed is not None and there <= 2 * self.wanted:
            return self.with_these(allowed.nonzero()[:, 0])
        return self.with_more(max(2 * self.wanted, k + len(excluded))).enough(k, excluded, allowed)

    def _left_out(
        self, excluded: Sequence[int], allowed: Bool[Tensor, " targets"] | None
    ) -> Bool[Tensor, " candidates"]:
        left_out = torch.isin(self.targets, torch.tensor(excluded, dtype=torch.int64, device=self.targets.device))
        return left_out if allowed is None else left_out | ~allowed[self.targets]
