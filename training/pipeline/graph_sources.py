"""SourceTables: what finished stages say, as the tables that enriching, sharpening and assembling start from."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import polars as pl

from training.pipeline.ad_lines import Mentions, compose_lines
from training.pipeline.aggregate import EDGES_FILE, JOBS_FILE, is_validation_group
from training.pipeline.documents import TITLES_FILE
from training.pipeline.inputs import Skill
from training.pipeline.leaks import LeakCheck
from training.pipeline.sharpen import VectorsOf, line_edges, nearest_skills, title_edges
from uwe_core.text import same_text_key

ONET_SOURCE = "onet"


@dataclass(frozen=True)
class SourceTables:
    """Tables of the stages so far.

    Attributes:
        skills: their place is their id.
        documents, jobs: folders of these stages.
        texts: the file of generated texts, where there are any.
    """

    skills: Sequence[Skill]
    documents: Path
    jobs: Path
    texts: Path | None

    @cached_property
    def training_titles(self) -> pl.DataFrame:
        """The real titles to train on: `title_id`, `title`, `source`, `group`."""
        jobs = pl.read_parquet(self.jobs / JOBS_FILE)
        return jobs.filter(~pl.col("is_validation")).select("title_id", "title", "source", "group")

    @cached_property
    def training_edges(self) -> pl.DataFrame:
        """Their edges: `title`, `source`, `group`, `skill_id`, `confidence`."""
        edges = pl.read_parquet(self.jobs / EDGES_FILE)
        return self.training_titles.join(edges, on="title_id", maintain_order="left_right").drop("title_id")

    @cached_property
    def validation_edges(self) -> pl.DataFrame:
        """`title` and `skill_id` of the titles that are kept for validation."""
        jobs = pl.read_parquet(self.jobs / JOBS_FILE).filter("is_validation")
        edges = pl.read_parquet(self.jobs / EDGES_FILE)
        return jobs.join(edges, on="title_id", maintain_order="left_right").select("title", "skill_id")

    def generated(self, kind: str) -> pl.DataFrame:
        """Generated texts of a kind with their skills: `text`, `skill_id`."""
        if self.texts is None:
            return pl.DataFrame(schema={"text": pl.String, "skill_id": pl.Int32})
        numbers = pl.DataFrame({"skill_uri": [skill.uri for skill in self.skills]})
        numbers = numbers.with_columns(skill_id=pl.int_range(pl.len(), dtype=pl.Int32))
        texts = pl.read_parquet(self.texts).filter(pl.col("kind") == kind)
        return texts.join(numbers, on="skill_uri", maintain_order="left").select("text", "skill_id")

    @cached_property
    def generated_titles(self) -> pl.DataFrame:
        """Generated titles with their skills, without those that stand for validation: `title`, `skill_id`."""
        kept_out = {same_text_key(title) for title in self.validation_edges["title"].unique()}
        titles = self.generated("title").rename({"text": "title"})
        return titles.filter(
            pl.Series([same_text_key(title) not in kept_out for title in titles["title"]], dtype=pl.Boolean)
        )

    def texts_to_match(self) -> list[str]:
        """Every distinct text whose vector a later stage needs, sorted."""
        labels = [skill.label for skill in self.skills]
        return sorted({*self.training_titles["title"], *self.generated_titles["title"], *labels})

    def title_edges(self, skills_per_title: int | None, vectors_of: VectorsOf) -> pl.DataFrame:
        """The training edges, those that titles share with their occupation cut to the nearest skills."""
        edges = self.training_edges
        if skills_per_title is None or edges.is_empty():
            return edges
        shared = edges.filter(pl.col("source") == ONET_SOURCE)
        own = edges.filter(pl.col("source") != ONET_SOURCE)
        labels = [skill.label for skill in self.skills]
        return pl.concat([nearest_skills(shared, labels, vectors_of, skills_per_title), own])

    def composed_lines(self, count: int, check: LeakCheck, seed: int) -> pl.DataFrame:
        """Composed advertisement lines: `text`, `skill_id`. What names a skill is no text of a test set either."""
        profiles = (
            self.training_edges.group_by("group")
            .agg(pl.col("skill_id").unique().sort())
            .sort("group")["skill_id"]
            .to_list()
        )
        paraphrases: dict[int, list[str]] = {}
        for text, skill in self.generated("alternative").iter_rows():
            if check.rule(text) is None:
                paraphrases.setdefault(skill, []).append(text)
        mentions = {
            number: Mentions(skill.label, paraphrases.get(number, ()), skill.is_knowledge)
            for number, skill in enumerate(self.skills)
        }
        return line_edges(compose_lines(profiles, mentions, count, seed))

    def title_graph(self, validation_share: float, check: LeakCheck, counts: Counter[str], seed: int) -> pl.DataFrame:
        """Alternate titles to the titles of their occupations, training ones alone: `query`, `text`, `group`.

        Test texts are dropped, and counted, before noise could hide them.
        """
        titles = pl.read_parquet(self.documents / TITLES_FILE).filter(pl.col("source") == ONET_SOURCE)
        occupations = titles.group_by("group", maintain_order=True).agg("title").iter_rows()
        training = []
        for code, (own, *others) in occupations:
            if not is_validation_group(code, validation_share, seed):
                allowed = check.allowed(others, "titles of occupations", counts)
                training.append((code, [own, *itertools.compress(others, allowed)]))
        return title_edges(training, seed)
