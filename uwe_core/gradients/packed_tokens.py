"""PackedTokens: the token embeddings of a batch's texts, padded in groups of similar length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from numpy import ndarray
from torch import Tensor

from uwe_core.encoder import length_sorted_batches
from uwe_core.types import RaggedTokens


@dataclass(frozen=True)
class PackedTokens:
    """Token embeddings end to end, in an order of their own.

    Attributes:
        embeddings: raw.
        starts: of each text, the row of its first token.
        counts: of each text, its number of tokens.
    """

    embeddings: RaggedTokens
    starts: Int64[ndarray, " texts"]
    counts: Int64[ndarray, " texts"]

    @classmethod
    def from_chunks(
        cls, chunks: Sequence[Float[Tensor, "_ dim"]], texts: Sequence[Sequence[int]], counts: Sequence[int]
    ) -> PackedTokens:
        """Put chunks end to end.

        Args:
            chunks: token embeddings of several texts each.
            texts: the texts of each chunk, in its order.
            counts: of each text, its number of tokens.
        """
        all_counts = np.array(counts, dtype=np.int64)
        order = np.concatenate([np.array(chunk, dtype=np.int64) for chunk in texts])
        starts = np.empty_like(all_counts)
        starts[order] = all_counts[order].cumsum() - all_counts[order]
        return cls(chunks[0] if len(chunks) == 1 else torch.cat(list(chunks)), starts, all_counts)

    def groups(self, texts: Int64[ndarray, " chosen"], tokens_per_group: int) -> list[PaddedGroup]:
        """The chosen texts, shortest first, in groups of at most that many tokens, padding counted."""
        counts = self.counts[texts].tolist()
        return [self.group(texts, np.array(places)) for places in length_sorted_batches(counts, tokens_per_group)]

    def group(self, texts: Int64[ndarray, " chosen"], places: Int64[ndarray, " grouped"]) -> PaddedGroup:
        """Those of the chosen texts that stand at `places`, padded to the longest."""
        starts, counts = self.starts[texts[places]], self.counts[texts[places]]
        columns = np.arange(counts.max())[None, :]
        real = columns < counts[:, None]
        # padding points at the text's first token, and the mask hides it
        arrays = (places, starts[:, None] + np.where(real, columns, 0), real)
        on_device = [torch.from_numpy(array).to(self.embeddings.device, non_blocking=True) for array in arrays]
        places_there, rows, mask = on_device
        return PaddedGroup(places_there, rows, self.embeddings[rows], mask, not bool(real.all()))


@dataclass(frozen=True)
class PaddedGroup:
    """Some texts of similar length, padded.

    Attributes:
        places: where they stand among the texts they were chosen from.
        rows: of their tokens in the packed embeddings; padding has the row of some token of the same text.
        tokens: their token embeddings.
        mask: which tokens are real.
        is_padded: whether any is not; known without asking the device.
    """

    places: Int64[Tensor, " grouped"]
    rows: Int64[Tensor, "grouped text_tokens"]
    tokens: Float[Tensor, "grouped text_tokens dim"]
    mask: Bool[Tensor, "grouped text_tokens"]
    is_padded: bool
