"""The leak check: no test text in any form of writing gets into a graph, and the trainer looks again."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.pipeline.assemble import one_form, without_leaks
from training.pipeline.leaks import LeakCheck, leak_key, local_leak_check, sample_leak_check
from uwe_core.errors import LeakError
from uwe_core.graph import BipartiteGraph
from uwe_core.sample import sample_jobs, sample_rows, sample_skills

CHECK = LeakCheck({"ward nurse": "a rule", "fire chief": "another"})


@pytest.mark.parametrize("text", ["Ward nurse", "  ward\u00a0 NURSE\n", "\uff37ard nurse", "\ufb01re chief"])
def test_case_whitespace_and_compatibility_forms_do_not_hide_a_text(text: str) -> None:
    assert CHECK.rule(text) is not None


@given(st.text())
def test_a_key_is_its_own_key(text: str) -> None:
    assert leak_key(leak_key(text)) == leak_key(text)


def test_leaks_are_dropped_and_counted_by_rule_and_source() -> None:
    rows = [("Ward Nurse", 1, "a"), ("Ward Nurse", 2, "a"), ("ward nurse", 1, "b"), ("other", 1, "a"),
            ("fire chief", 3, "description")]  # fmt: skip
    edges = pl.DataFrame(rows, schema=["text", "skill_id", "source"], orient="row")
    counts: Counter[str] = Counter()
    kept = without_leaks(edges, CHECK, ["text"], counts)
    assert kept["text"].to_list() == ["other", "fire chief"]
    assert counts == {"leaks dropped: a rule in a": 1, "leaks dropped: a rule in b": 1}


def test_forms_that_differ_in_case_become_the_first() -> None:
    edges = pl.DataFrame({"text": ["Nurse", "nurse ", "NURSE", "welder"]})
    assert one_form(edges)["text"].to_list() == ["Nurse", "Nurse", "Nurse", "welder"]


def graph(targets: list[str], source: str = "s", queries: list[str] | None = None) -> BipartiteGraph:
    edges = np.array([[0, number] for number in range(len(targets))])
    return BipartiteGraph(
        "g", queries or ["ward nurse"], targets, edges, [source] * len(targets), [""] * len(targets), queries is None
    )


def test_training_is_refused_with_a_leak_and_only_then() -> None:
    CHECK.refuse([graph(["other"]), graph(["ward nurse"], source="description"), graph(["other"], queries=["fine"])])
    with pytest.raises(LeakError, match="'Fire Chief', which is a test text: another"):
        CHECK.refuse([graph(["other", "Fire Chief"])])
    with pytest.raises(LeakError, match="ward nurse"):
        CHECK.refuse([graph(["other"], queries=["ward nurse"])])


def test_the_sample_is_tested_on_its_jobs_alternatives_titles_and_sentences() -> None:
    check = sample_leak_check()
    texts = [*sample_jobs().texts, *(row["title"] for row in sample_rows("vacancy_titles"))]
    texts += [row["text"] for row in sample_rows("sentences")]
    texts += [label for row in sample_rows("skills") for label in row["alt_labels"].split("|")]
    assert all(check.rule(text) for text in texts)
    assert sum(check.rule(text) is not None for text in sample_skills().texts) < 5


@pytest.mark.data
def test_every_release_and_every_annotated_file_is_covered(data_dir: Path) -> None:
    check = local_leak_check(data_dir)
    assert Counter(check.rules.values()).keys() == {
        "ESCO occupation label", "ESCO alternative label of a skill", "JobBERT title", "SkillSpan sentence",
    }  # fmt: skip
    assert len(check.rules) > 100_000
