"""Texts to be encoded on their own: how much of each is read, and what that gave."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from uwe_core.encoder import Truncation


@dataclass(frozen=True)
class Reading:
    """How much of each text is read.

    Attributes:
        most_tokens: of each text, special ones included; None reads what the encoder can.
        refuse_longer: refuse a longer text in place of reading its beginning.
    """

    most_tokens: int | None = None
    refuse_longer: bool = False

    def of_whole_texts(self) -> Reading:
        """The same of texts of which the encoder's limit alone cuts anything off."""
        return Reading(refuse_longer=self.refuse_longer)


WHAT_FITS = Reading()


@dataclass(frozen=True)
class EmbeddedTexts:
    """Texts in the order in which they were asked for.

    Attributes:
        tokens: raw, of each text, float32, on the engine's device; texts with the same tokens share them.
        truncations: texts longer than the encoder's limit, of which only the beginning was read.
    """

    tokens: list[Float[Tensor, "text_tokens dim"]]
    truncations: list[Truncation]

    @property
    def dimension(self) -> int:
        """Components of an embedding; there is at least one text."""
        return self.tokens[0].shape[1]
