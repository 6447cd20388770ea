"""Token embeddings of several texts, end to end without padding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from uwe_core.types import Offsets, RaggedTokens


@dataclass(frozen=True)
class TokenEmbeddings:
    """Raw token embeddings; text `i` owns rows `offsets[i]` to `offsets[i + 1]`. Offsets live on the CPU."""

    embeddings: RaggedTokens
    offsets: Offsets

    @classmethod
    def from_texts(cls, texts: Sequence[Float[Tensor, "_ dim"]]) -> TokenEmbeddings:
        """Put the token embeddings of single texts end to end; at least one text."""
        counts = torch.tensor([0] + [text.shape[0] for text in texts])
        return cls(torch.cat(list(texts)), counts.cumsum(0))

    @property
    def token_counts(self) -> Int[Tensor, " texts"]:
        """Number of tokens of each text."""
        return self.offsets.diff()

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __iter__(self) -> Iterator[Float[Tensor, "_ dim"]]:
        bounds = self.offsets.tolist()
        return (self.embeddings[start:end] for start, end in pairwise(bounds))

    def slice(self, start: int, end: int) -> TokenEmbeddings:
        """The texts `start` to `end` (exclusive), as views."""
        offsets = self.offsets[start : end + 1]
        return TokenEmbeddings(self.embeddings[int(offsets[0]) : int(offsets[-1])], offsets - offsets[0])

    def sum_per_text(self, values: Float[Tensor, "tokens columns"]) -> Float[Tensor, "texts columns"]:
        """Sum rows that belong to the same text."""
        return torch.segment_reduce(values, "sum", lengths=self.token_counts.to(values.device), axis=0)

    def means(self) -> Float[Tensor, "texts dim"]:
        """The mean token of each text, in float32."""
        return self.sum_per_text(self.embeddings.float()) / self.token_counts.to(self.embeddings.device)[:, None]

    def padded(self) -> tuple[Float[Tensor, "texts text_tokens dim"], Bool[Tensor, "texts text_tokens"]]:
        """Padded with zeros, and the mask that is True where a token is real."""
        counts = self.token_counts
        mask = torch.arange(int(counts.max()))[None, :] < counts[:, None]
        return pad_sequence(list(self), batch_first=True), mask.to(self.embeddings.device)
