"""BipartiteGraph: queries and targets that are known to belong together; what a model is trained on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from jaxtyping import Int64
from numpy import ndarray

from uwe_core.errors import ArtefactError

SKILLS_FILE = "skills.parquet"
SKILLS_SCHEMA = pa.schema(
    [("skill_id", pa.int32()), ("uri", pa.string()), ("label", pa.string()), ("description", pa.string())]
)
_OF_EDGES = [("text", pa.string()), ("source", pa.string()), ("group", pa.string()), ("confidence", pa.float32())]
# Graphs whose query side is skills name them by id; any other graph holds the query's text.
SKILL_EDGES_SCHEMA = pa.schema([("skill_id", pa.int32()), *_OF_EDGES])
TEXT_EDGES_SCHEMA = pa.schema([("query", pa.string()), *_OF_EDGES])


@dataclass(frozen=True)
class BipartiteGraph:
    """Distinct query texts, distinct target texts, and all known edges between them.

    Attributes:
        name: such as `job`.
        queries: texts; in a graph of skills one for every skill, whether it has an edge or not, so that the same
            number means the same skill in every graph.
        targets: texts.
        edges: `[edges, 2]`, query and target numbers, distinct and sorted.
        sources: per target, where its text came from.
        groups: per target, what it shares its edges with, such as an occupation; empty where it is alone.
        of_skills: whether the queries are skills.
    """

    name: str
    queries: Sequence[str]
    targets: Sequence[str]
    edges: Int64[ndarray, "edges 2"]
    sources: Sequence[str]
    groups: Sequence[str]
    of_skills: bool

    @cached_property
    def targets_of(self) -> tuple[Int64[ndarray, " queries_plus_one"], Int64[ndarray, " edges"]]:
        """Where each query's targets begin, and the targets of all queries in turn, ascending."""
        return _adjacency(self.edges, len(self.queries))

    @cached_property
    def queries_of(self) -> tuple[Int64[ndarray, " targets_plus_one"], Int64[ndarray, " edges"]]:
        """Where each target's queries begin, and the queries of all targets in turn, ascending."""
        return _adjacency(self.edges[:, ::-1], len(self.targets))

    @classmethod
    def from_table(cls, name: str, table: pa.Table, skills: Sequence[str] | None) -> BipartiteGraph:
        """Build from a table of edges.

        Args:
            name: of the graph.
            table: `SKILL_EDGES_SCHEMA`, or `TEXT_EDGES_SCHEMA` where `skills` is None. Rows may repeat; a target's
                source and group are those of its first row.
            skills: the label of each skill, by its id.

        Raises:
            ArtefactError: an edge names a skill that is not there.
        """
        targets, target_numbers, first_rows = _distinct(table["text"])
        if skills is None:
            queries, query_numbers, _ = _distinct(table["query"])
        else:
            queries, query_numbers = list(skills), table["skill_id"].to_numpy().astype(np.int64)
            if len(query_numbers) and not 0 <= query_numbers.min() <= query_numbers.max() < len(queries):
                raise ArtefactError(f"the graph '{name}' names a skill that is not among the {len(queries)}")
        edges = np.unique(np.stack([query_numbers, target_numbers], axis=1), axis=0)
        rows = pa.array(first_rows)
        sources, groups = (table[column].take(rows).to_pylist() for column in ("source", "group"))
        return cls(name, queries, targets, edges, sources, groups, of_skills=skills is not None)


def read_graphs(
    folder: Path, remaining: Callable[[pa.Table], pa.Table] = lambda edges: edges
) -> dict[str, BipartiteGraph]:
    """All graphs of a folder by name, skills' labels as the queries of those that are of skills.

    Args:
        folder: of the graphs.
        remaining: of the table of a graph's edges, those to read.

    Raises:
        ArtefactError: a file is missing or is not what it should be.
    """
    skills = _read(folder / SKILLS_FILE)
    if skills.schema != SKILLS_SCHEMA or skills["skill_id"].to_pylist() != list(range(len(skills))):
        raise ArtefactError(f"{folder / SKILLS_FILE} does not number the skills from 0")
    labels = skills["label"].to_pylist()
    graphs = {}
    for path in sorted(folder.glob("*.parquet")):
        if path.name == SKILLS_FILE:
            continue
        table = _read(path)
        if table.schema not in (SKILL_EDGES_SCHEMA, TEXT_EDGES_SCHEMA):
            raise ArtefactError(f"{path} has the columns of no graph")
        of_skills = table.schema == SKILL_EDGES_SCHEMA
        graphs[path.stem] = BipartiteGraph.from_table(path.stem, remaining(table), labels if of_skills else None)
    if not graphs:
        raise ArtefactError(f"{folder} holds no graph")
    return graphs


def _read(path: Path) -> pa.Table:
    try:
        return pq.read_table(path).replace_schema_metadata(None)
    except (OSError, pa.ArrowInvalid) as error:
        raise ArtefactError(f"{path} cannot be read: {error}") from error


def _distinct(texts: pa.ChunkedArray) -> tuple[list[str], Int64[ndarray, " rows"], Int64[ndarray, " distinct"]]:
    """Distinct texts in order of appearance, the number of each row's text, and the first row of each text."""
    encoded = pc.dictionary_encode(texts.combine_chunks())
    numbers = encoded.indices.to_numpy().astype(np.int64)
    _, first_rows = np.unique(numbers, return_index=True)
    return encoded.dictionary.to_pylist(), numbers, first_rows.astype(np.int64)


def _adjacency(
    edges: Int64[ndarray, "edges 2"], nodes: int
) -> tuple[Int64[ndarray, " nodes_plus_one"], Int64[ndarray, " edges"]]:
    order = np.lexsort((edges[:, 1], edges[:, 0]))
    starts = np.zeros(nodes + 1, dtype=np.int64)
    starts[1:] = np.bincount(edges[:, 0], minlength=nodes).cumsum()
    return starts, edges[order, 1]
