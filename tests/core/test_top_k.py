"""The best targets: equal to a full stable sort, ties and exclusions included."""

from __future__ import annotations

import math

import torch
from hypothesis import given
from hypothesis import strategies as st

from uwe_core.top_k import top_k

# Few distinct values, so that ties are the rule.
SCORES = st.lists(st.sampled_from([-math.inf, -1.0, 0.0, 0.5, 2.0]), min_size=1, max_size=30)


@given(SCORES, st.integers(1, 40))
def test_it_equals_a_full_stable_sort(scores: list[float], k: int) -> None:
    ranked = sorted(
        (place for place, score in enumerate(scores) if score > -math.inf), key=lambda place: -scores[place]
    )
    indices, values = top_k(torch.tensor(scores), k)
    assert indices.tolist() == ranked[:k]
    assert values.tolist() == [scores[place] for place in ranked[:k]]


@given(st.lists(st.floats(allow_nan=False, width=32), min_size=1, max_size=30))
def test_the_best_is_the_first_of_the_largest(scores: list[float]) -> None:
    indices, _ = top_k(torch.tensor(scores), 1)
    assert indices.tolist() == ([] if max(scores) == -math.inf else [scores.index(max(scores))])
