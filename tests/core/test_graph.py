"""Bipartite graphs: distinct nodes, distinct edges, neighbours of both sides, and the folder they are read from."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from uwe_core.errors import ArtefactError
from uwe_core.graph import SKILL_EDGES_SCHEMA, SKILLS_SCHEMA, TEXT_EDGES_SCHEMA, BipartiteGraph, read_graphs

EDGES = st.lists(st.tuples(st.integers(0, 4), st.sampled_from("abcdef")), max_size=30)


def table(edges: list[tuple[int, str]]) -> pa.Table:
    rows = [
        {"skill_id": skill, "text": text, "source": f"from {text}", "group": text.upper(), "confidence": 1.0}
        for skill, text in edges
    ]
    return pa.Table.from_pylist(rows, schema=SKILL_EDGES_SCHEMA)


def skills(count: int) -> pa.Table:
    rows = [{"skill_id": n, "uri": f"uri:{n}", "label": f"skill {n}", "description": "x"} for n in range(count)]
    return pa.Table.from_pylist(rows, schema=SKILLS_SCHEMA)


@given(EDGES)
def test_nodes_and_edges_are_distinct_and_neighbours_are_the_edges(edges: list[tuple[int, str]]) -> None:
    graph = BipartiteGraph.from_table("job", table(edges), [f"skill {number}" for number in range(5)])
    assert list(graph.targets) == list(dict.fromkeys(text for _, text in edges))
    found = [(int(skill), graph.targets[target]) for skill, target in graph.edges]
    assert sorted(found) == sorted(set(edges))
    assert graph.sources == [f"from {text}" for text in graph.targets]
    assert graph.groups == [text.upper() for text in graph.targets]
    starts, targets = graph.targets_of
    assert len(starts) == 6
    for skill in range(5):
        neighbours = [graph.targets[target] for target in targets[starts[skill] : starts[skill + 1]]]
        assert sorted(neighbours) == sorted({text for other, text in edges if other == skill})
    starts, queries = graph.queries_of
    for number, text in enumerate(graph.targets):
        assert queries[starts[number] : starts[number + 1]].tolist() == sorted(
            {s for s, other in edges if other == text}
        )


def test_a_folder_gives_graphs_of_skills_and_of_other_texts(tmp_path: Path) -> None:
    pq.write_table(skills(2), tmp_path / "skills.parquet")
    pq.write_table(table([(1, "a")]), tmp_path / "job.parquet")
    row = {"query": "sr nurse", "text": "nurse", "source": "s", "group": "g", "confidence": 1.0}
    pq.write_table(pa.Table.from_pylist([row], schema=TEXT_EDGES_SCHEMA), tmp_path / "title.parquet")
    graphs = read_graphs(tmp_path)
    assert list(graphs) == ["job", "title"]
    assert graphs["job"].queries == ["skill 0", "skill 1"]
    assert (graphs["title"].queries, graphs["title"].of_skills) == (["sr nurse"], False)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "skills.parquet cannot be read"),
        ({"skills": skills(1)}, "holds no graph"),
        ({"skills": skills(2).slice(1), "job": table([])}, "does not number"),
        ({"skills": skills(1), "job": table([(1, "a")])}, "names a skill that is not among the 1"),
        ({"skills": skills(1), "job": pa.table({"x": [1]})}, "columns of no graph"),
    ],
)
def test_a_folder_of_anything_else_is_refused(files: dict[str, pa.Table], message: str, tmp_path: Path) -> None:
    for name, content in files.items():
        pq.write_table(content, tmp_path / f"{name}.parquet")
    with pytest.raises(ArtefactError, match=message):
        read_graphs(tmp_path)
