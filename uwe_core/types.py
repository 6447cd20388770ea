"""Legend of the axes in array shapes, and the aliases built from them.

| axis            | one entry is                                     |
|-----------------|--------------------------------------------------|
| `queries`       | a text ranked for                                |
| `targets`       | a rankable text of a target space                |
| `query_tokens`  | a token of one query (padded where a mask stands beside it)  |
| `target_tokens` | a token of one target (likewise)                 |
| `tokens`        | a token of any text, all texts end to end        |
| `dim`           | a component of a token embedding                 |

A mask is True where a token is real. Offsets have one entry more than there are texts: text `i` owns the tokens
`offsets[i]` to `offsets[i + 1]`.
"""

from __future__ import annotations

from typing import TypeAlias

from jaxtyping import Bool, Float, Int
from torch import Tensor

QueryTokens: TypeAlias = Float[Tensor, "queries query_tokens dim"]
TargetTokens: TypeAlias = Float[Tensor, "targets target_tokens dim"]
QueryMask: TypeAlias = Bool[Tensor, "queries query_tokens"]
TargetMask: TypeAlias = Bool[Tensor, "targets target_tokens"]
Scores: TypeAlias = Float[Tensor, "queries targets"]
RaggedTokens: TypeAlias = Float[Tensor, "tokens dim"]
Offsets: TypeAlias = Int[Tensor, " texts_plus_one"]
