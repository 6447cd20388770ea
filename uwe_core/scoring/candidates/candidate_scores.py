"""CandidateScores: exact scores of some targets of a space; the others have none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
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
    """

    targets: Int[Tensor, " candidates"]
    values: Float[Tensor, " candidates"]
    wanted: int
    space_size: int
    with_more: Callable[[int], CandidateScores]

    def best(self, k: int, excluded: Sequence[int] = ()) -> tuple[Int[Tensor, " best"], Float[Tensor, " best"]]:
        """Indices and scores of the `k` best targets, best first, ties by ascending index, as `top_k` of all scores.

        Where fewer than `k` candidates are not excluded, though the space has more targets, more are proposed.
        """
        left_out = torch.isin(self.targets, torch.tensor(excluded, dtype=torch.int64, device=self.targets.device))
        kept = len(self.targets) - int(left_out.sum())
        if kept < min(k, self.space_size - len(excluded)):
            return self.with_more(max(2 * self.wanted, k + len(excluded))).best(k, excluded)
        places, values = top_k(self.values.masked_fill(left_out, -torch.inf), k)
        return self.targets[places], values
