"""BlockSide: the texts on one side of a block of pairs, laid out for one matrix product and no copies after it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from uwe_core.gradients.packed_tokens import PaddedGroup
from uwe_core.interaction import inverse_norms

# Finite, unlike minus infinity: in a row that is all padding the maximum can be subtracted, and zero times it is zero.
PADDING = -1e30


@dataclass(frozen=True)
class BlockSide:
    """The tokens of some texts: first the first token of every text, then the second of every text, and so on.

    In the product of two sides, `[query_tokens * queries, target_tokens * targets]`, neither tokens axis is then the
    innermost, so that maxima and sums over either run over whole vectors of texts, which a CPU does several times
    faster than over the few tokens of one text.

    Attributes:
        places: of the texts among those they were chosen from.
        rows: of the tokens in the packed embeddings; padding has the row of some token of the same text.
        scale: what the embeddings were multiplied by.
        tokens: token embeddings, multiplied by it.
        inverse_norms: of these; 0 for padding, which makes its cosines 0.
        padding: what to add to logits, or None where nothing is padded.
        lengths: of each text, its number of tokens.
    """

    places: Int64[Tensor, " texts"]
    rows: Int64[Tensor, " tokens"]
    scale: float
    tokens: Float[Tensor, "tokens dim"]
    inverse_norms: Float[Tensor, "text_tokens texts"]
    padding: Float[Tensor, "text_tokens texts"] | None
    lengths: Float[Tensor, " texts"]

    @classmethod
    def of(cls, group: PaddedGroup, scale: float = 1.0) -> BlockSide:
        """The side that a group makes."""
        tokens, mask = group.tokens.transpose(0, 1) * scale, group.mask.T
        norms = inverse_norms(tokens).masked_fill(~mask, 0.0)
        padding = torch.zeros_like(norms).masked_fill(~mask, PADDING) if group.is_padded else None
        lengths = mask.sum(dim=0).to(norms.dtype)
        return cls(group.places, group.rows.T.flatten(), scale, tokens.flatten(0, 1), norms, padding, lengths)

    def __len__(self) -> int:
        return len(self.places)
