"""SpaceEncoding: a target space on its way to a token index, batch by batch, in one process or shared among several."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from uwe_core.encoder import TokenEncoder, length_sorted_batches
from uwe_core.interaction import inverse_norms
from uwe_core.target_space import TargetSpace
from uwe_core.token_storage import Scales, StorageType, StoredTokens, read_back, stored

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class EncodedTargets:
    """Token embeddings of some targets as an index stores them, target after target.

    Attributes:
        embeddings: `[tokens, dim]` in storage precision, raw (not normalised).
        inverse_norms: `[tokens]`, float32, of the embeddings as stored.
        scales: `[tokens]`, float32, of int8 alone.
    """

    embeddings: StoredTokens
    inverse_norms: Float[Tensor, " tokens"]
    scales: Scales


class SpaceEncoding:
    """The tokens of a space, and the batches in which they go through the encoder.

    The embeddings of a text differ in their last digits with what is encoded beside it, and with the number of threads.
    So the batches are fixed here: whoever encodes them, one process or many, gets the same numbers from the same
    threads, device and libraries.

    Args:
        encoder: of the tokens.
        space: the targets.
        dtype: in which token embeddings are stored.

    Attributes:
        batches: the positions of the targets of each batch, shortest targets first; together they hold every target
            once.
        tokenised: the targets, by position.
        token_counts: of each target, by position.
        truncated: number of targets of which only the beginning is read.

    Raises:
        InputError: a text that cannot be encoded, by its position among `TargetSpace.matched_texts`.
    """

    def __init__(self, encoder: TokenEncoder, space: TargetSpace, dtype: StorageType) -> None:
        self.tokenised = encoder.tokenise(space.matched_texts)
        self.encoder = encoder
        self.space = space
        self.dtype = dtype
        self.token_counts = [len(ids) for ids in self.tokenised.token_ids]
        self.batches = list(length_sorted_batches(self.token_counts))
        self.truncated = len(self.tokenised.truncations)

    def warn_of_truncations(self) -> None:
        """Log how many targets are read only in part, if any are."""
        if self.truncated:
            logger.warning(
                "%s: %d targets are longer than the encoder's %d tokens and were cut, the first at position %d",
                self.space.info.name, self.truncated, self.encoder.max_tokens, self.tokenised.truncations[0].position,
            )  # fmt: skip

    def encode(self, batches: Iterable[Sequence[int]]) -> Iterator[EncodedTargets]:
        """The tokens of some of the batches, in storage precision on the processor's memory."""
        for positions in batches:
            tokens = self.encoder.encode_batch(self.tokenised, positions).tokens.embeddings
            yield encoded_targets(tokens, self.dtype)


def encoded_targets(tokens: Float[Tensor, "tokens dim"], dtype: StorageType) -> EncodedTargets:
    """Tokens as the encoder gives them, in storage precision on the processor's memory."""
    embeddings, scales = stored(tokens.cpu(), dtype)
    return EncodedTargets(embeddings, inverse_norms(read_back(embeddings, scales)), scales)
