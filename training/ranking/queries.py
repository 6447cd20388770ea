"""QuerySource: queries from arguments, lines, CSV or Parquet, read one by one."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from uwe_core.errors import DataError, InputError
from uwe_core.text import unreadable_reason

# What a column of queries is usually called, where nobody names it.
_USUAL_COLUMNS = ("query", "text")
_STANDARD_INPUT = "standard input"


@dataclass(frozen=True)
class QuerySource:
    """Queries that are read when they are needed.

    Attributes:
        read: the queries from the first on; where `total` is known, as often as one likes.
        total: their number; None where it shows at the end alone.
    """

    read: Callable[[], Iterator[str]]
    total: int | None


def given_queries(texts: Sequence[str]) -> QuerySource:
    """Texts from the command line."""
    for number, text in enumerate(texts, start=1):
        if reason := unreadable_reason(text):
            raise InputError(f"text {number} {reason}")
    return QuerySource(lambda: iter(texts), len(texts))


def piped_queries(stream: BinaryIO) -> QuerySource:
    """Lines of standard input; blank ones are no queries. Complaints come while it is read."""
    return QuerySource(lambda: _lines(_STANDARD_INPUT, stream), None)


def file_queries(path: Path, column: str | None) -> QuerySource:
    """Queries of a file: lines of .txt, a column of .csv or .parquet. It is read through once to count and check it.

    Raises:
        InputError: a file of another kind, or a column of one that has none.
        DataError: it cannot be read, lacks the column, or holds what cannot be ranked; names file and line.
    """
    if not path.is_file():
        raise DataError(path, None, "is not a file")
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise InputError(f"{path}: queries are read from {', '.join(_READERS)}")
    if reader is _text_file and column is not None:
        raise InputError(f"{path} has no columns: --column is for CSV and Parquet")
    return QuerySource(lambda: reader(path, column), sum(1 for _ in reader(path, column)))


def _text_file(path: Path, _: str | None) -> Iterator[str]:
    with path.open("rb") as stream:
        yield from _lines(path, stream)


def _lines(name: Path | str, stream: Iterable[bytes]) -> Iterator[str]:
    for number, line in enumerate(stream, start=1):
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise DataError(name, number, f"is not UTF-8: {error.reason}") from error
        if text.strip():
            yield _checked(name, number, text)


def _csv_file(path: Path, column: str | None) -> Iterator[str]:
    with path.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.reader(stream, strict=True)
        try:
            header = next(reader, [])
            place = header.index(_chosen(path, header, column))
            line = reader.line_num + 1
            for fields in reader:
                if fields and len(fields) != len(header):
                    raise DataError(path, line, f"has {len(fields)} fields, the header {len(header)}")
                if fields:
                    yield _checked(path, line, fields[place])
                line = reader.line_num + 1
        except csv.Error as error:
            raise DataError(path, reader.line_num, f"is not CSV: {error}") from error
        except UnicodeDecodeError as error:
            raise DataError(path, None, f"is not UTF-8: {error.reason}") from error


def _parquet_file(path: Path, column: str | None) -> Iterator[str]:
    try:
        with pq.ParquetFile(path) as file:
            name = _chosen(path, file.schema_arrow.names, column)
            row = 1
            for batch in file.iter_batches(batch_size=1024, columns=[name]):
                for value in batch.column(0).to_pylist():
                    yield _checked(path, row, value)
                    row += 1
    except pa.ArrowException as error:
        raise DataError(path, None, f"cannot be read as Parquet: {error}") from error


def _chosen(path: Path, present: Sequence[str], wanted: str | None) -> str:
    usual = present if len(present) == 1 else [name for name in _USUAL_COLUMNS if name in present]
    chosen = wanted if wanted is not None else next(iter(usual), None)
    if chosen is None:
        raise DataError(path, 1, f"which column holds the queries? Name one with --column: {', '.join(present)}")
    if chosen not in present:
        raise DataError(path, 1, f"has no column {chosen}; it has {', '.join(present)}")
    return chosen


def _checked(name: Path | str, line: int, value: object) -> str:
    if not isinstance(value, str):
        raise DataError(name, line, "the query is missing" if value is None else "the query is no text")
    if reason := unreadable_reason(value):
        raise DataError(name, line, f"the query {reason}")
    return value


_READERS: dict[str, Callable[[Path, str | None], Iterator[str]]] = {
    ".txt": _text_file,
    ".csv": _csv_file,
    ".parquet": _parquet_file,
}
