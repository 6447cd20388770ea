"""PackedTexts: token ids end to end, and where each token stands in the padded grid that attention needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, Shaped
from numpy import ndarray


@dataclass(frozen=True)
class PackedTexts:
    """Texts for an encoder that pads nothing but attention.

    Attributes:
        ids: of all tokens.
        positions: rows of the position table.
        rows: the token at each place of the grid; padding repeats the first.
        places: the place of each token in the flattened grid.
        bias: added to the attention of each place: 0 where a token is, -inf where none is.
    """

    ids: Int[ndarray, " tokens"]
    positions: Int[ndarray, " tokens"]
    rows: Int[ndarray, "texts text_tokens"]
    places: Int[ndarray, " tokens"]
    bias: Float[ndarray, "texts 1 1 text_tokens"]

    def arrays(self) -> tuple[Shaped[ndarray, "..."], ...]:
        """In the order of `PackedEncoder.forward`."""
        return self.ids, self.positions, self.rows, self.places, self.bias


def pack(token_ids: Sequence[Sequence[int]], padding_id: int | None = None) -> PackedTexts:
    """Put texts end to end.

    Args:
        token_ids: of at least one text, none empty.
        padding_id: of encoders that number positions from it on (RoBERTa's family); None where positions begin at 0.
    """
    lengths = np.array([len(ids) for ids in token_ids])
    starts = lengths.cumsum() - lengths
    ids = np.fromiter((token for text in token_ids for token in text), np.int64, int(lengths.sum()))
    columns = np.arange(int(lengths.max()))
    mask = columns < lengths[:, None]
    return PackedTexts(
        ids=ids,
        positions=_positions(ids, lengths, starts, padding_id),
        rows=np.where(mask, starts[:, None] + columns, 0),
        places=mask.ravel().nonzero()[0],
        bias=np.where(mask, np.float32(0), np.float32(-np.inf))[:, None, None, :],
    )


def _positions(
    ids: Int[ndarray, " tokens"],
    lengths: Int[ndarray, " texts"],
    starts: Int[ndarray, " texts"],
    padding_id: int | None,
) -> Int[ndarray, " tokens"]:
    positions: Int[ndarray, " tokens"] = np.arange(len(ids)) - np.repeat(starts, lengths)
    if padding_id is None:
        return positions
    # A text may hold the padding token as a word; that family counts it as no position.
    counts = np.cumsum(ids != padding_id)
    before = np.repeat(counts[starts] - (ids[starts] != padding_id), lengths)
    return np.where(ids != padding_id, counts - before + padding_id, padding_id)
