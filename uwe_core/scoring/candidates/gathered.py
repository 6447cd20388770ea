"""Some targets of a token index as a small index of their own."""

from __future__ import annotations

import torch
from jaxtyping import Int
from torch import Tensor

from uwe_core.token_index import TokenIndex


def gathered(index: TokenIndex, stored_positions: Int[Tensor, " candidates"]) -> TokenIndex:
    """An index of the targets at these places in stored order, numbered as they are given.

    It is to be scored and thrown away: its fingerprint says nothing.

    Args:
        index: of the space; only the tokens of these targets are read.
        stored_positions: on the CPU, each once, at least one.
    """
    positions, order = stored_positions.sort()  # by number of tokens again, as every index is
    starts = index.offsets[positions]
    counts = index.offsets[positions + 1] - starts
    offsets = torch.cat([torch.zeros(1, dtype=torch.int64), counts.cumsum(0)])
    rows = torch.arange(int(offsets[-1])) + (starts - offsets[:-1]).repeat_interleave(counts)
    rows = rows.to(index.embeddings.device)
    manifest = index.manifest.model_copy(update={"targets": len(order), "tokens": len(rows)})
    return TokenIndex(
        manifest,
        index.embeddings[rows],
        index.inverse_norms[rows],
        offsets,
        order.to(index.order.device),
        None if index.scales is None else index.scales[rows],
    )
