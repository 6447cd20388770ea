"""Assemble: edges from all sources to the graphs that training reads, without a text that a test set holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from training.pipeline.enrich import TITLE_EDGES_FILE
from training.pipeline.graph_sources import SourceTables
from training.pipeline.inputs import Skill
from training.pipeline.leaks import EXEMPT_SOURCES, LeakCheck
from training.sources.skillskape import read_skillskape
from uwe_core.graph import SKILL_EDGES_SCHEMA, SKILLS_FILE, SKILLS_SCHEMA, TEXT_EDGES_SCHEMA
from uwe_core.text import same_text_key

_COLUMNS = ("skill_id", "text", "source", "group", "confidence")
VALIDATION_FILE = "titles.parquet"
VALIDATION_FOLDER = "validation"


def write_graphs(
    folder: Path, tables: SourceTables, enriched: Path, sharpened: Path, skillskape: Path | None, check: LeakCheck
) -> dict[str, int]:
    """Write every graph, the skills, and the validation titles.

    Returns:
        Edges, nodes, and what was dropped by reason.
    """
    counts: Counter[str] = Counter()
    graphs = {
        "job": job_edges(sharpened, enriched),
        "sentence": sentence_edges(tables, sharpened, skillskape, counts),
        "alternative": _edges(tables.generated("alternative"), "generated"),
    }
    for name, file in (("title", "titles.parquet"), ("activity", "activities.parquet")):
        if (sharpened / file).is_file():
            graphs[name] = _edges(pl.read_parquet(sharpened / file), "onet")
    for name, edges in graphs.items():
        columns = [column for column in ("text", "query") if column in edges.columns]
        write_graph(without_leaks(edges, check, columns, counts), folder / f"{name}.parquet", counts)
    skills = [
        {"skill_id": number, "uri": skill.uri, "label": skill.label, "description": skill.description}
        for number, skill in enumerate(tables.skills)
    ]
    pq.write_table(pa.Table.from_pylist(skills, schema=SKILLS_SCHEMA), folder / SKILLS_FILE)
    _write_validation(tables.validation_edges, folder / VALIDATION_FOLDER, check, counts)
    return dict(counts)


def job_edges(sharpened: Path, enriched: Path) -> pl.DataFrame:
    """Real titles, then what generated titles add."""
    real = pl.read_parquet(sharpened / "jobs.parquet").rename({"title": "text"})
    return pl.concat([real.select(_COLUMNS), pl.read_parquet(enriched / TITLE_EDGES_FILE).select(_COLUMNS)])


def sentence_edges(
    tables: SourceTables, sharpened: Path, skillskape: Path | None, counts: Counter[str]
) -> pl.DataFrame:
    """Generated sentences, composed lines, annotated sentences, and the description of every skill that has one."""
    described = [(skill.description, number) for number, skill in enumerate(tables.skills) if skill.description.strip()]
    annotated = [] if skillskape is None else skillskape_edges(skillskape, tables.skills, counts)
    return pl.concat(
        [
            _edges(tables.generated("sentence"), "generated"),
            _edges(pl.read_parquet(sharpened / "lines.parquet"), "composed"),
            _edges(_rows(annotated), "skillskape"),
            _edges(_rows(described), "description"),
        ]
    )


def skillskape_edges(root: Path, skills: Sequence[Skill], counts: Counter[str]) -> list[tuple[str, int]]:
    """SkillSkape's sentences with the skills whose labels they bear; other labels are counted."""
    numbers = {same_text_key(skill.label): number for number, skill in enumerate(skills)}
    found = []
    for row in read_skillskape(root):
        for label in row.labels:
            number = numbers.get(same_text_key(label))
            if number is None:
                counts["dropped: skillskape labels that are no skill here"] += 1
            else:
                found.append((row.sentence, number))
    return found


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


def _write_validation(edges: pl.DataFrame, folder: Path, check: LeakCheck, counts: Counter[str]) -> None:
    """Titles kept for validation and the skills they need; no test text may choose a model either."""
    allowed = without_leaks(edges.with_columns(source=pl.lit("validation")), check, ["title"], counts)
    folder.mkdir()
    allowed.select("title", "skill_id").sort("title", "skill_id").write_parquet(folder / VALIDATION_FILE)
    counts["validation: titles"] = allowed["title"].n_unique()
    counts["validation: edges"] = len(allowed)


def _edges(pairs: pl.DataFrame, source: str) -> pl.DataFrame:
    """Edges of one source that are certain, with the columns that a graph has."""
    group = pl.col("group") if "group" in pairs.columns else pl.lit("")
    query = "skill_id" if "skill_id" in pairs.columns else "query"
    return pairs.select(
        query, "text", source=pl.lit(source), group=group, confidence=pl.lit(1.0, pl.Float32)
    )  # fmt: skip


def _rows(rows: Sequence[tuple[str, int]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema={"text": pl.String, "skill_id": pl.Int32}, orient="row")
