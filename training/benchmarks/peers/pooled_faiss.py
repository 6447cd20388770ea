"""Pooled cosine: one vector a text, found by faiss' exact inner product. Another function than late interaction."""

from __future__ import annotations

import argparse

import faiss
import torch

from training.benchmarks.peers.program import encoder_of, main


class PooledRanker:
    """Mean of token embeddings, normalised, in an `IndexFlatIP`."""

    def __init__(self, options: argparse.Namespace) -> None:
        faiss.omp_set_num_threads(options.threads)
        self.encoder = encoder_of(options)
        means = torch.stack([tokens.mean(dim=0) for tokens in torch.load(options.cache)])
        self.index = faiss.IndexFlatIP(means.shape[1])
        self.index.add(torch.nn.functional.normalize(means).numpy())

    def rank(self, query: str, top_k: int) -> list[tuple[int, float]]:
        """The best targets and their cosines."""
        mean = self.encoder.encode([query])[0].mean(dim=0, keepdim=True)
        scores, places = self.index.search(torch.nn.functional.normalize(mean).numpy(), top_k)
        return list(zip(places[0].tolist(), scores[0].tolist(), strict=True))


if __name__ == "__main__":
    main(PooledRanker)
