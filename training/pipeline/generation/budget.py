"""Budget: how much a language model may cost, and what it has cost."""

from __future__ import annotations

from dataclasses import dataclass

from training.pipeline.generation.answers import Tokens
from uwe_core.errors import BudgetError

_MILLION = 1_000_000


@dataclass(frozen=True)
class Limits:
    """The most tokens and money to spend, None for no limit; prices are per million tokens."""

    tokens: int | None = None
    money: float | None = None
    input_price: float = 0.0
    output_price: float = 0.0

    def cost(self, used: Tokens) -> float:
        """What tokens cost."""
        return (used.input * self.input_price + used.output * self.output_price) / _MILLION

    def exceeded_by(self, used: Tokens) -> bool:
        """Whether so many tokens are more than allowed."""
        too_many = self.tokens is not None and used.total > self.tokens
        return too_many or (self.money is not None and self.cost(used) > self.money)


class Budget:
    """Tokens spent, those set aside for requests under way, and the limits for both together.

    Args:
        limits: what may be spent.
        spent: what was spent before.
        largest: the most that one request took before; the next is expected to take as much.
    """

    def __init__(self, limits: Limits, spent: Tokens, largest: Tokens) -> None:
        self._limits = limits
        self._spent = spent
        self._largest = largest
        self._reserved = Tokens()

    def reserve(self, guess: Tokens) -> Tokens:
        """Set tokens aside for a request.

        Args:
            guess: what it might take, to go by while no request has taken more.

        Returns:
            What was set aside, to be handed to `settle`.

        Raises:
            BudgetError: it would not fit.
        """
        expected = guess.at_least(self._largest)
        needed = self._spent + self._reserved + expected
        if self._limits.exceeded_by(needed):
            raise BudgetError(self._describe(expected))
        self._reserved += expected
        return expected

    def settle(self, reserved: Tokens, used: Tokens) -> None:
        """A request has ended and took `used`."""
        self._reserved -= reserved
        self._spent += used
        self._largest = self._largest.at_least(used)

    def _describe(self, expected: Tokens) -> str:
        limits, parts = self._limits, []
        if limits.tokens is not None:
            parts.append(f"{self._spent.total:,} of {limits.tokens:,} tokens are spent")
        if limits.money is not None:
            parts.append(f"{limits.cost(self._spent):.4f} of {limits.money:.4f} are spent")
        waiting = f"{self._reserved.total:,} tokens set aside for requests under way"
        return (
            f"the budget does not cover the next request: {' and '.join(parts)}, {waiting}, and it may take "
            f"{expected.total:,} more; all answers are kept, a larger budget goes on from here"
        )
