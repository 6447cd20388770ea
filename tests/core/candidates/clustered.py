"""Made-up targets that lie as texts do: in clusters, the tokens of a target near each other."""

from __future__ import annotations

from dataclasses import replace

import torch

from tests.fakes import random_index
from uwe_core.interaction import inverse_norms
from uwe_core.token_embeddings import TokenEmbeddings
from uwe_core.token_index import StorageType, TokenIndex
from uwe_core.token_storage import read_back, stored

CLUSTERS, DIM = 40, 32


def clustered_index(targets: int, dtype: StorageType = "float32", dim: int = DIM) -> TokenIndex:
    """Targets of two to six tokens: a cluster's centre, the target's own difference, and each token's."""
    index = random_index([2 + target % 5 for target in range(targets)], dim=dim)
    own = torch.randn(targets, dim, generator=torch.Generator().manual_seed(2))
    target_of_row = torch.arange(targets).repeat_interleave(index.offsets.diff())
    centres = _centres(dim)[torch.arange(targets) % CLUSTERS]
    tokens, scales = stored((centres + 0.5 * own)[target_of_row] + 0.5 * index.embeddings, dtype)
    manifest = index.manifest.model_copy(update={"dtype": dtype})
    return replace(
        index,
        manifest=manifest,
        embeddings=tokens,
        inverse_norms=inverse_norms(read_back(tokens, scales)),
        scales=scales,
    )


def clustered_queries(counts: list[int], dim: int = DIM) -> TokenEmbeddings:
    """Queries with so many tokens each, near one cluster after another."""
    generator = torch.Generator().manual_seed(3)
    return TokenEmbeddings.from_texts(
        [
            _centres(dim)[place % CLUSTERS]
            + 0.4 * torch.randn(dim, generator=generator)
            + 0.5 * torch.randn(count, dim, generator=generator)
            for place, count in enumerate(counts)
        ]
    )


def _centres(dim: int) -> torch.Tensor:
    return torch.randn(CLUSTERS, dim, generator=torch.Generator().manual_seed(1))
