"""WorkBench from a local folder: ESCO releases, JobBERT titles and SkillSpan sentences under fixed names."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

from training.sources.esco import Cleaning, EscoRelease, read_occupations, read_release, read_skills
from training.sources.files import Row, SourceFolder, read_table
from training.sources.onet import read_task_activities
from training.workbench import tasks
from training.workbench.dataset import AbsentDataset, DatasetEntry, RankingDataset, Split
from uwe_core.errors import DataError

_PRIVATE = "the paper's validation vacancies are not in this folder (the model hub has them: --data hub)"


def local_workbench(root: Path, split: Split) -> list[DatasetEntry]:
    """Every data set of WorkBench in that split; those whose files are not in `root` turn out absent when read.

    Raises:
        DataError: there is no such folder.
    """
    if not root.is_dir():
        raise DataError(root, None, "is not a folder")
    release = cache(partial(read_release, root / "esco-1.2.0-en"))
    entries = [
        _relation_entry("job2skill", root, split, release),
        _relation_entry("skill2job", root, split, release),
        _entry(
            "skillnorm", "skillnorm", split, root, "esco-1.2.0-en", lambda: tasks.skillnorm(release().skills, split)
        ),
    ]
    for variant in ("tech", "house"):
        file = f"skillspan-esco/{variant}_{split}_annotations.csv"
        read = partial(_read_skillextract, root, variant, file, split)
        entries.append(_entry("skillextract", f"skillextract_{variant}", split, root, file, read))
    file = "skillmatch/pairs.csv"
    entries.append(_entry("skillsim", "skillsim", split, root, file, partial(_read_skillsim, root / file, split)))
    file = f"jobbert/titles_{split}.csv"
    entries.append(_entry("jobnorm", "jobnorm", split, root, file, partial(_read_jobnorm, root, file, split)))
    entries.append(_zero_shot_entry(root, split))
    return entries


def _zero_shot_entry(root: Path, split: Split) -> DatasetEntry:
    name = "task2activity"
    if split == "validation":
        only_test = AbsentDataset(name, name, split, "zero-shot, so there is only a test split")
        return DatasetEntry(name, name, split, lambda: only_test)

    def read() -> RankingDataset:
        return tasks.task2activity(read_task_activities(root / "onet-29.2"))

    return _entry(name, name, split, root, "onet-29.2", read)


def _entry(
    task: str, name: str, split: Split, root: Path, needed: str, read: Callable[[], RankingDataset]
) -> DatasetEntry:
    def read_if_there() -> RankingDataset | AbsentDataset:
        if (root / needed).exists():
            return read()
        return AbsentDataset(task, name, split, f"{needed} is not in the data folder")

    return DatasetEntry(task, name, split, read_if_there)


def _relation_entry(task: str, root: Path, split: Split, release: Callable[[], EscoRelease]) -> DatasetEntry:
    """Both directions between jobs and skills."""
    if split == "validation":
        return DatasetEntry(task, task, split, lambda: AbsentDataset(task, task, split, _PRIVATE))
    build = tasks.job2skill if task == "job2skill" else tasks.skill2job

    def read() -> RankingDataset:
        esco = release()
        return build(esco.skills, esco.occupations, esco.relations)

    return _entry(task, task, split, root, "esco-1.2.0-en", read)


def _read_skillextract(root: Path, variant: str, file: str, split: Split) -> RankingDataset:
    skills = read_skills(SourceFolder(root / "esco-1.1.0-en"), "skills_en.csv", Cleaning())
    annotations = ((row["sentence"], row["label"]) for row in _table(root / file, "sentence", "label"))
    return tasks.skillextract(variant, skills, annotations, split)


def _read_jobnorm(root: Path, file: str, split: Split) -> RankingDataset:
    occupations = read_occupations(SourceFolder(root / "esco-1.0-en"), "occupations_en.csv", Cleaning())
    titles = ((row["vacancyTitle"], row["conceptUri"]) for row in _table(root / file, "vacancyTitle", "conceptUri"))
    return tasks.jobnorm(occupations, titles, split)


def _read_skillsim(path: Path, split: Split) -> RankingDataset:
    rows = [
        (row["skill_a"], row["skill_b"], row["related"] == "1") for row in _table(path, "skill_a", "skill_b", "related")
    ]
    return tasks.skillsim(rows, split)


def _table(path: Path, *columns: str) -> list[Row]:
    return list(read_table(path.read_bytes(), path, columns))
