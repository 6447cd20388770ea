"""Zero-shot: any pair of spaces with the edges between them, as three CSV files."""

from __future__ import annotations

from pathlib import Path

from training.sources.files import read_table
from training.workbench.dataset import DatasetEntry, RankingDataset, assemble
from uwe_core.errors import DataError


def pair_entry(queries: Path, targets: Path, edges: Path) -> DatasetEntry:
    """The pair as a data set named after its files.

    Args:
        queries: columns `id` and `text`.
        targets: columns `id` and `text`, in the order of the target space.
        edges: columns `query_id` and `target_id`.
    """
    name = f"{queries.stem}2{targets.stem}"
    return DatasetEntry(name, name, "test", lambda: _read(name, queries, targets, edges))


def _read(name: str, queries: Path, targets: Path, edges: Path) -> RankingDataset:
    texts = _texts(queries)
    pairs = []
    for row in read_table(_bytes(edges), edges, ("query_id", "target_id")):
        if row["query_id"] not in texts:
            raise DataError(edges, row.line, f"query_id {row['query_id']} is not in {queries}")
        pairs.append((texts[row["query_id"]], row["target_id"]))
    return assemble(task=name, name=name, split="test", target_space=str(targets), targets=_texts(targets), pairs=pairs)


def _texts(path: Path) -> dict[str, str]:
    return {row["id"]: row["text"] for row in read_table(_bytes(path), path, ("id", "text"))}


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(path, None, f"cannot be read: {error.strerror}") from error
