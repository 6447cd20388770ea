"""Whether two rankings are the same: equal targets in equal order, but for scores that rounding cannot tell apart."""

from __future__ import annotations

from collections.abc import Sequence

from training.benchmarks.contestants import Best

# Of the larger score: float32 sums in another order differ by less, distinct texts by more.
TOLERANCE = 1e-4


def same_ranking(one: Best, other: Best) -> bool:
    """The same scores in order, and at each place the same target unless its score is as good as the other's."""
    if len(one) != len(other):
        return False
    scores = dict(other)
    for (target, score), (other_target, other_score) in zip(one, other, strict=True):
        if not _close(score, other_score):
            return False
        if target != other_target and not _close(scores.get(target, other_score), score):
            return False
    return True


def share_of_same(ones: Sequence[Best], others: Sequence[Best]) -> float:
    """The share of queries that are ranked alike."""
    same = [same_ranking(one, other) for one, other in zip(ones, others, strict=True)]
    return sum(same) / len(same)


def share_of_shared(ones: Sequence[Best], others: Sequence[Best]) -> float:
    """The share of the targets in the first rankings that the others have too, wherever they stand."""
    wanted = [{target for target, _ in one} for one in ones]
    found = [{target for target, _ in other} for other in others]
    return sum(len(one & other) for one, other in zip(wanted, found, strict=True)) / max(1, sum(map(len, wanted)))


def _close(one: float, other: float) -> bool:
    return abs(one - other) <= TOLERANCE * max(abs(one), abs(other))
