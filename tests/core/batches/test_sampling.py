"""Batches from bipartite graphs: what is drawn, how often, what belongs together, and what is put beside a sentence."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from uwe_core.batches.batch import Batch, GraphBatch
from uwe_core.batches.sampling import BatchSampler, SamplingConfig
from uwe_core.errors import ArtefactError
from uwe_core.graph import BipartiteGraph

SKILLS = 6
EDGES = st.lists(st.tuples(st.integers(0, SKILLS - 1), st.integers(0, 8)), max_size=40)
STEPS = st.integers(0, 50)


def graph(name: str, edges: list[tuple[int, int]], *, of_skills: bool = True, targets: int = 9) -> BipartiteGraph:
    """Targets alternate between two sources, and three in turn are a group; the first three are in none."""
    return BipartiteGraph(
        name,
        [f"{'skill' if of_skills else name + ' query'} {number}" for number in range(SKILLS)],
        [f"{name} {number}" for number in range(targets)],
        np.array(sorted(set(edges)), dtype=np.int64).reshape(-1, 2),
        ["left" if number % 2 else "right" for number in range(targets)],
        [f"group {number // 3}" if number >= 3 else "" for number in range(targets)],
        of_skills=of_skills,
    )


def texts_of(batch: Batch, part: GraphBatch) -> tuple[list[str], list[str]]:
    """The queries' and the targets' own texts, without what stands beside them."""
    queries, targets = (
        [batch.texts[number].text for number in side.tolist()] for side in (part.query_texts, part.target_texts)
    )
    return queries, targets


def known(graphs: list[BipartiteGraph]) -> dict[str, set[tuple[str, str]]]:
    return {one.name: {(one.queries[query], one.targets[target]) for query, target in one.edges} for one in graphs}


@given(EDGES, EDGES, EDGES, STEPS, st.integers(1, SKILLS), st.sampled_from([None, 0.2, 0.5]))
def test_nodes_are_distinct_and_positives_are_every_edge_of_the_graph_between_them(
    job: list[tuple[int, int]],
    sentence: list[tuple[int, int]],
    title: list[tuple[int, int]],
    step: int,
    size: int,
    share: float | None,
) -> None:
    graphs = [graph("job", [*job, (0, 0)]), graph("sentence", sentence), graph("title", title, of_skills=False)]
    config = SamplingConfig(skills_per_batch=size, queries_per_batch=size, largest_source_share=share)
    batch = BatchSampler(graphs, config, seed=7).batch(step)
    assert len(set(batch.texts)) == len(batch.texts)
    edges = known(graphs)
    for part in batch.graphs:
        queries, targets = texts_of(batch, part)
        assert 0 < len(queries) <= size
        assert len(set(queries)) == len(queries)
        assert len(set(targets)) == len(targets)
        for row, query in enumerate(queries):
            assert (query, targets[part.sampled[row]]) in edges[part.name]
            for column, target in enumerate(targets):
                assert part.positives[row, column] == ((query, target) in edges[part.name])
        assert set(part.sampled.tolist()) == set(range(len(targets)))


@given(EDGES, EDGES, STEPS)
def test_without_caps_only_a_skill_without_an_edge_is_left_out_and_skills_are_shared(
    job: list[tuple[int, int]], sentence: list[tuple[int, int]], step: int
) -> None:
    graphs = [graph("job", [*job, (0, 0)]), graph("sentence", sentence)]
    batch = BatchSampler(graphs, SamplingConfig(skills_per_batch=SKILLS), seed=0).batch(step)
    linked = {f"skill {skill}" for skill, _ in [*job, (0, 0), *sentence]}
    for part in batch.graphs:
        queries = texts_of(batch, part)[0]
        assert set(queries) == {query for query, _ in known(graphs)[part.name]}
        assert part.left_out == len(linked) - len(queries)
    assert sum(text.text.startswith("skill") for text in batch.texts) == len(linked)


def test_the_same_seed_and_step_give_the_same_batch_in_any_order_and_others_another() -> None:
    graphs = [graph("job", [(skill, target) for skill in range(SKILLS) for target in range(9)])]
    config = SamplingConfig(skills_per_batch=4)
    first, second = BatchSampler(graphs, config, seed=3), BatchSampler(graphs, config, seed=3)
    forth = [first.batch(step) for step in range(20)]
    back = [second.batch(step) for step in reversed(range(20))][::-1]
    for one, other in zip(forth, back, strict=True):
        assert one.texts == other.texts
        for mine, yours in zip(one.graphs, other.graphs, strict=True):
            np.testing.assert_array_equal(mine.positives, yours.positives)
            np.testing.assert_array_equal(mine.sampled, yours.sampled)
    assert all(one.texts != other.texts for one, other in pairwise(forth))
    assert BatchSampler(graphs, config, seed=4).batch(0).texts != forth[0].texts


def test_skills_and_their_neighbours_are_drawn_uniformly() -> None:
    # skill 0 has nine neighbours, skill 1 has two, skill 2 has none anywhere
    edges = [*((0, target) for target in range(9)), (1, 0), (1, 8), (3, 1), (4, 1), (5, 1)]
    sampler = BatchSampler([graph("job", edges)], SamplingConfig(skills_per_batch=2), seed=11)
    steps = 4000
    skills: Counter[str] = Counter()
    neighbours: dict[str, Counter[str]] = {f"skill {number}": Counter() for number in range(SKILLS)}
    for step in range(steps):
        batch = sampler.batch(step)
        (part,) = batch.graphs
        queries, targets = texts_of(batch, part)
        skills.update(queries)
        for row, query in enumerate(queries):
            neighbours[query][targets[part.sampled[row]]] += 1
    assert_uniform(skills, 5)
    assert_uniform(neighbours["skill 0"], 9)
    assert_uniform(neighbours["skill 1"], 2)


def assert_uniform(counts: Counter[str], kinds: int) -> None:
    """Pearson's statistic stays below its mean by five standard deviations of the chi-square distribution."""
    expected = counts.total() / kinds
    assert len(counts) == kinds
    statistic = sum((count - expected) ** 2 / expected for count in counts.values())
    assert statistic < (kinds - 1) + 5 * (2 * (kinds - 1)) ** 0.5


