"""The built-in sample taxonomy of the labour market: English, CC0, small enough to rank at once."""

from __future__ import annotations

import csv
import io
from importlib import resources

from uwe_core.target_space import SpaceInfo, TargetSpace

TAXONOMY = "sample"
_VERSION = "1"
_LICENCE = "CC0-1.0"


def sample_rows(table: str) -> list[dict[str, str]]:
    """The rows of one of the taxonomy's tables, such as `skills` or `vacancy_titles`."""
    text = resources.files(__name__).joinpath(f"{table}.csv").read_text(encoding="utf-8")
    return list(csv.DictReader(io.StringIO(text, newline="")))


def sample_skills() -> TargetSpace:
    """The 480 skills as a target space."""
    rows = sample_rows("skills")
    return TargetSpace.from_columns(
        SpaceInfo(name=f"{TAXONOMY}-skills", kind="skill", taxonomy_version=_VERSION, licence=_LICENCE),
        {
            "id": [row["id"] for row in rows],
            "text": [row["label"] for row in rows],
            "type": [row["type"] for row in rows],
            "alternative_labels": [row["alt_labels"].split("|") for row in rows],
            "description": [row["description"] for row in rows],
        },
    )


def sample_jobs() -> TargetSpace:
    """The 160 jobs as a target space."""
    rows = sample_rows("jobs")
    return TargetSpace.from_columns(
        SpaceInfo(name=f"{TAXONOMY}-jobs", kind="job", taxonomy_version=_VERSION, licence=_LICENCE),
        {
            "id": [row["id"] for row in rows],
            "text": [row["title"] for row in rows],
            "sector": [row["sector"] for row in rows],
            "alternative_labels": [row["alt_titles"].split("|") for row in rows],
            "description": [row["description"] for row in rows],
        },
    )
