"""Sharpen: titles keep the nearest of their shared skills; lines and titles say what their edges say."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from training.pipeline.ad_lines import Mentions, compose_line, compose_lines
from training.pipeline.sharpen import activity_edges, line_edges, nearest_skills, title_edges
from training.pipeline.title_noise import noisy_title
from training.sources.onet import TaskActivity

VECTORS = {"nurse": [1.0, 0.0], "welder": [0.0, 1.0], "care": [0.9, 0.1], "weld": [0.1, 0.9], "grind": [0.2, 0.8]}


def vectors_of(texts: Sequence[str]) -> np.ndarray:
    return np.array([VECTORS[text] for text in texts], dtype=np.float32)


def test_a_title_keeps_the_nearest_skills_of_its_profile() -> None:
    edges = pl.DataFrame(
        {"title": ["nurse"] * 3 + ["welder"] * 3, "skill_id": [0, 1, 2] * 2, "confidence": [0.5] * 6},
        schema={"title": pl.String, "skill_id": pl.Int32, "confidence": pl.Float32},
    )
    kept = nearest_skills(edges, ["care", "weld", "grind"], vectors_of, 2)
    assert set(kept.select("title", "skill_id").rows()) == {("nurse", 0), ("nurse", 2), ("welder", 1), ("welder", 2)}
    assert kept.columns == edges.columns


SKILLS = {
    number: Mentions(label, paraphrases, is_knowledge)
    for number, (label, paraphrases, is_knowledge) in enumerate(
        [("weld parts", ("join metal",), False), ("Java (computer programming)", (), True), ("lead teams", (), False)]
    )
}
NAMES = {number: [mention.label.split(" (")[0], *mention.paraphrases] for number, mention in SKILLS.items()}


@given(st.integers(), st.sets(st.integers(0, 2), min_size=1))
def test_a_line_names_the_skills_of_its_edges_and_no_other(seed: int, profile: set[int]) -> None:
    line = compose_line(sorted(profile), SKILLS, random.Random(seed))
    text = line.text.casefold()
    named = {number for number, names in NAMES.items() if any(name.casefold() in text for name in names)}
    assert named == set(line.skills) <= profile
    assert "(" not in text.replace("(nice to have)", "")


def test_lines_are_spread_over_profiles_and_do_not_depend_on_how_many_there_are() -> None:
    profiles = [[0], [], [1], [2]]
    lines = compose_lines(profiles, SKILLS, 9, seed=3)
    assert [line.skills for line in lines] == [(0,), (1,), (2,)] * 3
    assert lines[:4] == compose_lines(profiles, SKILLS, 4, seed=3)
    assert lines != compose_lines(profiles, SKILLS, 9, seed=4)
    assert compose_lines([[]], SKILLS, 9, seed=3) == []
    assert line_edges(lines[:1]).rows() == [(lines[0].text, 0)]


@given(st.sampled_from(["Nurse", "metal welder", "Chief of Staff"]), st.integers())
def test_noise_keeps_the_title(title: str, seed: int) -> None:
    assert title.casefold() in noisy_title(title, random.Random(seed)).casefold()


def test_titles_lead_to_that_of_their_occupation_and_not_to_themselves() -> None:
    edges = title_edges([("1", ["Nurses", "Ward nurse", "NURSES", "Carer"]), ("2", ["Welders"])], seed=0)
    assert edges["text"].to_list() == ["Nurses", "Nurses"]
    assert [query.casefold() for query in edges["query"]][1].find("carer") >= 0
    assert edges["group"].to_list() == ["1", "1"]
    assert activity_edges([TaskActivity("Weld a pipe.", "a1", "Weld metal.")]).rows() == [
        ("Weld a pipe.", "Weld metal.", "a1")
    ]
