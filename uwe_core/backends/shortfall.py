"""How far embeddings are from those they should be."""

from __future__ import annotations

import math

from torch.nn.functional import cosine_similarity

from uwe_core.types import RaggedTokens


def shortfall(found: RaggedTokens, wanted: RaggedTokens) -> float:
    """The most that the cosine of a row with its counterpart falls short of 1; infinite where it is not a number."""
    cosines = cosine_similarity(found.double(), wanted.double(), dim=1)
    return float((1 - cosines).max()) if bool(cosines.isfinite().all()) else math.inf
