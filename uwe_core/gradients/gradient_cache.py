"""The loss of a batch too large for one graph of computation: gradient caching (Gao et al. 2021).

The encoder runs over chunks of texts, and of most of them only the token embeddings are kept; the loss gives the
gradient of each of these; then every such chunk runs again, with the random numbers of its first run, and hands its
gradients on to the weights. The interaction is cut into blocks in the same way. What memory has room for is kept
instead of being computed twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import isqrt

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field

from uwe_core.encoder import TOKENS_PER_BATCH, Precision, TokenEncoder, length_sorted_batches
from uwe_core.gradients.attention_entropy import graph_entropies
from uwe_core.gradients.block_scores import backward_in_blocks, scores_in_blocks
from uwe_core.gradients.chunked_encoding import encode_chunk, encode_in_chunks
from uwe_core.gradients.kept_blocks import KeptBlocks
from uwe_core.gradients.objective import BatchLoss, LossConfig, Objective, objective_loss, sum_of_terms
from uwe_core.gradients.packed_tokens import PackedTokens
from uwe_core.gradients.prepared_batch import PreparedBatch
from uwe_core.interaction import InteractionConfig, interact
from uwe_core.loss import ContrastiveLoss
from uwe_core.ranks import Ranks
from uwe_core.types import RaggedTokens


class StepLimits(BaseModel):
    """What bounds a step's memory and decides its speed; the result differs by rounding alone.

    Attributes:
        tokens_per_chunk: of texts that the encoder takes at once, padding counted.
        pairs_per_block: of tokens that are compared at once, padding counted. The default suits a CPU's cache; a GPU
            wants more.
        pairs_kept: of tokens whose dot products are kept for the gradient, at 4 bytes and a little more for each.
        bytes_kept: of the encoder's graphs of computation; chunks beyond that go through the encoder twice. 0 keeps
            none, which needs the least memory.
        precision: of the encoder's products; the interaction and the loss run in float32 at least.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    tokens_per_chunk: int = Field(default=TOKENS_PER_BATCH, ge=1)
    pairs_per_block: int = Field(default=2**18, ge=1)
    pairs_kept: int = Field(default=2**27, ge=0)
    bytes_kept: int = Field(default=2 * 2**30, ge=0)
    precision: Precision = "float32"


def batch_loss(
    encoder: TokenEncoder, batch: PreparedBatch, config: LossConfig, limits: StepLimits | None = None
) -> BatchLoss:
    """The loss of a batch with everything in memory, to be differentiated: what `cached_step` must equal.

    Chunks are those of `cached_step`, so that dropout draws the same random numbers.
    """
    limits = limits or StepLimits()
    counts = [len(ids) for ids in batch.token_ids]
    chunks = list(length_sorted_batches(counts, limits.tokens_per_chunk))
    embeddings = [
        encode_chunk(encoder, [batch.token_ids[text] for text in chunk], limits.precision) for chunk in chunks
    ]
    packed = PackedTokens.from_chunks(embeddings, chunks, counts)

    def loss_of(objective: Objective) -> ContrastiveLoss:
        queries, targets = (
            packed.group(texts, np.arange(len(texts))) for texts in (objective.query_texts, objective.target_texts)
        )
        forward = interact(config.interaction, queries.tokens, targets.tokens, queries.mask, targets.mask)
        backward = interact(config.interaction, targets.tokens, queries.tokens, targets.mask, queries.mask)
        return objective_loss(objective, forward, backward)

    return sum_of_terms(batch.objectives, loss_of)


def cached_step(
    encoder: TokenEncoder,
    batch: PreparedBatch,
    config: LossConfig,
    limits: StepLimits | None = None,
    ranks: Ranks | None = None,
    *,
    with_entropy: bool = False,
) -> BatchLoss:
    """Add the gradients of the batch's loss to those of the encoder's weights, in bounded memory.

    With several ranks, which all call it with the same batch, each adds a part: `GradientSum` makes it whole.

    Args:
        encoder: whose weights gather gradients.
        batch: the texts, and which belong together.
        config: the loss.
        limits: of memory.
        ranks: that share the encoder's work; None: this process is alone.
        with_entropy: measure the attention too.

    Returns:
        The loss, without a graph of computation, on the encoder's device: nothing here waits for its value.
    """
    limits = limits or StepLimits()
    encoding = encode_in_chunks(
        encoder, batch.token_ids, limits.tokens_per_chunk, limits.precision, limits.bytes_kept, ranks
    )
    loss, gradient = token_gradients(
        encoding.tokens, batch.objectives, config.interaction, limits.pairs_per_block, limits.pairs_kept
    )
    encoding.backward(encoder, gradient)
    if with_entropy:
        return replace(loss, entropies=graph_entropies(encoding.tokens, batch.objectives, config.interaction))
    return loss


def token_gradients(
    tokens: PackedTokens,
    objectives: Sequence[Objective],
    interaction: InteractionConfig,
    pairs_per_block: int,
    pairs_kept: int = 0,
) -> tuple[BatchLoss, RaggedTokens]:
    """The loss of a batch, and its gradient with respect to each token embedding.

    Args:
        tokens: of the batch's texts, without a graph of computation.
        objectives: the terms of the loss.
        interaction: the score.
        pairs_per_block: of tokens that are compared at once.
        pairs_kept: of tokens whose dot products are kept until the gradient.
    """
    gradient = torch.zeros_like(tokens.embeddings)
    # Both sides of a block are bounded alike, so its pairs are bounded by the square.
    side = isqrt(pairs_per_block)

    def loss_of(objective: Objective) -> ContrastiveLoss:
        queries, targets = (tokens.groups(texts, side) for texts in (objective.query_texts, objective.target_texts))
        kept = KeptBlocks(pairs_kept)
        scores = scores_in_blocks(interaction, queries, targets, kept)
        leaves = [direction.requires_grad_() for direction in scores]
        loss = objective_loss(objective, scores.forward, scores.backward)
        # a loss of one direction has no gradient for the other
        of_scores = torch.autograd.grad(objective.config.alpha * loss.value, leaves, allow_unused=True)
        backward_in_blocks(interaction, queries, targets, of_scores, gradient, kept)
        return loss._replace(value=loss.value.detach())

    return sum_of_terms(objectives, loss_of), gradient
