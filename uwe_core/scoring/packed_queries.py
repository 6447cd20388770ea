"""Query tokens in the layouts that the compiled kernel reads: 16 tokens side by side, component by component."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Shaped
from torch import Tensor
from torch.nn.functional import pad

from uwe_core.token_storage import LARGEST_INT8, StorageType

# Lanes of the kernel's vectors.
LANES = 16
# A component is `HIGH * high + low` with both parts in int8: 15 bits, where int8 has 8.
HIGH = 128
_GROUP_BYTES = 4
# What each part of a query token's component counts. Three bfloat16 hold all 24 bits of a float32.
PART_WEIGHTS: Mapping[StorageType, tuple[float, ...]] = {"int8": (float(HIGH), 1.0), "bfloat16": (1.0, 1.0, 1.0)}


@dataclass(frozen=True)
class QueryParts:
    """Query tokens, each in one or more parts; the first parts of all tokens stand before all second ones.

    Attributes:
        columns: `[parts, dim * bytes / 4, lanes, 4 / bytes]`, 16 columns side by side, four bytes of each at a time; of
            float32 also `[1, dim / 2, 8, 2]`, 8 columns and eight bytes of each.
        scales: `[tiles * lanes]`, what the whole numbers of each query token are multiplied by; of int8 alone.
    """

    columns: Shaped[Tensor, "parts groups lanes components"]
    scales: Float[Tensor, " columns"] | None


def pack_floats(tokens: Float[Tensor, "query_tokens dim"]) -> QueryParts:
    """Query tokens as they are; of few, two components at a time fill the lanes that would be empty."""
    few = len(tokens) <= LANES // 2 and tokens.shape[1] % 2 == 0
    return QueryParts(_side_by_side(tokens, LANES // 2 if few else LANES), None)


def pack_int8(tokens: Float[Tensor, "query_tokens dim"]) -> QueryParts:
    """Query tokens as whole numbers of 15 bits in two parts; `dim` is a multiple of 4."""
    scales = tokens.abs().amax(dim=1) / (HIGH * LARGEST_INT8)
    whole = (tokens / torch.where(scales > 0, scales, 1.0)[:, None]).round()
    high = (whole / HIGH).round()
    parts = torch.cat([high, whole - HIGH * high]).to(torch.int8)
    return QueryParts(_side_by_side(parts), pad(scales, (0, -len(scales) % LANES)))


def pack_bfloat16(tokens: Float[Tensor, "query_tokens dim"]) -> QueryParts:
    """Query tokens as sums of three bfloat16; `dim` is a multiple of 2."""
    parts, rest = [], tokens
    for _ in PART_WEIGHTS["bfloat16"]:
        parts.append(rest.bfloat16())
        rest = rest - parts[-1].float()
    return QueryParts(_side_by_side(torch.cat(parts)), None)


def _side_by_side(
    columns: Shaped[Tensor, "columns dim"], lanes: int = LANES
) -> Shaped[Tensor, "parts groups lanes components"]:
    """Groups of as many components as make the lanes the kernel's vectors."""
    components = _GROUP_BYTES * LANES // lanes // columns.element_size()
    filled = pad(columns, (0, 0, 0, -len(columns) % lanes))
    packed: Tensor = filled.unflatten(1, (-1, components)).unflatten(0, (-1, lanes))
    return packed.transpose(1, 2).contiguous()
