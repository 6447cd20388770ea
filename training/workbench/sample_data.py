"""WorkBench in small on the built-in sample taxonomy: all six tasks, on every machine, in a minute."""

from __future__ import annotations

from collections.abc import Iterable

from training.workbench.dataset import DatasetEntry, RankingDataset, assemble
from uwe_core.sample import sample_rows


def sample_workbench() -> list[DatasetEntry]:
    """The six tasks; the sample has no validation part."""
    readers = {
        "job2skill": _job2skill,
        "skill2job": _skill2job,
        "skillnorm": _skillnorm,
        "skillextract": _skillextract,
        "skillsim": _skillsim,
        "jobnorm": _jobnorm,
    }
    return [DatasetEntry(name, name, "test", read) for name, read in readers.items()]


def _texts(table: str, column: str) -> dict[str, str]:
    return {row["id"]: row[column] for row in sample_rows(table)}


def _dataset(
    task: str, targets: dict[str, str], pairs: Iterable[tuple[str, str]], *, exclude_query: bool = False
) -> RankingDataset:
    space = "sample-skills" if next(iter(targets)).startswith("S") else "sample-jobs"
    return assemble(
        task=task,
        name=task,
        split="test",
        target_space=space,
        targets=targets,
        pairs=pairs,
        exclude_query=exclude_query,
    )


def _job2skill() -> RankingDataset:
    jobs = _texts("jobs", "title")
    pairs = ((jobs[row["job_id"]], row["skill_id"]) for row in sample_rows("job_skills"))
    return _dataset("job2skill", _texts("skills", "label"), pairs)


def _skill2job() -> RankingDataset:
    skills = _texts("skills", "label")
    pairs = ((skills[row["skill_id"]], row["job_id"]) for row in sample_rows("job_skills"))
    return _dataset("skill2job", _texts("jobs", "title"), pairs)


def _skillnorm() -> RankingDataset:
    pairs = ((label, row["id"]) for row in sample_rows("skills") for label in row["alt_labels"].split("|"))
    return _dataset("skillnorm", _texts("skills", "label"), pairs)


def _skillextract() -> RankingDataset:
    pairs = ((row["text"], skill) for row in sample_rows("sentences") for skill in row["skill_ids"].split("|"))
    return _dataset("skillextract", _texts("skills", "label"), pairs)


def _skillsim() -> RankingDataset:
    """A pair is listed once and holds both ways."""
    skills = _texts("skills", "label")
    rows = [(row["skill_id"], row["related_skill_id"]) for row in sample_rows("skill_pairs")]
    pairs = ((skills[left], right) for pair in rows for left, right in (pair, pair[::-1]))
    return _dataset("skillsim", skills, pairs, exclude_query=True)


def _jobnorm() -> RankingDataset:
    pairs = ((row["title"], row["job_id"]) for row in sample_rows("vacancy_titles"))
    return _dataset("jobnorm", _texts("jobs", "title"), pairs)
