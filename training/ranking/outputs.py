"""Where answers go, one by one: tables for people, JSON for programs, a Parquet file that is whole or not there."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pyarrow as pa
import typer
from rich.table import Table
from rich.text import Text

from training.pipeline.tables import GroupedWriter
from training.ranking.answers import Answer
from training.terminal import print_whole
from uwe_core.files import atomic_file

Put = Callable[[Answer], None]
SCHEMA = pa.schema(
    {
        "query": pa.string(),
        "rank": pa.int32(),
        "id": pa.string(),
        "text": pa.string(),
        "score": pa.float64(),
        "normalised_score": pa.float64(),
    }
)


@contextmanager
def parquet_rows(path: Path) -> Iterator[Put]:
    """Write a row for each target, in groups; an error leaves what stood there before."""

    def put(answer: Answer) -> None:
        writer.add([(answer.query, t.rank, t.id, t.text, t.score, t.normalised_score) for t in answer.targets])

    with atomic_file(path) as aside, GroupedWriter(aside, SCHEMA) as writer:
        yield put


def json_lines(stream: IO[str]) -> Put:
    """Print each answer as one line of JSON."""

    def put(answer: Answer) -> None:
        targets = [
            {"rank": t.rank, "id": t.id, "text": t.text, "score": t.score, "normalised_score": t.normalised_score}
            for t in answer.targets
        ]
        line = {"query": answer.query, "targets": targets, "truncated": answer.truncated}
        typer.echo(json.dumps(line, ensure_ascii=False), file=stream)

    return put


def tables(stream: IO[str]) -> Put:
    """Print each answer as a table."""

    def put(answer: Answer) -> None:
        # Texts are shown as they are: a bracket in one is no markup.
        table = Table("rank", "text", "score", "normalised", "id", title=Text(answer.query))
        for t in answer.targets:
            table.add_row(str(t.rank), Text(t.text), f"{t.score:.3f}", f"{t.normalised_score:.3f}", Text(t.id))
        print_whole(table, stream)

    return put
