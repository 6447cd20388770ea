"""Shapes that stay the same from call to call: texts laid out in the padded grid of the smallest bucket they fit in."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int64
from numpy import ndarray
from torch import Tensor

from uwe_core.backends.packed_encoder import PackedEncoder
from uwe_core.backends.packed_texts import PackedTexts
from uwe_core.types import RaggedTokens

TEXTS = (1, 2, 4, 8, 16, 32)
SHORTEST = 8
# Above so many tokens a GPU is busy with arithmetic for longer than its launches take.
MOST_TOKENS = 1024


class Bucket(NamedTuple):
    """A padded grid."""

    texts: int
    text_tokens: int

    @property
    def tokens(self) -> int:
        """Places in the grid."""
        return self.texts * self.text_tokens


def buckets_up_to(max_tokens: int) -> list[Bucket]:
    """All there are for an encoder that takes `max_tokens` of a text, the smallest last.

    Text lengths double from `SHORTEST` on; the last is `max_tokens`.
    """
    lengths = [max_tokens]
    while lengths[-1] > SHORTEST:
        lengths.append(max(SHORTEST, 2 ** ((lengths[-1] - 1).bit_length() - 1)))
    grids = (Bucket(texts, length) for texts in TEXTS for length in lengths)
    return sorted((grid for grid in grids if grid.tokens <= MOST_TOKENS), key=lambda grid: -grid.tokens)


def smallest_fit(buckets: Iterable[Bucket], texts: int, text_tokens: int) -> Bucket | None:
    """The bucket with the fewest places that holds so many texts of so many tokens at most; None where none does."""
    fitting = (grid for grid in buckets if grid.texts >= texts and grid.text_tokens >= text_tokens)
    return min(fitting, key=lambda grid: grid.tokens, default=None)


def laid_out(packed: PackedTexts, bucket: Bucket) -> Int64[ndarray, " numbers"]:
    """Ids, positions, the place of each packed token, and the tokens of each text, end to end in one array.

    What is no text has one token, so that its attention has something to look at.
    """
    texts, longest = packed.rows.shape
    numbers = np.zeros(3 * bucket.tokens + bucket.texts, np.int64)
    ids, positions, places, lengths = np.split(numbers, [bucket.tokens * part for part in (1, 2, 3)])
    text, column = np.divmod(packed.places, longest)
    in_bucket = text * bucket.text_tokens + column
    ids[in_bucket], positions[in_bucket] = packed.ids, packed.positions
    places[: len(in_bucket)] = in_bucket
    lengths[:] = 1
    lengths[:texts] = np.bincount(text, minlength=texts)
    return numbers


def encode_laid_out(encoder: PackedEncoder, numbers: Int64[Tensor, " numbers"], bucket: Bucket) -> RaggedTokens:
    """Embeddings of the packed tokens in float32, those of the bucket's first place after them.

    Every operation has sizes that the bucket gives and none waits for the device.
    """
    ids, positions, places, lengths = numbers.split([bucket.tokens] * 3 + [bucket.texts])
    grid = torch.arange(bucket.tokens, device=numbers.device).view(bucket.texts, bucket.text_tokens)
    is_padding = grid[0] >= lengths[:, None]
    bias: Float[Tensor, "texts 1 1 text_tokens"] = torch.zeros(
        is_padding.shape, dtype=encoder.words.weight.dtype, device=numbers.device
    ).masked_fill_(is_padding, -torch.inf)[:, None, None, :]
    return encoder(ids, positions, grid, None, bias)[places].float()  # type: ignore[no-any-return]
