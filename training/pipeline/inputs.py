"""What graphs are built from: found in a folder in the layout of the evaluation data, or named one by one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from training.sources.esco import read_release
from training.sources.vacancies import VacancyColumns
from training.taxonomy import skill_space
from training.workbench.dataset import RankingDataset
from uwe_core.errors import InputError
from uwe_core.target_space import TargetSpace

SKILLS_RELEASE = "esco-1.2.0-en"
ONET = "onet-29.2"
SKILLSKAPE = "skillskape"
TEXTS = "synthetic-esco/texts.tsv"


@dataclass(frozen=True)
class Skill:
    """A skill as the graphs know it, by its number in `skills.parquet`."""

    uri: str
    label: str
    description: str
    is_knowledge: bool


@dataclass(frozen=True)
class RawSources:
    """Where raw data lie; what is None is not used.

    Attributes:
        vacancies: files, folders or globs.
        columns: what the vacancies call their columns.
        onet: the folder of O*NET's tab-separated files.
        skillskape: the folder of SkillSkape's CSV files.
        texts: a file of texts already generated.
    """

    vacancies: Sequence[str] = ()
    columns: VacancyColumns = field(default_factory=VacancyColumns)
    onet: Path | None = None
    skillskape: Path | None = None
    texts: Path | None = None

    @classmethod
    def found_in(cls, root: Path) -> RawSources:
        """What of it a folder in the layout of the evaluation data holds."""
        onet, skillskape, texts = root / ONET, root / SKILLSKAPE, root / TEXTS
        return cls(
            onet=onet if onet.is_dir() else None,
            skillskape=skillskape if skillskape.is_dir() else None,
            texts=texts if texts.is_file() else None,
        )


def skills_of(space: TargetSpace, chosen: Sequence[int]) -> list[Skill]:
    """Some skills of a target space.

    Raises:
        InputError: the space is not one of skills.
    """
    if space.info.kind != "skill":
        raise InputError(f"the target space '{space.info.name}' is of kind '{space.info.kind}', not of skills")
    return [
        Skill(space.ids[place], space.texts[place], facts.get("description", ""), facts.get("type") == "knowledge")
        for place, facts in zip(chosen, space.metadata_of(chosen), strict=True)
    ]


def local_skill_space(root: Path) -> TargetSpace:
    """The skill space of a folder in the layout of the evaluation data."""
    return skill_space(read_release(root / SKILLS_RELEASE), "esco-skills")


def selecting_extract(datasets: Sequence[RankingDataset]) -> list[RankingDataset]:
    """The data sets on which the threshold of extraction is chosen."""
    return [dataset for dataset in datasets if dataset.task == "skillextract" and dataset.half == "selecting"]
