"""Parquet files written in groups of rows, so that memory stays bounded whatever their length."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

_ROWS_PER_GROUP = 10_000


class GroupedWriter:
    """Appends rows to a Parquet file; nothing is readable before the block ends."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._schema = schema
        self._writer = pq.ParquetWriter(path, schema)
        self._rows: list[Sequence[Any]] = []

    def add(self, rows: Sequence[Sequence[Any]], rows_per_group: int = _ROWS_PER_GROUP) -> None:
        """Some rows more, which stay in one group; a group ends with the call that fills it."""
        self._rows.extend(rows)
        if len(self._rows) >= rows_per_group:
            self._flush()

    def __enter__(self) -> GroupedWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        if self._rows:
            columns = zip(*self._rows, strict=True)
            arrays = [pa.array(column, field.type) for column, field in zip(columns, self._schema, strict=True)]
            self._writer.write_table(pa.Table.from_arrays(arrays, schema=self._schema))
            self._rows = []


def group_sizes(path: Path) -> list[int]:
    """The rows of each row group of a Parquet file."""
    metadata = pq.read_metadata(path)
    return [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
