"""O*NET, the occupational database of the U.S. Department of Labor, from its tab-separated files (CC BY 4.0)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from training.sources.files import read_table
from uwe_core.errors import DataError

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
    path = root / "Tasks to DWAs.tsv"
    if not path.is_file():
        raise DataError(path, None, "is missing")
    rows = read_table(path.read_bytes(), path, ("Task", "DWA ID", "DWA Title"), delimiter="\t")
    return [TaskActivity(row["Task"], row["DWA ID"], row["DWA Title"]) for row in rows]