@given(EDGES, STEPS, st.sampled_from([0.1, 0.34, 0.5, 1.0]), st.sampled_from([None, 0.2, 0.4]))
def test_no_source_and_no_group_has_more_targets_than_its_share(
    edges: list[tuple[int, int]], step: int, source_share: float, group_share: float | None
) -> None:
    job = graph("job", [*edges, (0, 0)])
    config = SamplingConfig(skills_per_batch=5, largest_source_share=source_share, largest_group_share=group_share)
    batch = BatchSampler([job], config, seed=1).batch(step)
    (part,) = batch.graphs
    numbers = [job.targets.index(target) for target in texts_of(batch, part)[1]]
    for labels, share in ((job.sources, source_share), (job.groups, group_share)):
        counts = Counter(labels[number] for number in numbers if labels[number])
        if share is not None:
            assert max(counts.values(), default=0) <= max(1, share * 5)


def test_a_capped_target_is_drawn_again_and_a_shared_one_is_no_further_target() -> None:
    # every skill knows one target of its own on the left, and all share target 0 on the right
    edges = [(skill, target) for skill in range(SKILLS) for target in (0, 2 * skill + 1)]
    job = graph("job", edges, targets=12)
    config = SamplingConfig(skills_per_batch=SKILLS, largest_source_share=0.34)
    for step in range(20):
        batch = BatchSampler([job], config, seed=0).batch(step)
        (part,) = batch.graphs
        queries, targets = texts_of(batch, part)
        assert len(targets) <= 3  # two of the left and the shared one
        assert len(queries) >= 5  # eight draws nearly always find the shared one


@given(EDGES, EDGES, STEPS)
def test_a_sentence_stands_beside_none_that_has_a_skill_of_the_batch_and_beside_no_node(
    job: list[tuple[int, int]], sentence: list[tuple[int, int]], step: int
) -> None:
    graphs = [graph("job", [*job, (0, 0)]), graph("sentence", [*sentence, (1, 1)])]
    config = SamplingConfig(skills_per_batch=3, augmentation_probability=1.0)
    batch = BatchSampler(graphs, config, seed=5).batch(step)
    skills = {text.text for text in batch.texts if text.text.startswith("skill")}
    nodes = {text.text for text in batch.texts}
    shown = {target for skill, target in known(graphs)["sentence"] if skill in skills}
    harmless = set(graphs[1].targets) - shown - nodes
    for text in batch.texts:
        beside = text.prefix or text.suffix
        assert not (text.prefix and text.suffix)
        assert beside in harmless | {""}
        if harmless and text.text.startswith("sentence"):
            assert beside
        if not text.text.startswith("sentence"):
            assert not beside


def test_augmentation_is_as_often_as_asked_half_of_it_before_the_sentence() -> None:
    edges = [(skill, skill) for skill in range(SKILLS)]
    sampler = BatchSampler([graph("sentence", edges, targets=40)], SamplingConfig(skills_per_batch=SKILLS), seed=2)
    texts = [text for step in range(500) for text in sampler.batch(step).texts if text.text.startswith("sentence")]
    before, after = (sum(bool(getattr(text, side)) for text in texts) for side in ("prefix", "suffix"))
    assert (before + after) / len(texts) == pytest.approx(0.8, abs=0.03)
    assert before / (before + after) == pytest.approx(0.5, abs=0.05)
    off = SamplingConfig(augmentation_probability=0)
    plain = BatchSampler([graph("sentence", edges, targets=40)], off, seed=2).batch(0)
    assert not any(text.prefix or text.suffix for text in plain.texts)


def test_a_text_of_another_graph_in_the_batch_stands_beside_no_sentence() -> None:
    """Sentence 0 is the only one free of skill 1, and as a job title it is a node of the batch all the same."""
    sentence = graph("sentence", [(1, 1)], targets=2)
    job = graph("job", [(1, 0)], targets=1)
    job = BipartiteGraph("job", job.queries, ["sentence 0"], job.edges, [""], [""], of_skills=True)
    config = SamplingConfig(augmentation_probability=1.0)
    batch = BatchSampler([sentence, job], config, seed=0).batch(0)
    assert not any(text.prefix or text.suffix for text in batch.texts)
    assert len(batch.texts) == 3


def test_graphs_without_edges_or_with_other_skills_are_refused() -> None:
    with pytest.raises(ArtefactError, match="no graph has an edge"):
        BatchSampler([graph("job", [])], SamplingConfig(), seed=0)
    job = graph("job", [(0, 0)])
    other = BipartiteGraph("sentence", ["a", "b"], job.targets, job.edges, job.sources, job.groups, of_skills=True)
    with pytest.raises(ArtefactError, match="different skills"):
        BatchSampler([job, other], SamplingConfig(), seed=0)
