"""Aggregate: titles merge, the majority of their documents decides, and no title is on both sides of the split."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.pipeline.aggregate import EDGES_FILE, JOBS_FILE, aggregate, is_validation_group, vote
from training.pipeline.config import AggregateConfig
from training.pipeline.documents import Document, write_documents
from training.pipeline.extract import PREDICTIONS_FILE, PREDICTIONS_SCHEMA

GOLDEN = json.loads((Path(__file__).parents[2] / "golden/formulas.json").read_text())["majority_vote"]


def votes_of(documents: list[list[str]]) -> set[str]:
    numbers = {name: number for number, name in enumerate(sorted({name for found in documents for name in found}))}
    votes = pl.LazyFrame({"key": ["title"] * len(documents), "document": range(len(documents))})
    rows = [(place, numbers[name], 0.5) for place, found in enumerate(documents) for name in found]
    found = pl.LazyFrame(
        rows, schema={"document": pl.Int64, "skill_id": pl.Int32, "confidence": pl.Float32}, orient="row"
    )
    kept = vote(votes, found, 200).collect()["skill_id"].to_list()
    return {name for name, number in numbers.items() if number in kept}


@pytest.mark.parametrize(
    ("documents", "kept"),
    [
        (GOLDEN["duplicate_vacancies"], GOLDEN["strict_more_than_half"]),
        (GOLDEN["two_duplicates_strict"]["in"], GOLDEN["two_duplicates_strict"]["out"]),
        (GOLDEN["singleton_keeps_all"]["in"], GOLDEN["singleton_keeps_all"]["out"]),
    ],
)
def test_a_skill_is_kept_when_it_is_in_more_than_half_of_the_documents(
    documents: list[list[str]], kept: list[str]
) -> None:
    assert votes_of(documents) == set(kept)


PREDICTIONS = st.dictionaries(
    st.tuples(st.integers(0, 7), st.integers(0, 5)), st.integers(0, 10_000).map(lambda units: units / 10_000)
)


def slow_votes(titles: list[str], predictions: dict[tuple[int, int], float], most: int) -> dict[str, list[int]]:
    """The same, a title at a time; `titles` has one for each document."""
    of_documents: dict[int, dict[int, float]] = defaultdict(dict)
    for (document, skill), confidence in predictions.items():
        of_documents[document][skill] = confidence
    kept = {}
    for title in set(titles):
        documents = [place for place, other in enumerate(titles) if other == title and of_documents[place]]
        hits = Counter(skill for document in documents for skill in of_documents[document])
        means = {
            skill: sum(round(of_documents[document].get(skill, 0) * 10_000) for document in documents) / count
            for skill, count in hits.items()
            if count * 2 > len(documents)
        }
        if means:
            kept[title] = sorted(means, key=lambda skill: (-means[skill], skill))[:most]
    return kept


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from("abc"), min_size=8, max_size=8), PREDICTIONS, st.integers(1, 6))
def test_votes_equal_a_title_at_a_time(titles: list[str], predictions: dict[tuple[int, int], float], most: int) -> None:
    schema = {"document": pl.Int64, "skill_id": pl.Int32, "confidence": pl.Float32}
    rows = [(document, skill, confidence) for (document, skill), confidence in predictions.items()]
    found = pl.LazyFrame(rows, schema=schema, orient="row")
    votes = pl.LazyFrame({"key": titles, "document": pl.Series(range(8), dtype=pl.Int64)})
    votes = votes.join(found.select("document").unique(), on="document", how="semi")
    kept: dict[str, list[int]] = defaultdict(list)
    for key, skill, _ in vote(votes, found, most).collect().iter_rows():
        kept[key].append(skill)
    assert kept == slow_votes(titles, predictions, most)


def aggregated(documents: list[Document], folder: Path, share: float = 0.5) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Every document has its own number and skill 99 as predictions."""
    for name in ("documents", "predictions", "jobs"):
        (folder / name).mkdir()
    write_documents(documents, folder / "documents", 100)
    rows = [
        {"document": number, "skill_id": skill, "confidence": 0.5, "position": 0}
        for number in range(len(documents))
        for skill in (number, 99)
    ]
    pq.write_table(pa.Table.from_pylist(rows, schema=PREDICTIONS_SCHEMA), folder / "predictions" / PREDICTIONS_FILE)
    config = AggregateConfig(validation_share=share)
    counts = aggregate(folder / "documents", folder / "predictions", folder / "jobs", config, seed=0)
    jobs, edges = (pl.read_parquet(folder / "jobs" / name) for name in (JOBS_FILE, EDGES_FILE))
    assert counts["training titles"] + counts["validation titles"] == len(jobs)
    assert counts["titles after merging"] == len(jobs) + counts["dropped: no skill left"]
    return jobs, edges


def test_titles_merge_whatever_their_case_into_their_most_frequent_form(tmp_path: Path) -> None:
    forms = ["NURSE", "nurse", "Nurse", "nurse", "Welder "]
    documents = [Document("vacancy", form.strip().lower(), (form.strip(),), ("a",)) for form in forms]
    jobs, edges = aggregated(documents, tmp_path)
    assert jobs["title"].to_list() == ["nurse", "Welder"]
    assert jobs["documents"].to_list() == [4, 1]
    assert edges.select("title_id", "skill_id").rows() == [(0, 99), (1, 4), (1, 99)]


def test_a_title_shared_with_a_training_occupation_goes_to_training(tmp_path: Path) -> None:
    codes = [f"code {number}" for number in range(40)]
    documents = [Document("onet", code, ("Shared title", f"Title of {code}"), ("a",)) for code in codes]
    jobs, edges = aggregated(documents, tmp_path)
    by_title = dict(jobs.select("title", "is_validation").iter_rows())
    assert not by_title["Shared title"]
    for code in codes:
        assert by_title[f"Title of {code}"] == is_validation_group(code, 0.5, 0)
    assert 5 < jobs["is_validation"].sum() < 35
    shared = jobs.filter(pl.col("title") == "Shared title")["title_id"].item()
    assert edges.filter(pl.col("title_id") == shared)["skill_id"].to_list() == [99]  # in every occupation
