"""How an answer is cut from scores: what is left out of it, and the best of the rest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import torch
from jaxtyping import Float, Int
from torch import Tensor

from uwe_core.metadata_filter import TargetMask
from uwe_core.narrowing import Narrowing
from uwe_core.rankable_space import RankableSpace
from uwe_core.scoring.alias_rows import AliasRows, CollapsedScores
from uwe_core.scoring.candidates import CandidateScores
from uwe_core.tasks import RankingTask
from uwe_core.text import same_text_key
from uwe_core.top_k import top_k as best_of

# Of one query: a score for every row of an index, those of aliases included, or those of its candidates.
QueryScores: TypeAlias = Float[Tensor, " rows"] | CandidateScores


def excluded_targets(task: RankingTask, query: str, rankable: RankableSpace, narrowing: Narrowing) -> list[int]:
    """The targets that are not to be returned: those that were named, and the query itself, whatever its case."""
    excluded = rankable.targets_by_text.get(same_text_key(query), []) if task.exclude_query else []
    if not narrowing.exclude:
        return excluded
    known = rankable.targets_by_id
    named = (known[identifier] for identifier in narrowing.exclude if identifier in known)
    return list(dict.fromkeys((*excluded, *named)))


def best_targets(
    scores: QueryScores,
    top_k: int,
    excluded: Sequence[int],
    allowed: TargetMask | None,
    alias_rows: AliasRows | None,
) -> tuple[tuple[Int[Tensor, " best"], Float[Tensor, " best"]], list[str | None]]:
    """Indices and scores of the best targets that are allowed (all where None) and not excluded, and their aliases."""
    rows = scores
    if isinstance(scores, CandidateScores):
        found = scores if alias_rows is None else alias_rows.collapse_candidates(scores)
        found = found.enough(top_k, excluded, allowed)
        rows = found.by_row if isinstance(found, CollapsedScores) else found
        best = found.best(top_k, excluded, allowed)
    else:
        best = _best_of_all(scores if alias_rows is None else alias_rows.collapse(scores), top_k, excluded, allowed)
    indices = best[0].tolist()
    return best, [None] * len(indices) if alias_rows is None else alias_rows.matched(rows, indices)


def _best_of_all(
    scores: Float[Tensor, " targets"], top_k: int, excluded: Sequence[int], allowed: TargetMask | None
) -> tuple[Int[Tensor, " best"], Float[Tensor, " best"]]:
    if allowed is not None:
        scores = scores.masked_fill(~allowed, -torch.inf)
    if excluded:
        scores = scores.clone()
        scores[excluded] = -torch.inf
    return best_of(scores, top_k)
