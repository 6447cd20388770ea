"""KeptBlocks: blocks of pairs that the scores have made and the gradient need not make again."""

from __future__ import annotations

from dataclasses import dataclass, field

from uwe_core.gradients.pair_block import PairBlock


@dataclass
class KeptBlocks:
    """As many blocks as there is room for, the first ones.

    Attributes:
        room: of token pairs that may still be kept.
    """

    room: int
    _blocks: dict[tuple[int, int], PairBlock] = field(default_factory=dict)

    def has_room_for(self, pairs: int) -> bool:
        """Whether a block of so many token pairs could be kept."""
        return pairs <= self.room

    def keep(self, query: int, target: int, block: PairBlock) -> None:
        """Keep the block of two groups, by their numbers."""
        self.room -= block.dots.numel()
        self._blocks[query, target] = block

    def take(self, query: int, target: int) -> PairBlock | None:
        """Hand the block of two groups over, and forget it."""
        return self._blocks.pop((query, target), None)
