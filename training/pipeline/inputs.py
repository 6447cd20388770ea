"""What graphs are built from: found in a folder in the layout of the evaluation data, or named one by one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from training.pipeline.chance import fixed_choice
from training.pipeline.generation.prompts import Example, Examples
from training.sources.esco import read_release
from training.sources.vacancies import VacancyColumns
from training.taxonomy import skill_space
from uwe_core.errors import InputError
from uwe_core.target_space import TargetSpace

SKILLS_RELEASE = "esco-1.2.0-en"
ONET = "onet-29.2"
SKILLSKAPE = "skillskape"
_ALTERNATIVES = "alternative_labels"
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


def skillnorm_examples(space: TargetSpace, seed: int) -> Examples:
    """Three skills with another way to say them, always the same: of SkillNorm's validation part, the first ones.

    Raises:
        InputError: fewer than three skills have an alternative label.
    """
    every = range(len(space))
    known = [place for place, facts in zip(every, space.metadata_of(every), strict=True) if facts.get(_ALTERNATIVES)]
    if len(known) < 3:
        raise InputError(
            f"the space '{space.info.name}' has no three skills with alternative labels to show as examples"
        )
    chosen = [known[place] for place in fixed_choice([space.ids[place] for place in known], 3, seed)]
    first, second, third = (
        Example(space.texts[place], facts[_ALTERNATIVES][0])
        for place, facts in zip(chosen, space.metadata_of(chosen), strict=True)
    )
    return first, second, third
