"""ESCO, the European classification of skills and occupations, from its official CSV files, any version and language.

Licence: free reuse with the line in `ATTRIBUTION` (Decision 2011/833/EU of the European Commission); changed versions
must say so.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from training.sources.files import Row, SourceFolder, refuse
from uwe_core.errors import DataError
from uwe_core.text import unreadable_reason

LICENCE = "Decision 2011/833/EU of the European Commission on the reuse of Commission documents"
ATTRIBUTION = "This service uses the ESCO classification of the European Commission."

_VERSION_IN_NAME = re.compile(r"v?(\d+\.\d+(?:\.\d+)?)")
_SKILLS_FILE = re.compile(r"skills_([a-z]{2})\.csv")
_OCCUPATIONS_FILE = re.compile(r"occupations_([a-z]{2})\.csv")
_RELATIONS_FILE = re.compile(r"occupationSkillRelations(?:_([a-z]{2}))?\.csv")


@dataclass(frozen=True)
class Skill:
    """A skill or competence, or a field of knowledge."""

    uri: str
    label: str
    alternative_labels: tuple[str, ...]
    description: str
    type: str
    reuse_level: str


@dataclass(frozen=True)
class Occupation:
    """An occupation, with its group of the ISCO classification."""

    uri: str
    label: str
    alternative_labels: tuple[str, ...]
    description: str
    isco_group: str
    code: str


@dataclass(frozen=True)
class Relation:
    """An occupation needs a skill; `relation` is `essential` or `optional`."""

    occupation_uri: str
    skill_uri: str
    relation: str


@dataclass(frozen=True)
class Cleaning:
    """What reading changed, so that counts can be told and modified data marked."""

    changes: Counter[str] = field(default_factory=Counter)

    def describe(self) -> str:
        """The changes in words, such as `12 blank labels dropped`; empty where nothing was changed."""
        return ", ".join(f"{count} {what}" for what, count in sorted(self.changes.items()) if count)


@dataclass(frozen=True)
class EscoRelease:
    """One release of ESCO in one language."""

    version: str | None
    language: str
    skills: list[Skill]
    occupations: list[Occupation]
    relations: list[Relation]
    cleaning: Cleaning


def read_release(path: Path, version: str | None = None, language: str | None = None) -> EscoRelease:
    """Read skills, occupations and their relations from the official CSV folder or its zip.

    Args:
        path: the folder or zip.
        version: such as `1.2.0`; taken from the folder's name where None.
        language: such as `en`; the only one in the folder where None.

    Raises:
        DataError: a file is missing or a row is bad; names file and line.
    """
    folder = SourceFolder(path)
    found_version = _VERSION_IN_NAME.search(path.stem if path.is_file() else path.name)
    cleaning = Cleaning()
    skills_file, language = _find(folder, _SKILLS_FILE, "skills_en.csv", language)
    skills = read_skills(folder, skills_file, cleaning)
    occupations = read_occupations(
        folder, _find(folder, _OCCUPATIONS_FILE, "occupations_en.csv", language)[0], cleaning
    )
    relations_file, _ = _find(folder, _RELATIONS_FILE, "occupationSkillRelations_en.csv", language)
    relations = read_relations(folder, relations_file)
    _refuse_unknown_ends(folder.path / relations_file, relations, skills, occupations)
    return EscoRelease(
        version or (found_version[1] if found_version else None),
        language,
        skills,
        occupations,
        [relation for _, relation in relations],
        cleaning,
    )


def read_skills(folder: SourceFolder, name: str, cleaning: Cleaning) -> list[Skill]:
    """The skills of one file."""
    columns = ("conceptUri", "preferredLabel", "altLabels", "description", "skillType", "reuseLevel")
    return [
        Skill(
            uri=row["conceptUri"],
            label=row["preferredLabel"].strip(),
            alternative_labels=_alternative_labels(row, cleaning),
            description=row["description"].strip(),
            type=row["skillType"],
            reuse_level=row["reuseLevel"],
        )
        for row in _concepts(folder, name, columns, cleaning)
    ]


def read_occupations(folder: SourceFolder, name: str, cleaning: Cleaning) -> list[Occupation]:
    """The occupations of one file."""
    columns = ("conceptUri", "preferredLabel", "altLabels", "description", "iscoGroup")
    return [
        Occupation(
            uri=row["conceptUri"],
            label=row["preferredLabel"].strip(),
            alternative_labels=_alternative_labels(row, cleaning),
            description=row["description"].strip(),
            isco_group=row["iscoGroup"],
            code=row.values.get("code", ""),  # since version 1.1
        )
        for row in _concepts(folder, name, columns, cleaning)
    ]


def read_relations(folder: SourceFolder, name: str) -> list[tuple[int, Relation]]:
    """The relations of one file, each with its line."""
    return [
        (row.line, Relation(row["occupationUri"], row["skillUri"], row["relationType"]))
        for row in folder.table(name, ("occupationUri", "relationType", "skillUri"))
    ]


def _concepts(folder: SourceFolder, name: str, columns: Sequence[str], cleaning: Cleaning) -> Iterator[Row]:
    """Rows with a URI of their own and a readable label; concepts that are not released are left out."""
    problems: list[tuple[int, str]] = []
    seen: dict[str, int] = {}
    for row in list(folder.table(name, columns)):
        if row.values.get("status", "released") != "released":
            cleaning.changes["concepts that are not released dropped"] += 1
            continue
        uri, label = row["conceptUri"], row["preferredLabel"]
        if not uri.strip():
            problems.append((row.line, "conceptUri is empty"))
        elif uri in seen:
            problems.append((row.line, f"conceptUri {uri} stands on line {seen[uri]} already"))
        elif reason := unreadable_reason(label):
            problems.append((row.line, f"preferredLabel {reason}"))
        else:
            cleaning.changes["labels stripped of outer whitespace"] += label != label.strip()
            yield row
        seen.setdefault(uri, row.line)
    refuse(folder.path / name, problems)


def _alternative_labels(row: Row, cleaning: Cleaning) -> tuple[str, ...]:
    """One per line of the field; repetitions, and those equal to the preferred label, are dropped."""
    listed = [label.strip() for label in row["altLabels"].splitlines() if label.strip()]
    kept = [label for label in dict.fromkeys(listed) if label != row["preferredLabel"].strip()]
    cleaning.changes["alternative labels that repeat another label dropped"] += len(listed) - len(kept)
    return tuple(kept)


def _refuse_unknown_ends(
    path: Path, relations: list[tuple[int, Relation]], skills: list[Skill], occupations: list[Occupation]
) -> None:
    skill_uris, occupation_uris = {skill.uri for skill in skills}, {occupation.uri for occupation in occupations}
    problems: list[tuple[int, str]] = []
    for line, relation in relations:
        if relation.skill_uri not in skill_uris:
            problems.append((line, f"skillUri {relation.skill_uri} is not among the skills"))
        elif relation.occupation_uri not in occupation_uris:
            problems.append((line, f"occupationUri {relation.occupation_uri} is not among the occupations"))
    refuse(path, problems)


def _find(folder: SourceFolder, pattern: re.Pattern[str], example: str, language: str | None) -> tuple[str, str]:
    """The file of a kind in the language asked for, and its language.

    A name without a language (relations of version 1.0) serves every language.
    """
    found = {match[1]: name for name in folder.names if (match := pattern.fullmatch(name))}
    if None in found and language is not None:
        return found[None], language
    if language is None and len(found) > 1:
        raise DataError(folder.path, None, f"has several languages ({', '.join(sorted(found))}): name one")
    chosen = language or next(iter(found), None)
    if chosen not in found:
        wanted = example if chosen is None else example.replace("_en", f"_{chosen}")
        raise DataError(folder.path, None, f"has no {wanted}")
    return found[chosen], chosen
