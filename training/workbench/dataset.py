"""RankingDataset: the queries, targets and positives of one data set of one task, and how raw pairs become one."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

from uwe_core.errors import DataError
from uwe_core.text import same_text_key

Split = Literal["validation", "test"]
# `selecting` may choose temperatures, recipes and checkpoints; `reporting` only reports.
Half = Literal["all", "selecting", "reporting"]


@dataclass(frozen=True)
class RankingDataset:
    """One data set of WorkBench, ready to be ranked.

    Attributes:
        task: such as `skillextract`; data sets of one task are averaged before tasks are.
        name: such as `skillextract_tech`.
        target_space: whose targets they are, so that a report can say which spaces training never saw.
        positives: per query the indices of its relevant targets, ascending, at least one.
        exclude_query: the target whose text is the query is not ranked.
        counts: what was merged or dropped on the way from the raw file.
    """

    task: str
    name: str
    split: Split
    target_space: str
    queries: Sequence[str]
    targets: Sequence[str]
    positives: Sequence[Sequence[int]]
    exclude_query: bool = False
    half: Half = "all"
    counts: Mapping[str, int] | None = None

    @property
    def title(self) -> str:
        """Name, split and half in one word."""
        return f"{self.name}/{self.split}" + ("" if self.half == "all" else f"/{self.half}")

    @cached_property
    def fingerprint(self) -> str:
        """Content hash of queries, targets and positives."""
        content = json.dumps([self.queries, self.targets, self.positives, self.exclude_query])
        return hashlib.sha256(content.encode()).hexdigest()

    @cached_property
    def targets_by_text(self) -> dict[str, list[int]]:
        """Target indices by the key of their text."""
        by_text: dict[str, list[int]] = {}
        for index, text in enumerate(self.targets):
            by_text.setdefault(same_text_key(text), []).append(index)
        return by_text

    def take(self, half: Half) -> RankingDataset:
        """The queries of one half, by a fixed hash of their text; equal texts stay together."""
        if half == "all":
            return self
        kept = [position for position, query in enumerate(self.queries) if half_of(query) == half]
        return replace(self.select(kept), half=half)

    def select(self, kept: Sequence[int]) -> RankingDataset:
        """Only some of the queries."""
        return replace(
            self,
            queries=[self.queries[position] for position in kept],
            positives=[self.positives[position] for position in kept],
        )


@dataclass(frozen=True)
class AbsentDataset:
    """A data set of WorkBench that is not on this machine, and what would bring it."""

    task: str
    name: str
    split: Split
    reason: str


@dataclass(frozen=True)
class DatasetEntry:
    """A data set that may be loaded: its name is known before any file is read."""

    task: str
    name: str
    split: Split
    read: Callable[[], RankingDataset | AbsentDataset]


def half_of(text: str) -> Half:
    """The half a validation text belongs to, for ever the same."""
    return "selecting" if hashlib.sha256(text.encode()).digest()[0] % 2 == 0 else "reporting"


def assemble(  # noqa: PLR0913 - all by keyword
    *,
    task: str,
    name: str,
    split: Split,
    target_space: str,
    targets: Mapping[str, str],
    pairs: Iterable[tuple[str, str]],
    merge_queries: bool = True,
    exclude_query: bool = False,
) -> RankingDataset:
    """A data set from raw pairs. Texts are stripped; equal targets, and unless told otherwise equal queries, merged.

    Args:
        task: see `RankingDataset`.
        name: see `RankingDataset`.
        split: see `RankingDataset`.
        target_space: see `RankingDataset`.
        targets: text by id, in the order of the target space.
        pairs: query text and id of a relevant target.
        merge_queries: false keeps one query per pair (JobNorm counts rows).
        exclude_query: see `RankingDataset`.

    Raises:
        DataError: no pair is left.
    """
    counts: Counter[str] = Counter()
    index_of_text: dict[str, int] = {}
    index_of_id: dict[str, int] = {}
    for identifier, raw in targets.items():
        index_of_id[identifier] = index_of_text.setdefault(raw.strip(), len(index_of_text))
    counts["equal targets merged"] = len(targets) - len(index_of_text)
    queries, positives = _queries_of(pairs, index_of_id, merge_queries, counts)
    if not queries:
        raise DataError(name, None, f"no query of the {split} split has a known target")
    return RankingDataset(
        task=task,
        name=name,
        split=split,
        target_space=target_space,
        queries=queries,
        targets=list(index_of_text),
        positives=[sorted(row) for row in positives],
        exclude_query=exclude_query,
        counts={what: count for what, count in counts.items() if count},
    )


def _queries_of(
    pairs: Iterable[tuple[str, str]], index_of_id: Mapping[str, int], merge_equal: bool, counts: Counter[str]
) -> tuple[list[str], list[set[int]]]:
    """Queries in the order of the pairs with the indices of their targets; pairs that tell nothing new are counted."""
    queries: list[str] = []
    positives: list[set[int]] = []
    position_of: dict[str, int] = {}
    for raw, identifier in pairs:
        query = raw.strip()
        if not query:
            counts["pairs with an empty query dropped"] += 1
        elif identifier not in index_of_id:
            counts["pairs with an unknown target dropped"] += 1
        else:
            position = position_of.setdefault(query, len(queries)) if merge_equal else len(queries)
            if position == len(queries):
                queries.append(query)
                positives.append(set())
            counts["equal pairs merged"] += index_of_id[identifier] in positives[position]
            positives[position].add(index_of_id[identifier])
    return queries, positives
