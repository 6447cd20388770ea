"""The average of several adapters of one base, as one adapter: pure functions of their factors.

Averaging the weights of models trained from the same start is Wortsman et al. 2022 (model soups) and, along one run,
Izmailov et al. 2018. Factors themselves must not be averaged: `mean(b) @ mean(a)` is not `mean(b @ a)`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from uwe_core.adapter import Factors


def average_factors(adapters: Sequence[Factors], scales: Sequence[float]) -> dict[str, tuple[Tensor, Tensor]]:
    """Factors whose product is, layer by layer, the mean of `scale * b @ a` over the adapters, exactly.

    The rank of a layer is the sum of its ranks; an adapter that lacks a layer counts as no change there.

    Args:
        adapters: at least one.
        scales: of each adapter.

    Returns:
        Factors in float32, in the order of the layers' names.
    """
    averaged = {}
    for name in sorted({name for factors in adapters for name in factors}):
        present = [(factors[name], scale) for factors, scale in zip(adapters, scales, strict=True) if name in factors]
        down = torch.cat([pair[0].float() for pair, _ in present], dim=0)
        up = torch.cat([scale / len(adapters) * pair[1].float() for pair, scale in present], dim=1)
        averaged[name] = (down, up)
    return averaged


def truncate_rank(
    down: Float[Tensor, "rank inputs"], up: Float[Tensor, "outputs rank"], rank: int
) -> tuple[Float[Tensor, "less inputs"], Float[Tensor, "outputs less"], float]:
    """The factors of at most `rank` whose product is nearest to `up @ down` (Eckart and Young 1936).

    The product itself is never formed: two thin QR decompositions leave the singular value decomposition of a square
    as small as the rank. Both new factors carry the square root of the singular values, so that neither is out of
    reach of half precision.

    Returns:
        The two factors, in float32, and the share of the squared Frobenius norm that was lost, in [0, 1].
    """
    left, left_small = torch.linalg.qr(up.double())
    right, right_small = torch.linalg.qr(down.double().T)
    outer, values, inner = torch.linalg.svd(left_small @ right_small.T, full_matrices=False)
    kept = min(rank, len(values))
    roots = values[:kept].sqrt()
    total = float(values.square().sum())
    lost = float(values[kept:].square().sum()) / total if total > 0 else 0.0
    new_down = roots[:, None] * (inner[:kept] @ right.T)
    new_up = (left @ outer[:, :kept]) * roots
    return new_down.float(), new_up.float(), lost


def truncate_factors(factors: Factors, rank: int) -> tuple[dict[str, tuple[Tensor, Tensor]], float]:
    """Every layer brought to at most `rank`, and the largest share of a layer's squared norm that was lost."""
    truncated, losses = {}, [0.0]
    for name, pair in factors.items():
        down, up, lost = truncate_rank(*pair, rank)
        truncated[name] = (down, up)
        losses.append(lost)
    return truncated, max(losses)


def largest_rank(factors: Factors) -> int:
    """The largest rank of any layer."""
    return max(down.shape[0] for down, _ in factors.values())
