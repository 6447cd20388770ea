"""Token embeddings of a batch, gathered in groups: every text once, its own tokens, and no group too large."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from uwe_core.gradients.packed_tokens import PackedTokens

COUNTS = st.lists(st.integers(1, 6), min_size=1, max_size=12)


def packed(counts: list[int], order: list[int]) -> tuple[PackedTokens, list[torch.Tensor]]:
    """Texts in chunks of two, in that order; a token holds its text's number and its own."""
    texts = [
        torch.tensor([[text, token] for token in range(count)], dtype=torch.float) for text, count in enumerate(counts)
    ]
    chunks = [order[start : start + 2] for start in range(0, len(order), 2)]
    embeddings = [torch.cat([texts[text] for text in chunk]) for chunk in chunks]
    return PackedTokens.from_chunks(embeddings, chunks, counts), texts


@given(COUNTS, st.integers(1, 20), st.data())
def test_groups_hold_every_chosen_text_once_with_its_tokens_and_are_bounded(
    counts: list[int], bound: int, data: st.DataObject
) -> None:
    order = data.draw(st.permutations(range(len(counts))))
    chosen = data.draw(st.lists(st.sampled_from(range(len(counts))), min_size=1, unique=True))
    tokens, texts = packed(counts, list(order))
    groups = tokens.groups(np.array(chosen), bound)
    assert sorted(place for group in groups for place in group.places.tolist()) == list(range(len(chosen)))
    for group in groups:
        assert len(group.places) == 1 or group.mask.numel() <= bound
        for place, row, mask, rows in zip(group.places.tolist(), group.tokens, group.mask, group.rows, strict=True):
            torch.testing.assert_close(row[mask], texts[chosen[place]])
            torch.testing.assert_close(tokens.embeddings[rows[mask]], row[mask])
