"""Ingest: raw sources to Parquet. Vacancies, with a side file of what was rejected and why; O*NET, a file per table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, astuple, fields
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from training.pipeline.stage import StageManifest, code_of, run_stage, stage_fingerprint
from training.pipeline.tables import GroupedWriter
from training.sources import onet as onet_source
from training.sources import vacancies as vacancy_source
from training.sources.onet import read_onet
from training.sources.vacancies import Rejected, Vacancy, VacancyColumns, read_vacancies, vacancy_files
from uwe_core.files import sha256_of

VACANCIES_FILE = "vacancies.parquet"
REJECTED_FILE = "rejected.parquet"

VACANCY_SCHEMA = pa.schema([(field.name, pa.string()) for field in fields(Vacancy)])
REJECTED_SCHEMA = pa.schema([("file", pa.string()), ("row", pa.int64()), ("reason", pa.string())])


def ingest(
    patterns: Sequence[str],
    folder: Path,
    columns: VacancyColumns = VacancyColumns(),  # noqa: B008 - frozen
) -> tuple[StageManifest, bool]:
    """Read vacancies into `folder`, in bounded memory whatever their number; a finished ingest is reused.

    Returns:
        The manifest (`rows` = `kept` + every `rejected: REASON`), and whether it was reused.

    Raises:
        DataError: a file that cannot be read at all, or lacks a column.
    """
    files = vacancy_files(patterns)
    inputs = {"files": [[file.name, sha256_of(file)] for file in files], "columns": columns.model_dump()}
    fingerprint = stage_fingerprint("ingest", code_of(__name__, vacancy_source), inputs)
    return run_stage(folder, "vacancies", fingerprint, lambda aside: _write(files, columns, aside))


def ingest_onet(root: Path, folder: Path) -> tuple[StageManifest, bool]:
    """Read O*NET into `folder`: `occupations`, `titles`, `tasks` and `technologies`, each as Parquet.

    Returns:
        The manifest, and whether a finished ingest was reused.

    Raises:
        DataError: a file that is missing, or a bad row by file and line.
    """
    files = sorted(path for path in root.glob("*.tsv"))
    inputs = {"files": [[file.name, sha256_of(file)] for file in files]}
    fingerprint = stage_fingerprint("ingest-onet", code_of(__name__, onet_source), inputs)
    return run_stage(folder, "onet", fingerprint, lambda aside: _write_onet(root, aside))


def _write_onet(root: Path, folder: Path) -> Counter[str]:
    database = read_onet(root)
    counts: Counter[str] = Counter(database.dropped)
    for name in ("occupations", "titles", "tasks", "technologies"):
        records = getattr(database, name)
        pq.write_table(pa.Table.from_pylist([asdict(record) for record in records]), folder / f"{name}.parquet")
        counts[name] = len(records)
    return counts


def _write(files: Sequence[Path], columns: VacancyColumns, folder: Path) -> Counter[str]:
    counts: Counter[str] = Counter(rows=0, kept=0)
    seen: set[str] = set()
    with (
        GroupedWriter(folder / VACANCIES_FILE, VACANCY_SCHEMA) as kept,
        GroupedWriter(folder / REJECTED_FILE, REJECTED_SCHEMA) as side,
    ):
        for file in files:
            for number, row in enumerate(read_vacancies(file, columns), start=1):
                counts["rows"] += 1
                if isinstance(row, Vacancy) and row.id in seen:
                    row = Rejected(file.name, number, "id stands for another vacancy already")  # noqa: PLW2901
                if isinstance(row, Rejected):
                    counts[f"rejected: {row.reason}"] += 1
                    side.add([astuple(row)])
                else:
                    seen.add(row.id)
                    counts["kept"] += 1
                    kept.add([astuple(row)])
    return counts
