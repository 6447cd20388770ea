"""Queries: distinct, real, in an order that does not change."""

from __future__ import annotations

from pathlib import Path

import pytest

from training.benchmarks.real_queries import real_queries
from uwe_core.errors import InputError
from uwe_core.sample import sample_rows


@pytest.mark.parametrize("task", ["job2skill", "jobnorm"])
def test_job_titles_are_those_of_vacancies(task: str) -> None:
    queries = real_queries("sample", task)
    assert set(queries.texts) == {row["title"] for row in sample_rows("vacancy_titles")}
    assert len(set(queries.texts)) == len(queries.texts)
    assert queries.texts == real_queries("sample", task).texts != real_queries("sample", task, seed=1).texts


def test_other_queries_are_those_of_the_tasks_data_set() -> None:
    queries = real_queries("sample", "skillextract")
    assert set(queries.texts) <= {row["text"] for row in sample_rows("sentences")}
    assert "skillextract/test" in queries.source
    few = queries.take(len(queries.texts) + 2)
    assert list(few[-2:]) == list(queries.texts[:2])


def test_titles_of_a_folder_are_read_and_a_folder_without_any_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no job titles"):
        real_queries(str(tmp_path), "jobnorm")
    (tmp_path / "jobbert").mkdir()
    (tmp_path / "jobbert/titles_validation.csv").write_text("vacancyTitle,conceptUri\n Nurse ,u\nNurse,u\nBaker,v\n")
    queries = real_queries(str(tmp_path), "jobnorm")
    assert sorted(queries.texts) == ["Baker", "Nurse"]
    assert queries.source == "2 distinct vacancy titles of jobbert/titles_validation.csv"
