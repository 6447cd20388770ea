"""The interaction temperatures of the paper, in the units of another encoder."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from training.pipeline.chance import fixed_choice
from uwe_core.encoder import TokenEncoder

# Appendix A, for all-mpnet-base-v2.
PAPER_GRID = (0.1, 0.5, 1.0, 2.0)
# Mean squared length of that encoder's tokens over ESCO's skill labels: raw dot products, and with them the
# temperature of their softmax, grow in proportion.
PAPER_SQUARED_LENGTH = 11.75
_MOST_TEXTS = 500


def scaled_grid(encoder: TokenEncoder, texts: Sequence[str]) -> tuple[float, ...]:
    """The paper's grid times the ratio of squared token lengths, to one digit: a grid needs no more.

    Args:
        encoder: not trained yet.
        texts: such as the labels of skills; some hundred are chosen, always the same.
    """
    chosen = [texts[place] for place in fixed_choice(texts, _MOST_TEXTS, seed=0)]
    with torch.inference_mode():
        tokens = encoder.encode(encoder.tokenise(chosen)).embeddings.float()
    ratio = float(tokens.square().sum(dim=-1).mean()) / PAPER_SQUARED_LENGTH
    return tuple(float(f"{ratio * temperature:.0e}") for temperature in PAPER_GRID)
