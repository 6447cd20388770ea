"""O*NET, the occupational database of the U.S. Department of Labor, from its tab-separated files (CC BY 4.0)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterator
from dataclasses import dataclass
from pathlib import Path

from training.sources.files import Row, read_table, refuse
from uwe_core.errors import DataError
from uwe_core.text import same_text_key, unreadable_reason

ATTRIBUTION = (
    "Includes information from the O*NET 29.2 Database by the U.S. Department of Labor, Employment and Training "
    "Administration (USDOL/ETA), used under the CC BY 4.0 licence."
)


@dataclass(frozen=True)
class TaskActivity:
    """A task statement and a detailed work activity that it is an instance of."""

    task: str
    activity_id: str
    activity: str


def read_task_activities(root: Path) -> list[TaskActivity]:
    """`Tasks to DWAs.tsv`: one row per task and activity.

    Raises:
        DataError: the file is missing or not what it should be.
    """
    rows = _rows(root, "Tasks to DWAs.tsv", "Task", "DWA ID", "DWA Title")
    return [TaskActivity(row["Task"], row["DWA ID"], row["DWA Title"]) for row in rows]


@dataclass(frozen=True)
class OnetOccupation:
    """An occupation of the O*NET-SOC classification."""

    code: str
    title: str
    description: str


@dataclass(frozen=True)
class OnetTitle:
    """A title that people of an occupation bear; `kind` is `alternate` or `reported`."""

    code: str
    title: str
    kind: str


@dataclass(frozen=True)
class OnetTask:
    """A task statement of an occupation."""

    code: str
    task_id: str
    task: str


@dataclass(frozen=True)
class OnetTechnology:
    """A technology that an occupation uses, such as a product's name, and the class it belongs to."""

    code: str
    example: str
    commodity: str


@dataclass(frozen=True)
class OnetDatabase:
    """The tables of O*NET that the pipeline uses, and what was dropped while they were read."""

    occupations: list[OnetOccupation]
    titles: list[OnetTitle]
    tasks: list[OnetTask]
    technologies: list[OnetTechnology]
    dropped: Counter[str]


def read_onet(root: Path) -> OnetDatabase:
    """Occupations with their titles, tasks and technologies.

    Titles that repeat one of the same occupation (case ignored) are dropped and counted.

    Raises:
        DataError: a file is missing, or a row names an occupation that is not there.
    """
    dropped: Counter[str] = Counter()
    occupations = [
        OnetOccupation(row["O*NET-SOC Code"], row["Title"].strip(), row["Description"].strip())
        for row in _rows(root, "Occupation Data.tsv", "O*NET-SOC Code", "Title", "Description")
    ]
    known = {occupation.code for occupation in occupations}
    titles = []
    seen: set[tuple[str, str]] = set()
    for kind, name, column in (
        ("alternate", "Alternate Titles.tsv", "Alternate Title"),
        ("reported", "Sample of Reported Titles.tsv", "Reported Job Title"),
    ):
        for code, title in _of_occupations(root, name, known, column):
            if (code, same_text_key(title)) in seen:
                dropped[f"{kind} titles that repeat another of their occupation"] += 1
            else:
                seen.add((code, same_text_key(title)))
                titles.append(OnetTitle(code, title, kind))
    tasks = [OnetTask(*row) for row in _of_occupations(root, "Task Statements.tsv", known, "Task ID", "Task")]
    technologies = [
        OnetTechnology(*row)
        for row in _of_occupations(root, "Technology Skills.tsv", known, "Example", "Commodity Title")
    ]
    return OnetDatabase(occupations, titles, tasks, technologies, dropped)


def _of_occupations(root: Path, name: str, known: Container[str], *columns: str) -> Iterator[tuple[str, ...]]:
    """Code and further columns of each row; every code must be an occupation's, every text must be one."""
    problems: list[tuple[int, str]] = []
    for row in _rows(root, name, "O*NET-SOC Code", *columns):
        values = tuple(row[column].strip() for column in columns)
        reasons = [f"{column} {reason}" for column in columns if (reason := unreadable_reason(row[column]))]
        if row["O*NET-SOC Code"] not in known:
            problems.append((row.line, f"{row['O*NET-SOC Code']} is not among the occupations"))
        elif reasons:
            problems.append((row.line, reasons[0]))
        else:
            yield row["O*NET-SOC Code"], *values
    refuse(root / name, problems)


def _rows(root: Path, name: str, *columns: str) -> Iterator[Row]:
    path = root / name
    if not path.is_file():
        raise DataError(path, None, "is missing")
    return read_table(path.read_bytes(), path, columns, delimiter="\t")
