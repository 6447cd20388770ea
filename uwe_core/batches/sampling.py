"""BatchSampler: batches around skills, the same for the same seed and step, so that resuming needs no random state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64
from numpy import ndarray
from pydantic import BaseModel, ConfigDict, Field

from uwe_core.batches.adjacency import edges_between, neighbours_at, with_an_edge
from uwe_core.batches.augmentation import augmented, harmless_targets
from uwe_core.batches.batch import Batch, BatchText, GraphBatch, TextNumbers
from uwe_core.errors import ArtefactError
from uwe_core.graph import BipartiteGraph

# How often a target is drawn for a query before the query is left out, where caps may refuse targets.
DRAWS_UNDER_CAPS = 8


class SamplingConfig(BaseModel):
    """How a batch is drawn from the graphs.

    Attributes:
        skills_per_batch: distinct skills, fewer where there are not so many.
        queries_per_batch: distinct queries of each graph whose queries are not skills.
        augmentation_probability: of a sentence of the batch getting another beside it.
        augmented_graph: the graph whose targets are sentences.
        largest_source_share: how many of a graph's targets in a batch may come from one source, as a share of the
            queries with an edge; at least one may. None: any number.
        largest_group_share: likewise for one group, such as an occupation.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    skills_per_batch: int = Field(default=512, ge=1)
    queries_per_batch: int = Field(default=256, ge=1)
    augmentation_probability: float = Field(default=0.8, ge=0, le=1)
    augmented_graph: str = "sentence"
    largest_source_share: float | None = Field(default=None, gt=0, le=1)
    largest_group_share: float | None = Field(default=None, gt=0, le=1)


class BatchSampler:
    """Draws distinct skills, and for each of them one neighbour in every graph (paper, section 5).

    Args:
        graphs: of skills, all with the same skills, or of other queries, which are drawn for themselves.
        config: how.
        seed: of all draws, not negative.

    Raises:
        ArtefactError: no graph has an edge, or two number the skills differently.
    """

    def __init__(self, graphs: Sequence[BipartiteGraph], config: SamplingConfig, seed: int) -> None:
        of_skills = [graph for graph in graphs if graph.of_skills]
        for graph in of_skills:
            if graph.queries != of_skills[0].queries:
                raise ArtefactError(f"the graphs '{graph.name}' and '{of_skills[0].name}' have different skills")
        if not any(len(graph.edges) for graph in graphs):
            raise ArtefactError("no graph has an edge to train on")
        self.graphs = tuple(graphs)
        self.config = config
        self.seed = seed
        self._linked = {graph.name: with_an_edge(graph.targets_of) for graph in graphs}
        self._skills = np.unique(np.concatenate([self._linked[graph.name] for graph in of_skills] or [_NONE]))

    def batch(self, step: int) -> Batch:
        """The batch of that step: a function of the seed and the step alone."""
        random = np.random.Generator(np.random.Philox(np.random.SeedSequence([self.seed, step])))
        skills = _draw_distinct(self._skills, self.config.skills_per_batch, random)
        sampled = [self._sample(graph, skills, random) for graph in self.graphs]
        return self._assemble([part for part in sampled if len(part.queries)], random)

    def _sample(
        self, graph: BipartiteGraph, skills: Int64[ndarray, " skills"], random: np.random.Generator
    ) -> _SampledEdges:
        linked = self._linked[graph.name]
        drawn = skills if graph.of_skills else _draw_distinct(linked, self.config.queries_per_batch, random)
        queries = drawn[np.isin(drawn, linked)]
        caps = _Caps(graph, self.config, len(queries))
        fractions = random.random((DRAWS_UNDER_CAPS if caps.any else 1, len(queries)))
        choices = neighbours_at(graph.targets_of, queries, fractions).T.tolist()
        # minus one: no target was found
        found = np.array([caps.first_allowed(row) for row in choices], dtype=np.int64)
        targets, places = np.unique(found[found >= 0], return_inverse=True)
        return _SampledEdges(graph, drawn, queries[found >= 0], targets, places.astype(np.int64))

    def _assemble(self, parts: Sequence[_SampledEdges], random: np.random.Generator) -> Batch:
        nodes = {text for part in parts for text in (*part.query_texts, *part.target_texts)}
        numbers = TextNumbers()
        graphs = [
            GraphBatch(
                name=part.graph.name,
                query_texts=numbers.of(map(BatchText, part.query_texts)),
                target_texts=numbers.of(self._augmented(part, nodes, random)),
                positives=edges_between(part.graph.targets_of, part.queries, part.targets, len(part.graph.targets)),
                sampled=part.places,
                left_out=len(part.drawn) - len(part.queries),
            )
            for part in parts
        ]
        return Batch(numbers.texts, graphs)

    def _augmented(self, part: _SampledEdges, nodes: set[str], random: np.random.Generator) -> list[BatchText]:
        graph = part.graph
        if graph.name != self.config.augmented_graph:
            return [BatchText(text) for text in part.target_texts]
        candidates = harmless_targets(graph, part.drawn, part.targets)
        probability = self.config.augmentation_probability
        return augmented(part.target_texts, graph.targets, candidates, probability, random, barred=nodes)


@dataclass(frozen=True)
class _SampledEdges:
    """What was drawn in one graph, as its numbers.

    Attributes:
        graph: the one.
        drawn: all queries that were drawn, with an edge in this graph or not.
        queries: those of them that got a target.
        targets: the targets they got, distinct.
        places: of each query's target among these.
    """

    graph: BipartiteGraph
    drawn: Int64[ndarray, " drawn"]
    queries: Int64[ndarray, " queries"]
    targets: Int64[ndarray, " targets"]
    places: Int64[ndarray, " queries"]

    @property
    def query_texts(self) -> list[str]:
        return [self.graph.queries[query] for query in self.queries]

    @property
    def target_texts(self) -> list[str]:
        return [self.graph.targets[target] for target in self.targets]


class _Caps:
    """Accepts targets one after the other for as long as no source and no group has too many of them."""

    def __init__(self, graph: BipartiteGraph, config: SamplingConfig, queries: int) -> None:
        shares = ((graph.sources, config.largest_source_share), (graph.groups, config.largest_group_share))
        self._limits = [(labels, max(1, int(share * queries))) for labels, share in shares if share is not None]
        self._counts: list[dict[str, int]] = [{} for _ in self._limits]
        self._accepted: set[int] = set()

    @property
    def any(self) -> bool:
        """Whether a target can be refused."""
        return bool(self._limits)

    def first_allowed(self, choices: Sequence[int]) -> int:
        """Accept the first of `choices` that the caps allow; minus one where they allow none."""
        return next((target for target in choices if self._accept(target)), -1)

    def _accept(self, target: int) -> bool:
        # An empty label is not a group of its own: such targets share nothing.
        if target not in self._accepted:
            labels = [labels[target] for labels, _ in self._limits]
            for label, (_, limit), counts in zip(labels, self._limits, self._counts, strict=True):
                if label and counts.get(label, 0) >= limit:
                    return False
            for label, counts in zip(labels, self._counts, strict=True):
                counts[label] = counts.get(label, 0) + 1
            self._accepted.add(target)
        return True


_NONE = np.empty(0, dtype=np.int64)


def _draw_distinct(
    nodes: Int64[ndarray, " nodes"], count: int, random: np.random.Generator
) -> Int64[ndarray, " drawn"]:
    return random.choice(nodes, min(count, len(nodes)), replace=False)
