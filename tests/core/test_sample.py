"""The sample taxonomy: complete, consistent, and close enough in meaning for a small model to find its way in it."""

from __future__ import annotations

import pytest

from uwe_core.model import UweModel
from uwe_core.sample import sample_jobs, sample_rows, sample_skills
from uwe_core.scoring import make_scorer
from uwe_core.token_index import TokenIndex
from uwe_core.top_k import top_k


@pytest.mark.parametrize(
    ("table", "rows"),
    [
        ("skills", 480),
        ("jobs", 160),
        ("job_skills", 1982),
        ("sentences", 240),
        ("skill_pairs", 150),
        ("vacancy_titles", 320),
    ],
)
def test_tables_are_complete_and_without_empty_fields(table: str, rows: int) -> None:
    found = sample_rows(table)
    assert len(found) == rows
    assert all(value.strip() for row in found for value in row.values())


def test_every_reference_resolves() -> None:
    skills, jobs = sample_skills(), sample_jobs()
    for table, columns in {
        "job_skills": {"job_id": jobs, "skill_id": skills},
        "sentences": {"skill_ids": skills},
        "skill_pairs": {"skill_id": skills, "related_skill_id": skills},
        "vacancy_titles": {"job_id": jobs},
    }.items():
        for row in sample_rows(table):
            for column, space in columns.items():
                assert set(row[column].split("|")) <= set(space.ids)


def test_every_skill_is_needed_somewhere_and_every_job_needs_some() -> None:
    links = sample_rows("job_skills")
    assert {row["skill_id"] for row in links} == set(sample_skills().ids)
    assert {row["job_id"] for row in links} == set(sample_jobs().ids)


def test_most_alternative_labels_find_their_skill_among_the_first_ten(embedded_model: UweModel) -> None:
    skills, encoder = sample_skills(), embedded_model.encoder
    scorer = make_scorer(TokenIndex.build(encoder, skills), embedded_model.interaction)
    places = range(0, len(skills), 4)
    alternatives = [found["alternative_labels"][0] for found in skills.metadata_of(places)]
    scores = scorer.score(encoder.encode(encoder.tokenise(alternatives)))
    found = sum(place in top_k(row, 10)[0] for row, place in zip(scores, places, strict=True))
    assert found >= 0.75 * len(places)
