"""The types in which token embeddings are stored, and what is read back from them."""

from __future__ import annotations

from typing import Literal, TypeAlias

import torch
from jaxtyping import Float, Int8
from torch import Tensor

StorageType = Literal["float32", "bfloat16", "float16", "int8"]
TORCH_TYPES: dict[StorageType, torch.dtype] = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
    "int8": torch.int8,
}
# Served unless told otherwise: a query reads a quarter of the bytes, and MAP moves by less than 0.1 (docs/latency.md).
SERVED_STORAGE: StorageType = "int8"
# The whole numbers of int8 are symmetric, so that a token and its negative are stored alike.
LARGEST_INT8 = 127

StoredTokens: TypeAlias = Float[Tensor, "*texts dim"] | Int8[Tensor, "*texts dim"]
Scales: TypeAlias = Float[Tensor, "*texts"] | None


def stored(tokens: Float[Tensor, "tokens dim"], storage: StorageType) -> tuple[StoredTokens, Scales]:
    """Token embeddings in a storage type, and the scale of each token where the type has one.

    `int8` divides each token by its scale, the largest magnitude of its components over 127, and rounds.
    """
    if storage != "int8":
        return tokens.to(TORCH_TYPES[storage]), None
    tokens = tokens.float()
    scales = tokens.abs().amax(dim=-1) / LARGEST_INT8
    divisors = torch.where(scales > 0, scales, 1.0)[:, None]  # a token of zeros is stored as zeros
    return (tokens / divisors).round().clamp(-LARGEST_INT8, LARGEST_INT8).to(torch.int8), scales


def read_back(tokens: StoredTokens, scales: Scales) -> Float[Tensor, "*texts dim"]:
    """Stored token embeddings in float32."""
    floats = tokens.float()
    return floats if scales is None else floats * scales[..., None]
