"""Sharpen: what makes edges say more than that two texts share an occupation. Ours, beyond the paper."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

import numpy as np
import polars as pl
from jaxtyping import Float32
from numpy import ndarray

from training.pipeline.ad_lines import AdLine
from training.pipeline.title_noise import noisy_title
from training.sources.onet import TaskActivity
from uwe_core.text import same_text_key

# Unit vectors of texts.
VectorsOf: TypeAlias = Callable[[Sequence[str]], Float32[ndarray, "texts dim"]]
_EDGES_PER_BLOCK = 100_000


def nearest_skills(edges: pl.DataFrame, labels: Sequence[str], vectors_of: VectorsOf, kept: int) -> pl.DataFrame:
    """Of the profile that the titles of an occupation share, each title's skills nearest to it.

    Args:
        edges: with `title` and `skill_id`.
        labels: of the skills.
        vectors_of: the vectors of titles and labels.
        kept: how many skills a title keeps; ties by skill.

    Returns:
        The edges kept, as they came.
    """
    titles = edges["title"].unique(maintain_order=True).to_list()
    numbers = {title: number for number, title in enumerate(titles)}
    title_vectors, skill_vectors = vectors_of(titles), vectors_of(labels)
    rows = edges["title"].replace_strict(numbers, return_dtype=pl.Int64).to_numpy()
    columns = edges["skill_id"].to_numpy()
    cosines = np.empty(len(edges), dtype=np.float32)
    for first in range(0, len(edges), _EDGES_PER_BLOCK):
        block = slice(first, first + _EDGES_PER_BLOCK)
        cosines[block] = np.einsum("ed,ed->e", title_vectors[rows[block]], skill_vectors[columns[block]])
    return (
        edges.with_columns(cosine=pl.Series(cosines))
        .sort(["title", "cosine", "skill_id"], descending=[False, True, False])
        .group_by("title", maintain_order=True)
        .head(kept)
        .drop("cosine")
    )


def title_edges(occupations: Iterable[tuple[str, Sequence[str]]], seed: int) -> pl.DataFrame:
    """Alternate titles, half of them with the noise of vacancies, to the title of their occupation.

    Args:
        occupations: the code and the titles of each, its own title first.
        seed: of the noise.

    Returns:
        `query`, `text`, `group` (the code).
    """
    rows = []
    for code, (own, *others) in occupations:
        for other in others:
            if same_text_key(other) != same_text_key(own):
                choose = random.Random(f"{seed} {code} {other}")  # noqa: S311
                query = noisy_title(other, choose) if choose.random() < 0.5 else other
                rows.append((query, own, code))
    return pl.DataFrame(rows, schema={"query": pl.String, "text": pl.String, "group": pl.String}, orient="row")


def activity_edges(activities: Iterable[TaskActivity]) -> pl.DataFrame:
    """Tasks to the detailed work activities that they are instances of: `query`, `text`, `group`."""
    rows = [(activity.task, activity.activity, activity.activity_id) for activity in activities]
    return pl.DataFrame(rows, schema={"query": pl.String, "text": pl.String, "group": pl.String}, orient="row")


def line_edges(lines: Sequence[AdLine]) -> pl.DataFrame:
    """Composed lines with all skills they name: `text`, `skill_id`."""
    rows = [(line.text, skill) for line in lines for skill in line.skills]
    return pl.DataFrame(rows, schema={"text": pl.String, "skill_id": pl.Int32}, orient="row")
