"""Documents: vacancies and occupations as sentences and titles, the form that the later stages read.

A vacancy is a document with one title; an occupation of O*NET is one with all the titles that people in it bear.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq
import sentencex

from training.pipeline.chance import fixed_choice
from training.pipeline.config import DocumentsConfig
from training.pipeline.ingest import VACANCIES_FILE
from training.pipeline.tables import GroupedWriter
from uwe_core.text import same_text_key

SENTENCES_FILE = "sentences.parquet"
TITLES_FILE = "titles.parquet"
SENTENCES_SCHEMA = pa.schema([("document", pa.int64()), ("position", pa.int32()), ("sentence", pa.string())])
# Titles with equal keys merge; `group` decides the split into training and validation: titles of one occupation stay
# together.
TITLES_SCHEMA = pa.schema(
    [("document", pa.int64()), *((name, pa.string()) for name in ("title", "key", "source", "group"))]
)
_BULLETS = "-*>\u2022\u00b7\u2013\u2014\u25aa\u25e6\u2023"
Source = Literal["vacancy", "onet"]


@dataclass(frozen=True)
class Document:
    """What one advertisement or occupation says, and the titles it says it of."""

    source: Source
    group: str
    titles: tuple[str, ...]
    sentences: tuple[str, ...]


def split_sentences(text: str, language: str = "en") -> list[str]:
    """The sentences of a description. A line break always ends one: advertisements are full of lists.

    Bullets and other leading marks are stripped, and what holds no letter is no sentence.
    """
    found = []
    for line in text.splitlines():
        for sentence in sentencex.segment(language, line):
            stripped = sentence.strip().lstrip(_BULLETS).strip()
            if any(character.isalpha() for character in stripped):
                found.append(stripped)
    return found


def vacancy_documents(folder: Path, language: str) -> Iterator[Document]:
    """The ingested vacancies, streamed."""
    with pq.ParquetFile(folder / VACANCIES_FILE) as file:
        for batch in file.iter_batches(batch_size=1024, columns=["title", "description"]):
            for row in batch.to_pylist():
                sentences = split_sentences(row["description"], language)
                yield Document("vacancy", same_text_key(row["title"]), (row["title"],), tuple(sentences))


def onet_documents(folder: Path, config: DocumentsConfig, seed: int) -> Iterator[Document]:
    """The ingested occupations: description, tasks and, where asked for, the technologies they use."""
    occupations = pq.read_table(folder / "occupations.parquet").to_pylist()
    chosen = fixed_choice([row["code"] for row in occupations], config.limit_occupations, seed)
    titles, tasks, products = (
        _by_code(folder / f"{table}.parquet", column)
        for table, column in (("titles", "title"), ("tasks", "task"), ("technologies", "example"))
    )
    for row in map(occupations.__getitem__, chosen):
        code = row["code"]
        sentences = [*split_sentences(row["description"], config.language), *tasks.get(code, [])]
        if config.technologies:
            sentences += dict.fromkeys(products.get(code, []))
        yield Document("onet", code, (row["title"], *titles.get(code, [])), tuple(sentences))


def all_documents(vacancies: Path | None, onet: Path | None, config: DocumentsConfig, seed: int) -> Iterator[Document]:
    """The documents of every source that was ingested."""
    if vacancies is not None:
        yield from vacancy_documents(vacancies, config.language)
    if onet is not None:
        yield from onet_documents(onet, config, seed)


def write_documents(documents: Iterable[Document], folder: Path, sentences_per_part: int) -> Counter[str]:
    """Write titles and sentences, the sentences in row groups of whole documents: the parts of extraction.

    Returns:
        Counts by source; documents without a sentence are dropped.
    """
    counts: Counter[str] = Counter(documents=0, sentences=0, titles=0)
    kept = 0
    with (
        GroupedWriter(folder / SENTENCES_FILE, SENTENCES_SCHEMA) as sentences,
        GroupedWriter(folder / TITLES_FILE, TITLES_SCHEMA) as titles,
    ):
        for document in documents:
            counts["documents"] += 1
            counts[f"documents from {document.source}"] += 1
            if not document.sentences:
                counts["dropped: no sentence"] += 1
                continue
            sentences.add([(kept, place, text) for place, text in enumerate(document.sentences)], sentences_per_part)
            titles.add(
                [(kept, title, same_text_key(title), document.source, document.group) for title in document.titles]
            )
            counts["sentences"] += len(document.sentences)
            counts["titles"] += len(document.titles)
            kept += 1
    counts["documents kept"] = kept
    return counts


def _by_code(path: Path, column: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for row in pq.read_table(path, columns=["code", column]).to_pylist():
        found.setdefault(row["code"], []).append(row[column])
    return found
