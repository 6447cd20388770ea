"""MaxSim by PyLate's `colbert_scores` over the same token embeddings. Another function than soft late interaction."""

from __future__ import annotations

import argparse

import torch
from pylate.scores import colbert_scores

from training.benchmarks.peers.program import encoder_of, main


class PylateRanker:
    """Normalised tokens, padded with zeros, scored in one call."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.encoder = encoder_of(options)
        self.padded = torch.nn.functional.normalize(self.encoder.padded, dim=-1)

    @torch.inference_mode()
    def rank(self, query: str, top_k: int) -> list[tuple[int, float]]:
        """The best targets and their scores."""
        tokens = torch.nn.functional.normalize(self.encoder.encode([query])[0], dim=-1)
        scores = colbert_scores(tokens[None], self.padded)[0]
        best = scores.topk(min(top_k, len(scores)))
        return list(zip(best.indices.tolist(), best.values.tolist(), strict=True))


if __name__ == "__main__":
    main(PylateRanker)
