"""MaxSim by the library maxsim-cpu over the same token embeddings. Another function than soft late interaction."""

from __future__ import annotations

import argparse

import maxsim_cpu
import numpy as np
import torch

from training.benchmarks.peers.program import encoder_of, main


class MaxSimCpuRanker:
    """Normalised tokens, scored by `maxsim_scores_variable`."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.encoder = encoder_of(options)
        self.texts = [torch.nn.functional.normalize(tokens).numpy() for tokens in torch.load(options.cache)]

    def rank(self, query: str, top_k: int) -> list[tuple[int, float]]:
        """The best targets and their scores."""
        tokens = torch.nn.functional.normalize(self.encoder.encode([query])[0]).numpy()
        scores = maxsim_cpu.maxsim_scores_variable(tokens, self.texts)
        best = np.argsort(-scores, kind="stable")[:top_k]
        return [(int(place), float(scores[place])) for place in best]


if __name__ == "__main__":
    main(MaxSimCpuRanker)
