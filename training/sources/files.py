"""Tables of raw data: CSV files of a folder or a zip, read with the file and line of every complaint."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from uwe_core.errors import DataError

# Official descriptions run to several thousand characters; the default limit of a field is 131,072.
_MOST_PROBLEMS_SHOWN = 20


@dataclass(frozen=True)
class Row:
    """One record of a table and the line on which it begins."""

    line: int
    values: Mapping[str, str]

    def __getitem__(self, column: str) -> str:
        return self.values[column]


class SourceFolder:
    """The files of a folder, or of a zip whatever folders it has inside, by file name.

    Raises:
        DataError: there is no such folder or zip.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if path.is_dir():
            self._names = {file.name: str(file) for file in sorted(path.iterdir()) if file.is_file()}
        elif path.is_file() and zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                self._names = {Path(name).name: name for name in archive.namelist() if not name.endswith("/")}
        else:
            raise DataError(path, None, "is neither a folder nor a zip file")

    @property
    def names(self) -> list[str]:
        """The names of all files."""
        return list(self._names)

    def read(self, name: str) -> bytes:
        """The bytes of one file.

        Raises:
            DataError: there is none of that name.
        """
        if name not in self._names:
            raise DataError(self.path / name, None, "is missing")
        if self.path.is_dir():
            return Path(self._names[name]).read_bytes()
        with zipfile.ZipFile(self.path) as archive:
            return archive.read(self._names[name])

    def table(self, name: str, columns: Sequence[str]) -> Iterator[Row]:
        """The rows of a UTF-8 CSV file with a header.

        Raises:
            DataError: the file is missing, is not UTF-8, lacks one of `columns`, or a row has another number of fields.
        """
        return read_table(self.read(name), self.path / name, columns)


def read_table(
    content: bytes, path: Path, columns: Sequence[str], delimiter: str = ",", *, quoted: bool = True
) -> Iterator[Row]:
    """The rows of a UTF-8 table with a header; `path` is for messages. See `SourceFolder.table`.

    Where `quoted` is false, a quotation mark is a character like any other.
    """
    reader = csv.reader(
        io.StringIO(_decode(content, path), newline=""),
        delimiter=delimiter,
        strict=True,
        quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE,
    )
    try:
        header = next(reader, [])
        missing = [column for column in columns if column not in header]
        if missing:
            raise DataError(path, 1, f"has no column {', '.join(missing)}")
        line = reader.line_num + 1
        for fields in reader:
            if fields and len(fields) != len(header):
                raise DataError(path, line, f"has {len(fields)} fields, the header {len(header)}")
            if fields:
                yield Row(line, dict(zip(header, fields, strict=True)))
            line = reader.line_num + 1
    except csv.Error as error:
        raise DataError(path, reader.line_num, f"is not CSV: {error}") from error


def refuse(path: Path, problems: Sequence[tuple[int, str]]) -> None:
    """Raise one error that names every bad row found (the first twenty of them), or do nothing where there is none."""
    if not problems:
        return
    first_line, first_reason = problems[0]
    others = [f"{path}, line {line}: {reason}" for line, reason in problems[1:_MOST_PROBLEMS_SHOWN]]
    unshown = len(problems) - 1 - len(others)
    more = [f"and {unshown} more"] if unshown > 0 else []
    raise DataError(path, first_line, "\n".join([first_reason, *others, *more]))


def _decode(content: bytes, path: Path) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise DataError(path, line, f"is not UTF-8: {error.reason}") from error
