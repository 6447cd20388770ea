"""What is to blame where a loss is not finite: the term of the loss, and the texts."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch

from uwe_core.batches.batch import Batch
from uwe_core.encoder import TokenEncoder
from uwe_core.errors import DivergenceError
from uwe_core.gradients.chunked_encoding import encode_chunk
from uwe_core.trainer.batches_ahead import TrainingBatch

_MOST_TEXTS = 3


def divergence(encoder: TokenEncoder, batch: TrainingBatch, step: int, losses: Mapping[str, float]) -> DivergenceError:
    """The error of a step whose loss or gradient was not finite.

    Args:
        encoder: whose weights that step has not changed.
        batch: of that step.
        step: its number.
        losses: the terms of its loss.
    """
    graphs = [name for name, loss in losses.items() if not math.isfinite(loss)]
    what = f"the loss of the graph '{graphs[0]}'" if graphs else "the gradient"
    numbers = _texts_without_finite_embeddings(encoder, batch) or _texts_of(batch.drawn, graphs)
    texts = [batch.drawn.texts[number] for number in numbers[:_MOST_TEXTS]]
    return DivergenceError(
        step, what, [" ".join(filter(None, (text.prefix, text.text, text.suffix))) for text in texts]
    )


def _texts_without_finite_embeddings(encoder: TokenEncoder, batch: TrainingBatch) -> list[int]:
    with torch.no_grad():
        return [
            number
            for number, ids in enumerate(batch.prepared.token_ids)
            if not bool(encode_chunk(encoder, [ids], "float32").isfinite().all())
        ]


def _texts_of(batch: Batch, graphs: list[str]) -> list[int]:
    """Texts of the first of these graphs; of the whole batch where none of that name is in it."""
    for graph in batch.graphs:
        if graph.name in graphs:
            return [*graph.query_texts.tolist(), *graph.target_texts.tolist()]
    return list(range(len(batch.texts)))
