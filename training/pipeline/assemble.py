"""Assemble: edges from all sources to the graphs that training reads, without a text that a test set holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from training.pipeline.leaks import EXEMPT_SOURCES, LeakCheck
from uwe_core.graph import SKILL_EDGES_SCHEMA, TEXT_EDGES_SCHEMA
from uwe_core.text import same_text_key


def without_leaks(edges: pl.DataFrame, leaks: LeakCheck, columns: Sequence[str], counts: Counter[str]) -> pl.DataFrame:
    """Edges whose texts no test set holds; each distinct text that is dropped counts once.

    Args:
        edges: with `source` and `columns`.
        leaks: the rules.
        columns: which hold texts that the rules are for.
        counts: gains the drops by rule and source.
    """
    for column in columns:
        texts = edges.select(column, "source").unique(maintain_order=True)
        allowed = [
            source in EXEMPT_SOURCES or leaks.allowed([text], source, counts)[0] for text, source in texts.iter_rows()
        ]
        edges = edges.join(texts.filter(pl.Series(allowed, dtype=pl.Boolean)), on=[column, "source"], how="semi")
    return edges


def one_form(edges: pl.DataFrame, column: str = "text") -> pl.DataFrame:
    """Texts that differ in case and outer whitespace alone become one, in the form that comes first."""
    texts = edges[column].unique(maintain_order=True).to_list()
    forms: dict[str, str] = {}
    for text in texts:
        forms.setdefault(same_text_key(text), text)
    chosen = [forms[same_text_key(text)] for text in texts]
    return edges.with_columns(pl.col(column).replace_strict(texts, chosen, return_dtype=pl.String))


def write_graph(edges: pl.DataFrame, path: Path, counts: Counter[str]) -> None:
    """Write the edges of one graph, each once (the first of its sources), sorted; count edges and nodes.

    Args:
        edges: in order of preference; `skill_id` or `query`, and `text`, `source`, `group`, `confidence`.
        path: the graph's file.
        counts: gains edges by source, and nodes of both sides.
    """
    query = "skill_id" if "skill_id" in edges.columns else "query"
    schema = SKILL_EDGES_SCHEMA if query == "skill_id" else TEXT_EDGES_SCHEMA
    for column in ("text", query)[: 1 if query == "skill_id" else 2]:
        edges = one_form(edges, column)
    distinct = edges.unique([query, "text"], keep="first", maintain_order=True).sort(query, "text")
    columns = {name: distinct[name].to_arrow() for name in schema.names}
    table = pa.table({name: column.cast(schema.field(name).type) for name, column in columns.items()}, schema=schema)
    pq.write_table(table, path)
    counts[f"{path.stem}: edges"] = len(distinct)
    counts[f"{path.stem}: texts"] = distinct["text"].n_unique()
    counts[f"{path.stem}: queries"] = distinct[query].n_unique()
    for source, edges_of_source in distinct.group_by("source").len().sort("source").iter_rows():
        counts[f"{path.stem}: edges from {source}"] = edges_of_source
