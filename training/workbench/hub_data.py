"""WorkBench from the model hub, for those who are online; ESCO itself comes from a folder named by `UWE_ESCO_DIR`.

The hub's data sets hold labels, and the target spaces are ESCO's, which is not on the hub: a folder with the official
releases `esco-1.2.0-en`, `esco-1.1.0-en` and `esco-1.0-en` is needed beside them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

from training.sources.esco import Cleaning, Occupation, Skill, read_occupations, read_skills
from training.sources.files import SourceFolder, read_table
from training.workbench import tasks
from training.workbench.dataset import AbsentDataset, DatasetEntry, RankingDataset, Split, assemble
from training.workbench.local_data import local_workbench
from uwe_core.errors import ConfigurationError, DataError

ESCO_FOLDER_VARIABLE = "UWE_ESCO_DIR"
Rows = Iterable[Mapping[str, Any]]
# Fetches a data set by its hub id into a local folder.
Fetch = Callable[[str], Path]


def hub_fetch(hub_id: str) -> Path:
    """Download a data set's files, or find them in the hub's cache."""
    return Path(snapshot_download(hub_id, repo_type="dataset", allow_patterns=["*.parquet", "*.csv"]))


def hub_workbench(split: Split, fetch: Fetch = hub_fetch, esco: Path | None = None) -> list[DatasetEntry]:
    """Every data set of WorkBench in that split; what the hub or the ESCO folder does not give turns out absent.

    Raises:
        ConfigurationError: no folder of ESCO is named.
    """
    esco = esco or _esco_folder()
    source = _Hub(split, fetch, esco)
    own: dict[str, Callable[[], RankingDataset]] = {
        "skillextract_tech": partial(source.skillextract, "tech"),
        "skillextract_house": partial(source.skillextract, "house"),
        "skillsim": source.skillsim,
        "jobnorm": source.jobnorm,
    }
    if split == "validation":
        own |= {"job2skill": source.job2skill, "skill2job": source.skill2job}
    # Tests between skills and occupations, and SkillNorm, are made of ESCO alone, as from a local folder.
    return [
        replace(entry, read=partial(_read_or_absent, entry, own[entry.name])) if entry.name in own else entry
        for entry in local_workbench(esco, split)
    ]


def _esco_folder() -> Path:
    named = os.environ.get(ESCO_FOLDER_VARIABLE)
    if not named:
        raise ConfigurationError(f"{ESCO_FOLDER_VARIABLE} must name the folder of ESCO's releases: docs/evaluation.md")
    return Path(named)


@dataclass(frozen=True)
class _Hub:
    split: Split
    fetch: Fetch
    esco: Path

    def job2skill(self) -> RankingDataset:
        """Titles of vacancies and the skills tagged in them."""
        return assemble(
            task="job2skill",
            name="job2skill",
            split=self.split,
            target_space=tasks.SKILLS,
            targets={skill.label: skill.label for skill in self._skills("1.2.0")},
            pairs=self._title_skill_pairs(),
        )

    def skill2job(self) -> RankingDataset:
        """The same the other way; the targets are the titles."""
        pairs = list(self._title_skill_pairs())
        known = {skill.label for skill in self._skills("1.2.0")}
        return assemble(
            task="skill2job",
            name="skill2job",
            split=self.split,
            target_space="vacancy-titles",
            targets={title: title for title, _ in pairs},
            pairs=((skill, title) for title, skill in pairs if skill.strip() in known),
        )

    def skillextract(self, variant: str) -> RankingDataset:
        """Sentences and the labels in them."""
        rows = self._rows(f"TechWolf/skill-extraction-{variant}", self.split, ("sentence", "label"))
        annotations = ((row["sentence"], row["label"]) for row in rows)
        return tasks.skillextract(variant, self._skills("1.1.0"), annotations, self.split)

    def skillsim(self) -> RankingDataset:
        """Pairs of skills, all in one file whatever the split."""
        rows = self._rows("TechWolf/SkillMatch-1K", "test", ("skill_a", "skill_b", "related"))
        pairs = [(row["skill_a"], row["skill_b"], int(row["related"]) == 1) for row in rows]
        return tasks.skillsim(pairs, self.split)

    def jobnorm(self) -> RankingDataset:
        """Titles of vacancies and the occupation each means."""
        rows = self._rows("TechWolf/JobBERT-evaluation-dataset", self.split, ("vacancy_job_title", "esco_URI"))
        titles = ((row["vacancy_job_title"], row["esco_URI"]) for row in rows)
        return tasks.jobnorm(self._occupations(), titles, self.split)

    def _title_skill_pairs(self) -> Iterable[tuple[str, str]]:
        columns = ("vacancy_job_title", "tagged_esco_skills")
        for row in self._rows("TechWolf/vacancy-job-to-skill", self.split, columns):
            for skill in row["tagged_esco_skills"]:
                yield row["vacancy_job_title"], skill.strip()

    def _skills(self, version: str) -> list[Skill]:
        return _read_skills(self.esco / f"esco-{version}-en")

    def _occupations(self) -> list[Occupation]:
        return read_occupations(SourceFolder(self.esco / "esco-1.0-en"), "occupations_en.csv", Cleaning())

    def _rows(self, hub_id: str, split: str, columns: tuple[str, ...]) -> Rows:
        """The rows of a split, from Parquet (`data/SPLIT-00000-of-00001.parquet`) or CSV (`SPLIT.csv`)."""
        folder = self.fetch(hub_id)
        parquet = sorted(folder.rglob(f"{split}*.parquet"))
        if parquet:
            table = pq.read_table(parquet)
            missing = [column for column in columns if column not in table.column_names]
            if missing:
                raise DataError(parquet[0], None, f"has no column {', '.join(missing)}")
            rows: list[dict[str, Any]] = table.to_pylist()
            return rows
        for path in sorted(folder.rglob(f"{split}*.csv")):
            return [row.values for row in read_table(path.read_bytes(), path, columns)]
        raise DataError(folder, None, f"has no {split} split")


@cache
def _read_skills(folder: Path) -> list[Skill]:
    return read_skills(SourceFolder(folder), "skills_en.csv", Cleaning())


def _read_or_absent(entry: DatasetEntry, read: Callable[[], RankingDataset]) -> RankingDataset | AbsentDataset:
    try:
        return read()
    except (HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled, OSError) as error:
        return AbsentDataset(entry.task, entry.name, entry.split, f"the model hub did not give it: {error}")
