"""Query tokens in the layouts that the compiled kernel reads: 16 tokens side by side, component by component."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn.functional import pad

from uwe_core.token_storage import LARGEST_INT8

# Lanes of the kernel's vectors.
LANES = 16
# A component is `HIGH * high + low` with both parts in int8: 15 bits, where int8 has 8.
HIGH = 128


@dataclass(frozen=True)
class Int8Queries:
    """Query tokens in two int8 parts, all high parts before all low ones.

    Attributes:
        columns: `[parts, dim / 4, lanes, 4]`, each 128 above its value.
        scales: `[tiles * lanes]`, what the whole numbers of each query token are multiplied by.
    """

    columns: UInt8[Tensor, "parts fours lanes 4"]
    scales: Float[Tensor, " columns"]


def pack_floats(tokens: Float[Tensor, "query_tokens dim"]) -> Float[Tensor, "tiles dim lanes"]:
    """Tiles of 16 query tokens, the last one filled up with zeros."""
    filled: Tensor = pad(tokens, (0, 0, 0, -len(tokens) % LANES))
    packed: Tensor = filled.unflatten(0, (-1, LANES)).transpose(1, 2).contiguous()
    return packed


def pack_int8(tokens: Float[Tensor, "query_tokens dim"]) -> Int8Queries:
    """Query tokens as whole numbers of 15 bits in two parts; `dim` is a multiple of 4."""
    scales = tokens.abs().amax(dim=1) / (HIGH * LARGEST_INT8)
    whole = (tokens / torch.where(scales > 0, scales, 1.0)[:, None]).round()
    high = (whole / HIGH).round()
    parts = torch.cat([high, whole - HIGH * high])
    filled = pad(parts, (0, 0, 0, -len(parts) % LANES))
    columns = (filled + HIGH).to(torch.uint8).unflatten(1, (-1, 4)).unflatten(0, (-1, LANES)).transpose(1, 2)
    return Int8Queries(columns.contiguous(), pad(scales, (0, -len(scales) % LANES)))
