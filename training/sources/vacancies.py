"""Job vacancies from CSV, JSON lines or Parquet: one record per row, and a reason for every row that is none."""

from __future__ import annotations

import csv
import glob
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict

from uwe_core.errors import DataError
from uwe_core.text import unreadable_reason


@dataclass(frozen=True)
class Vacancy:
    """A job advertisement. `id` is the source's own, or `FILE:ROW` where it has none."""

    id: str
    title: str
    description: str
    date: str


@dataclass(frozen=True)
class Rejected:
    """A row that is no vacancy: where it stands (rows count from 1, a header is not a row) and why."""

    file: str
    row: int
    reason: str


class VacancyColumns(BaseModel):
    """What a source calls its columns; `date` and `id` may be absent."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str = "title"
    description: str = "description"
    date: str = "date"
    id: str = "id"


RawRow = Mapping[str, Any] | str  # a row's fields, or why it has none


def vacancy_files(patterns: Sequence[str]) -> list[Path]:
    """The files that are named by paths, folders or globs, sorted, each once.

    Raises:
        DataError: a pattern names nothing, or a file of a kind that cannot be read.
    """
    found: set[Path] = set()
    for pattern in patterns:
        path = Path(pattern)
        if path.is_dir():
            matched = [file for file in path.rglob("*") if file.is_file() and file.suffix in _READERS]
        else:
            matched = [Path(name) for name in glob.glob(pattern, recursive=True)]  # noqa: PTH207 - absolute patterns too
        if not matched:
            raise DataError(pattern, None, f"names no file; files end in {', '.join(_READERS)}")
        found.update(matched)
    for file in sorted(found):
        if file.suffix not in _READERS:
            raise DataError(file, None, f"is no vacancy file; they end in {', '.join(_READERS)}")
    return sorted(found)


def read_vacancies(file: Path, columns: VacancyColumns = VacancyColumns()) -> Iterator[Vacancy | Rejected]:  # noqa: B008 - frozen
    """The rows of one file in order, streamed; every row comes back as a vacancy or rejected.

    Raises:
        DataError: the file cannot be read at all, or has no column for title or description.
    """
    try:
        for number, raw in enumerate(_READERS[file.suffix](file, (columns.title, columns.description)), start=1):
            yield (
                Rejected(file.name, number, raw) if isinstance(raw, str) else _vacancy(file.name, number, raw, columns)
            )
    except (OSError, pa.ArrowInvalid) as error:
        raise DataError(file, None, f"cannot be read: {error}") from error


def _vacancy(file: str, row: int, raw: Mapping[str, Any], columns: VacancyColumns) -> Vacancy | Rejected:
    texts = {}
    for field in ("title", "description"):
        value = raw.get(getattr(columns, field))
        if value is None:
            return Rejected(file, row, f"{field} is missing")
        if not isinstance(value, str):
            return Rejected(file, row, f"{field} is no text")
        if reason := unreadable_reason(value):
            return Rejected(file, row, f"{field} {reason}")
        texts[field] = value.strip()
    identifier, date = raw.get(columns.id), raw.get(columns.date)
    return Vacancy(
        id=str(identifier) if identifier not in (None, "") else f"{file}:{row}",
        date="" if date is None else str(date),
        **texts,
    )


def _csv_rows(file: Path, needed: Sequence[str]) -> Iterator[RawRow]:
    csv.field_size_limit(sys.maxsize)  # whole vacancies are longer than the default allows
    # Bytes that are no UTF-8 become lone surrogates, so that they reject their row and not the file.
    with file.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as lines:
        reader = csv.reader(lines)
        header = next(reader, [])
        _need(file, header, needed)
        try:
            for fields in reader:
                if len(fields) == len(header):
                    yield dict(zip(header, fields, strict=True))
                elif fields:
                    yield f"has {len(fields)} fields, the header {len(header)}"
        except csv.Error as error:
            raise DataError(file, reader.line_num, f"is not CSV: {error}") from error


def _json_rows(file: Path, needed: Sequence[str]) -> Iterator[RawRow]:  # noqa: ARG001 - each line has its own fields
    with file.open("rb") as lines:
        for line in lines:
            if line.strip():
                yield _json_row(line)


def _json_row(line: bytes) -> RawRow:
    try:
        row = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError:
        return "is not UTF-8"
    except json.JSONDecodeError as error:
        return f"is not JSON: {error.msg}"
    return row if isinstance(row, dict) else "is no JSON object"


def _parquet_rows(file: Path, needed: Sequence[str]) -> Iterator[RawRow]:
    with pq.ParquetFile(file) as opened:
        _need(file, opened.schema_arrow.names, needed)
        for batch in opened.iter_batches(batch_size=1024):
            yield from batch.to_pylist()


def _need(file: Path, present: Sequence[str], needed: Sequence[str]) -> None:
    missing = [column for column in needed if column not in present]
    if missing:
        raise DataError(file, 1, f"has no column {', '.join(missing)}; it has {', '.join(present)}")


_READERS: dict[str, Callable[[Path, Sequence[str]], Iterator[RawRow]]] = {
    ".csv": _csv_rows,
    ".jsonl": _json_rows,
    ".ndjson": _json_rows,
    ".parquet": _parquet_rows,
}
