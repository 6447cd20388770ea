"""Answer: one query and its targets, whatever ranked them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


class Ranked(Protocol):
    """What the ranker's targets and those of the service have in common."""

    @property
    def id(self) -> str:
        """Of the target."""

    @property
    def text(self) -> str:
        """Of the target."""

    @property
    def score(self) -> float:
        """The interaction's own value."""

    @property
    def normalised_score(self) -> float:
        """In [-1, 1], comparable between queries."""

    @property
    def rank(self) -> int:
        """1 is best."""


@dataclass(frozen=True)
class Answer:
    """The targets of one query, best first.

    Attributes:
        truncated: the query was longer than the encoder's limit, and only its beginning was read.
    """

    query: str
    targets: Sequence[Ranked]
    truncated: bool
