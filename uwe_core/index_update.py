"""The token index of a target space that changed: texts that were indexed before are not encoded again."""

from __future__ import annotations

from collections.abc import Callable

import torch

from uwe_core.encoder import TokenEncoder
from uwe_core.target_space import TargetSpace
from uwe_core.token_index import GrowingTokens, TokenIndex
from uwe_core.token_storage import StorageType

# Called with the targets that are done, their total, and how many of those done had to be encoded.
UpdateProgress = Callable[[int, int, int], None]


@torch.inference_mode()
def index_reusing(
    encoder: TokenEncoder,
    space: TargetSpace,
    dtype: StorageType,
    known: tuple[TargetSpace, TokenIndex] | None = None,
    progress: UpdateProgress | None = None,
) -> TokenIndex:
    """The index of a space, with the tokens of texts that another index of the same encoder and storage has.

    Each text is encoded alone, in float32 by the encoder's own weights whatever its backend is: the numbers of a text
    then do not depend on its company, and reusing them gives the very bytes that encoding everything anew gives.
    `TokenIndex.build` encodes texts in batches, which differs from this by rounding alone.

    Args:
        encoder: of both indexes.
        space: to be indexed.
        dtype: storage of the index; an index of another one is not reused.
        known: a space and its index.
        progress: told after each target; whatever it raises stops the work.

    Raises:
        InputError: a text that cannot be encoded, by its position in the space.
    """
    texts = space.texts
    tokenised = encoder.tokenise(texts)
    counts = [len(ids) for ids in tokenised.token_ids]
    order = sorted(range(len(texts)), key=counts.__getitem__)
    tokens = GrowingTokens(sum(counts), encoder.dim, dtype)
    places = _Places(encoder, dtype, known)
    encoded = 0
    for done, target in enumerate(order, start=1):
        place = places.of(texts[target])
        if place is None:
            tokens.append(encoder.hidden([tokenised.token_ids[target]]))
            encoded += 1
        else:
            tokens.append_stored(*place)
        if progress is not None:
            progress(done, len(texts), encoded)
    return tokens.as_index(encoder, space, tokenised, order)


class _Places:
    """Where the tokens of known texts are."""

    def __init__(self, encoder: TokenEncoder, dtype: StorageType, known: tuple[TargetSpace, TokenIndex] | None) -> None:
        self._rows: dict[str, tuple[int, int]] = {}
        if known is None or known[1].manifest.dtype != dtype:
            return
        space, self._index = known
        self._index.check_fits(encoder, space)
        offsets = self._index.offsets.tolist()
        for place, target in enumerate(self._index.order.tolist()):
            self._rows[space.texts[target]] = (offsets[place], offsets[place + 1])

    def of(self, text: str) -> tuple[TokenIndex, int, int] | None:
        """The index, the first row and the one after the last; None of a text that is not known."""
        rows = self._rows.get(text)
        return None if rows is None else (self._index, *rows)
