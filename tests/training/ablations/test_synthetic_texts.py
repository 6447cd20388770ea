"""Which texts stay of a share, against an oracle that goes edge by edge."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.ablations.synthetic_texts import (
    SYNTHETIC_SOURCES,
    fingerprint_with_share,
    is_kept,
    with_synthetic_share,
)
from uwe_core.graph import SKILL_EDGES_SCHEMA, SKILLS_SCHEMA, read_graphs

SOURCES = (*SYNTHETIC_SOURCES, "onet", "skillskape", "description")
EDGES = st.lists(st.tuples(st.integers(0, 4), st.text("ab", max_size=4), st.sampled_from(SOURCES)), max_size=30)


def table(edges: list[tuple[int, str, str]]) -> pa.Table:
    rows = [
        {"skill_id": skill, "text": text, "source": source, "group": "", "confidence": 1.0}
        for skill, text, source in edges
    ]
    return pa.Table.from_pylist(rows, schema=SKILL_EDGES_SCHEMA)


def edges_of(found: pa.Table) -> list[tuple[int, str, str]]:
    return [(row["skill_id"], row["text"], row["source"]) for row in found.to_pylist()]


@given(EDGES, st.floats(0, 1))
def test_synthetic_edges_stay_or_go_with_their_text_and_real_ones_always_stay(
    edges: list[tuple[int, str, str]], share: float
) -> None:
    wanted = [edge for edge in edges if edge[2] not in SYNTHETIC_SOURCES or is_kept(edge[1], share)]
    assert edges_of(with_synthetic_share(table(edges), share)) == wanted


@given(EDGES)
def test_all_and_none(edges: list[tuple[int, str, str]]) -> None:
    assert edges_of(with_synthetic_share(table(edges), 1.0)) == edges
    real = [edge for edge in edges if edge[2] not in SYNTHETIC_SOURCES]
    assert edges_of(with_synthetic_share(table(edges), 0.0)) == real


@given(st.text(), st.floats(0, 1), st.floats(0, 1))
def test_what_a_smaller_share_keeps_a_larger_one_keeps_too(text: str, one: float, other: float) -> None:
    smaller, larger = sorted((one, other))
    assert is_kept(text, larger) or not is_kept(text, smaller)
    assert is_kept(f" {text.upper()}", one) == is_kept(text.upper(), one)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_share_is_about_that_share(share: float) -> None:
    kept = sum(is_kept(f"text {number}", share) for number in range(5000))
    assert kept / 5000 == pytest.approx(share, abs=0.03)


def test_the_choice_is_fixed() -> None:
    assert [text for text in "abcdefgh" if is_kept(text, 0.5)] == ["a", "c", "d", "e", "g"]


def test_fingerprints_differ_by_share_and_all_is_as_it_was() -> None:
    found = {fingerprint_with_share(graphs, share) for graphs in ("one", "other") for share in (0.0, 0.25, 0.5, 1.0)}
    assert len(found) == 8
    assert fingerprint_with_share("one", 1.0) == "one"


def test_graphs_are_read_with_the_edges_that_remain(tmp_path: Path) -> None:
    skills = [{"skill_id": number, "uri": f"u{number}", "label": f"s{number}", "description": ""} for number in (0, 1)]
    pq.write_table(pa.Table.from_pylist(skills, schema=SKILLS_SCHEMA), tmp_path / "skills.parquet")
    pq.write_table(
        table([(0, "real", "onet"), (1, "real", "matched"), (1, "new", "generated")]), tmp_path / "job.parquet"
    )
    job = read_graphs(tmp_path, lambda edges: with_synthetic_share(edges, 0.0))["job"]
    assert (list(job.queries), list(job.targets), job.edges.tolist()) == (["s0", "s1"], ["real"], [[0, 0]])
