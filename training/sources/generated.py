"""Texts for skills that were generated before: tab-separated without quoting, a row per skill, values joined by `|`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from training.pipeline.generation.generated_texts import (
    RULES,
    DescribedSkill,
    Generated,
    GeneratedText,
    Progress,
    TextKind,
    Unfinished,
    clean,
    dropped_counts,
    joined,
    numbered,
)
from training.sources.files import Row, read_table, refuse
from uwe_core.errors import DataError
from uwe_core.files import sha256_of
from uwe_core.text import unreadable_reason

NO_TEXTS = "no texts in the file"
_COLUMNS: Mapping[TextKind, str] = {"title": "job_titles", "alternative": "paraphrases", "sentence": "sentences"}


class GeneratedFile:
    """A file of texts as a source of the stage `generate`.

    Raises:
        DataError: there is no such file.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise DataError(path, None, "is missing")
        self._path = path

    def facts(self) -> Mapping[str, Any]:
        """The file's hash."""
        return {"file": sha256_of(self._path)}

    def texts_of(self, skills: Sequence[DescribedSkill], progress: Progress) -> Generated:
        """The texts of `skills` in their order. A skill without a text of some kind is unfinished.

        Raises:
            DataError: a bad row, by file and line.
        """
        rows = read_generated_rows(self._path)
        parts = []
        for done, skill in enumerate(skills, start=1):
            parts.append(_texts_of(skill, rows.get(skill.uri)))
            progress(done, len(skills))
        unknown = rows.keys() - {skill.uri for skill in skills}
        texts = sum(len(_values(rows[uri], kind)) for uri in unknown for kind in _COLUMNS)
        foreign = Counter({"skills outside the taxonomy": len(unknown), "texts of skills outside the taxonomy": texts})
        return joined([*parts, Generated(counts=+foreign)])


def read_generated_rows(path: Path) -> dict[str, Row]:
    """The rows by the URI of their skill.

    Raises:
        DataError: the file is not such a table, or names bad rows by line.
    """
    columns = ("conceptUri", "preferredLabel", *_COLUMNS.values())
    rows: dict[str, Row] = {}
    problems: list[tuple[int, str]] = []
    for row in read_table(path.read_bytes(), path, columns, delimiter="\t", quoted=False):
        uri = row["conceptUri"].strip()
        if not uri:
            problems.append((row.line, "conceptUri is empty"))
        elif uri in rows:
            problems.append((row.line, f"conceptUri {uri} stands on line {rows[uri].line} already"))
        elif reason := unreadable_reason(row["preferredLabel"]):
            problems.append((row.line, f"preferredLabel {reason}"))
        else:
            rows[uri] = row
    refuse(path, problems)
    return rows


def _texts_of(skill: DescribedSkill, row: Row | None) -> Generated:
    texts: list[GeneratedText] = []
    unfinished: list[Unfinished] = []
    counts: Counter[str] = Counter()
    for kind in _COLUMNS:
        cleaned = clean(_values(row, kind) if row else [], skill.label, RULES[kind])
        texts += numbered(skill, kind, cleaned.kept)
        counts += dropped_counts(kind, cleaned.dropped)
        if not cleaned.kept:
            unfinished.append(Unfinished(skill.uri, kind, NO_TEXTS, 0))
    return Generated(texts, unfinished, counts)


def _values(row: Row, kind: TextKind) -> list[str]:
    field = row[_COLUMNS[kind]]
    return field.split("|") if field.strip() else []
