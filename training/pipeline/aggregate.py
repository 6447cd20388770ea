"""Aggregate: predictions of documents to edges between titles and skills (paper, appendix B).

Titles merge whatever their case; of a title's documents a skill must be in more than half; the 200 most confident
skills stay. Titles are split for training and validation by their groups.
"""

from __future__ import annotations

from pathlib import Path

import polars as pl

from training.pipeline.chance import fraction_of
from training.pipeline.config import AggregateConfig
from training.pipeline.documents import TITLES_FILE
from training.pipeline.extract import DIGITS, PREDICTIONS_FILE

JOBS_FILE = "jobs.parquet"
EDGES_FILE = "edges.parquet"
_UNIT = 10**DIGITS


def aggregate(documents: Path, predictions: Path, folder: Path, config: AggregateConfig, seed: int) -> dict[str, int]:
    """Write `jobs.parquet` and `edges.parquet`.

    Jobs: title_id, title, source, group, documents, is_validation. Edges: title_id, skill_id, confidence.

    Returns:
        Counts: titles before and after merging, of each part, and dropped for want of a skill.
    """
    titles = pl.scan_parquet(documents / TITLES_FILE)
    found = pl.scan_parquet(predictions / PREDICTIONS_FILE)
    with_skills = found.select("document").unique()
    votes = titles.select("key", "document").unique().join(with_skills, on="document", how="semi")
    edges = vote(votes, found, config.most_skills).collect(engine="streaming")
    merged = edges.lazy().select("key").unique().join(_merged(titles, votes), on="key").sort("key").collect()
    jobs = merged.with_columns(is_validation=_validation(merged["groups"], config.validation_share, seed))
    jobs = jobs.with_columns(title_id=pl.int_range(len(jobs), dtype=pl.Int32), group=pl.col("groups").list.first())
    jobs.select("title_id", "title", "source", "group", "documents", "is_validation").write_parquet(folder / JOBS_FILE)
    numbered = edges.join(jobs.select("key", "title_id"), on="key").sort("title_id", "skill_id")
    numbered.select("title_id", "skill_id", "confidence").write_parquet(folder / EDGES_FILE)
    before = titles.select(pl.len(), pl.col("key").n_unique().alias("merged")).collect().row(0)
    validation = int(jobs["is_validation"].sum())
    return {
        "titles": before[0],
        "titles after merging": before[1],
        "dropped: no skill left": before[1] - len(jobs),
        "training titles": len(jobs) - validation,
        "validation titles": validation,
        "edges": len(numbered),
    }


def vote(votes: pl.LazyFrame, found: pl.LazyFrame, most_skills: int) -> pl.LazyFrame:
    """The skills of each title that are in more than half of its documents, the most confident of them.

    Args:
        votes: `key` of the title and `document`, distinct, of documents with at least one prediction.
        found: `document`, `skill_id`, `confidence`, distinct by the first two.
        most_skills: how many a title keeps, by mean confidence; ties by skill.

    Returns:
        `key`, `skill_id`, `confidence` (the mean).
    """
    # Whole numbers, so that the order in which a parallel engine adds them changes no bit.
    units = (pl.col("confidence").cast(pl.Float64) * _UNIT).round().cast(pl.Int64)
    counted = (
        votes.join(found.with_columns(units=units), on="document")
        .group_by("key", "skill_id")
        .agg(pl.col("units").sum(), pl.len().alias("hits"))
        .join(votes.group_by("key").agg(pl.len().alias("documents")), on="key")
    )
    return (
        counted.filter(pl.col("hits") * 2 > pl.col("documents"))
        .with_columns(confidence=(pl.col("units") / pl.col("hits") / _UNIT).cast(pl.Float32))
        .sort(["key", "confidence", "skill_id"], descending=[False, True, False])
        .group_by("key", maintain_order=True)
        .head(most_skills)
        .select("key", "skill_id", "confidence")
    )


def is_validation_group(group: str, share: float, seed: int) -> bool:
    """Whether the documents of a group, such as an occupation, are for validation."""
    return fraction_of(seed, group) < share


def _merged(titles: pl.LazyFrame, votes: pl.LazyFrame) -> pl.LazyFrame:
    """Per key its most frequent form (ties: the first in order), its source, and all groups it belongs to."""
    forms = (
        titles.group_by("key", "title")
        .agg(pl.len().alias("times"))
        .sort(["key", "times", "title"], descending=[False, True, False])
        .group_by("key", maintain_order=True)
        .agg(pl.col("title").first())
    )
    return (
        titles.group_by("key")
        .agg(pl.col("source").min(), pl.col("group").unique().sort().alias("groups"))
        .join(forms, on="key")
        .join(votes.group_by("key").agg(pl.len().alias("documents")), on="key")
    )


def _validation(groups: pl.Series, share: float, seed: int) -> pl.Series:
    """Whether each title is for validation: only when all its groups are, so that none is shared with training."""
    drawn = {group for group in groups.explode().unique().to_list() if is_validation_group(group, share, seed)}
    return pl.Series([all(group in drawn for group in of_title) for of_title in groups.to_list()], dtype=pl.Boolean)
