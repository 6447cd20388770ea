"""Scores that compare token with token, and their gradients, block by block and without a graph of computation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

from uwe_core.gradients.block_side import BlockSide
from uwe_core.gradients.kept_blocks import KeptBlocks
from uwe_core.gradients.max_block import max_block, max_block_gradient
from uwe_core.gradients.packed_tokens import PaddedGroup
from uwe_core.gradients.pair_block import BlockDots, BlockPairs, PairBlock
from uwe_core.gradients.soft_block import soft_block, soft_block_gradient
from uwe_core.gradients.two_way_scores import TwoWayScores
from uwe_core.interaction import InteractionConfig
from uwe_core.types import RaggedTokens

# Shares in a softmax over a batch become as small as numbers can be, and a CPU takes fifty times as long over those.
SMALLEST_GRADIENT = 1e-16

_Memory: TypeAlias = Float[Tensor, "buffers pairs"]


class _Kernel(NamedTuple):
    """What differs between the kinds of score."""

    block: Callable[[BlockSide, BlockSide, Float[Tensor, " pairs"], _Memory], PairBlock]
    gradient: Callable[[PairBlock, Sequence[BlockPairs | None], _Memory], tuple[BlockDots, BlockDots]]


_SOFT = _Kernel(soft_block, soft_block_gradient)
KERNELS = {
    "soft_late_interaction": _SOFT,
    "two_way_late_interaction": _SOFT,  # the mean of its two directions
    "max_sim": _Kernel(max_block, max_block_gradient),
}


@dataclass(frozen=True)
class TokenBlocks:
    """All queries beside all targets, in blocks of a group of each.

    Attributes:
        config: one that compares tokens.
        queries: one side of the blocks.
        targets: the other.
        memory: buffers as large as the largest block, used by one after the other: the cache keeps them.
    """

    config: InteractionConfig
    queries: Sequence[BlockSide]
    targets: Sequence[BlockSide]
    memory: _Memory

    @classmethod
    def of(
        cls, config: InteractionConfig, queries: Sequence[PaddedGroup], targets: Sequence[PaddedGroup]
    ) -> TokenBlocks:
        """The blocks that groups make."""
        scale = 1 / config.interaction_temperature if config.has_temperature else 1.0
        query_sides, target_sides = [BlockSide.of(group, scale) for group in queries], list(map(BlockSide.of, targets))
        rows, columns = (max(len(side.tokens) for side in sides) for sides in (query_sides, target_sides))
        return cls(config, query_sides, target_sides, queries[0].tokens.new_empty(4, rows * columns))

    def scores(self, kept: KeptBlocks) -> TwoWayScores:
        """Scores of both directions, and blocks for `add_gradients` as long as there is room."""
        shape = [sum(map(len, sides)) for sides in (self.queries, self.targets)]
        forward, backward = (self.memory.new_empty(sizes) for sizes in (shape, shape[::-1]))
        for row, query in enumerate(self.queries):
            for column, target in enumerate(self.targets):
                keeps = kept.has_room_for(len(query.tokens) * len(target.tokens))
                block = self._block(query, target, in_own_memory=keeps)
                if keeps:
                    kept.keep(row, column, block)
                found, found_back = (match.found for match in block.matches)
                forward[query.places[:, None], target.places] = self._reduced(
                    found.sum(dim=(0, 2)), query.lengths[:, None]
                )
                backward[target.places[:, None], query.places] = self._reduced(
                    found_back.sum(dim=(0, 2)), target.lengths
                ).T
        return self._mixed(forward, backward)

    def add_gradients(self, of_scores: Sequence[Tensor | None], of_tokens: RaggedTokens, kept: KeptBlocks) -> None:
        """Add to the gradients of the token embeddings, given those of the scores of each direction."""
        gradient = KERNELS[self.config.kind].gradient
        of_targets = [_SideGradient.zero(side) for side in self.targets]
        of_scores = [None if grad is None else _without_traces(grad) for grad in self._unmixed(of_scores)]
        for row, query in enumerate(self.queries):
            of_query = _SideGradient.zero(query)
            for column, target in enumerate(self.targets):
                block = kept.take(row, column) or self._block(query, target, in_own_memory=False)
                of_matches = self._of_matches(of_scores, query, target)
                of_dots, through_cosines = gradient(block, of_matches, self.memory[:, : block.dots.numel()])
                products = of_dots.view(len(query.tokens), len(target.tokens))
                of_query.add(products, target, through_cosines.sum(dim=(2, 3)))
                of_targets[column].add(products.T, query, through_cosines.sum(dim=(0, 1)))
            of_query.hand_on(of_tokens)
        for of_target in of_targets:
            of_target.hand_on(of_tokens)

    def _block(self, query: BlockSide, target: BlockSide, *, in_own_memory: bool) -> PairBlock:
        pairs = len(query.tokens) * len(target.tokens)
        out = self.memory.new_empty(pairs) if in_own_memory else self.memory[3, :pairs]
        return KERNELS[self.config.kind].block(query, target, out, self.memory[:3, :pairs])

    def _of_matches(
        self, of_scores: Sequence[Tensor | None], query: BlockSide, target: BlockSide
    ) -> list[BlockPairs | None]:
        forward, backward = of_scores
        of_found = None if forward is None else forward[query.places[:, None], target.places]
        of_found_back = None if backward is None else backward[target.places[:, None], query.places].T
        return [
            None if of_found is None else self._reduced(of_found, query.lengths[:, None]),
            None if of_found_back is None else self._reduced(of_found_back, target.lengths),
        ]

    def _reduced(self, summed: BlockPairs, lengths: Tensor) -> BlockPairs:
        return summed / lengths if self.config.query_reduction == "mean" or self._is_mean_of_both else summed

    @property
    def _is_mean_of_both(self) -> bool:
        return self.config.kind == "two_way_late_interaction"

    def _mixed(self, forward: Tensor, backward: Tensor) -> TwoWayScores:
        """The scores of the two directions of soft late interaction, or of their mean."""
        if not self._is_mean_of_both:
            return TwoWayScores(forward, backward)
        both = (forward + backward.T) / 2
        if self.config.query_reduction == "mean":
            return TwoWayScores(both, both.T)
        return TwoWayScores(both * _lengths(self.queries)[:, None], both.T * _lengths(self.targets)[:, None])

    def _unmixed(self, of_scores: Sequence[Tensor | None]) -> Sequence[Tensor | None]:
        """Gradients of what `_mixed` takes, given those of what it returns."""
        if not self._is_mean_of_both:
            return of_scores
        forward, backward = of_scores
        if self.config.query_reduction == "sum":
            forward = None if forward is None else forward * _lengths(self.queries)[:, None]
            backward = None if backward is None else backward * _lengths(self.targets)[:, None]
        parts = [grad for grad in (forward, None if backward is None else backward.T) if grad is not None]
        of_both = sum(parts[1:], start=parts[0]) / 2
        return of_both, of_both.T


@dataclass(frozen=True)
class _SideGradient:
    """The gradient of the tokens of one side, while blocks are being added."""

    side: BlockSide
    through_dots: Float[Tensor, "tokens dim"]
    through_cosines: Float[Tensor, "text_tokens texts"]

    @classmethod
    def zero(cls, side: BlockSide) -> _SideGradient:
        return cls(side, torch.zeros_like(side.tokens), torch.zeros_like(side.inverse_norms))

    def add(self, of_dots: Float[Tensor, "tokens others"], other: BlockSide, through_cosines: Tensor) -> None:
        self.through_dots.addmm_(of_dots, other.tokens)
        self.through_cosines.add_(through_cosines)

    def hand_on(self, of_tokens: RaggedTokens) -> None:
        """Add to the gradient of all packed tokens; a norm is in all cosines of its token."""
        of_norms = (self.through_cosines * self.side.inverse_norms.square()).flatten()[:, None]
        gradient = self.through_dots.addcmul_(of_norms, self.side.tokens, value=-1.0)
        of_tokens.index_add_(0, self.side.rows, gradient.mul_(self.side.scale))


def _lengths(sides: Sequence[BlockSide]) -> Float[Tensor, " texts"]:
    """Tokens of each text, by its place."""
    lengths = torch.cat([side.lengths for side in sides])
    return torch.empty_like(lengths).index_copy_(0, torch.cat([side.places for side in sides]), lengths)


def _without_traces(gradient: Tensor) -> Tensor:
    return gradient.masked_fill(gradient.abs() < SMALLEST_GRADIENT, 0.0)
