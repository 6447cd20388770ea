"""The one interface of everything that WorkBench can judge."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from uwe_core.types import Scores


class RankingModel(Protocol):
    """Scores texts against texts.

    Attributes:
        name: shown in tables.
        fingerprint: changes when the scores would; finished results are reused while it stays.
        seen_spaces: target spaces that its training saw; None where nobody knows.
    """

    name: str
    fingerprint: str
    seen_spaces: frozenset[str] | None

    def scores(self, queries: Sequence[str], targets: Sequence[str], task: str) -> Scores:
        """Higher is better. Called with chunks of a data set's queries and always all of its targets."""
        ...
