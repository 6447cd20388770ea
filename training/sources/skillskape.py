"""SkillSkape: synthetic advertisement sentences with the ESCO skills they show (Magron et al. 2024, MIT)."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path

from training.sources.files import SourceFolder, refuse

FILES = ("train.csv", "dev.csv")
_NO_SKILL = "UNK"


@dataclass(frozen=True)
class AnnotatedSentence:
    """A sentence and the labels of its skills; none where it shows no skill."""

    sentence: str
    labels: tuple[str, ...]


def read_skillskape(root: Path) -> list[AnnotatedSentence]:
    """All sentences of both parts.

    Raises:
        DataError: a file is missing, or a row's skills are not a list of labels; names file and line.
    """
    folder, found = SourceFolder(root), []
    for name in FILES:
        problems: list[tuple[int, str]] = []
        for row in folder.table(name, ("sentence", "skills")):
            labels = _labels(row["skills"])
            if labels is None:
                problems.append((row.line, f"skills are not a list of labels: {row['skills'][:60]}"))
            else:
                found.append(AnnotatedSentence(row["sentence"].strip(), labels))
        refuse(root / name, problems)
    return found


def _labels(field: str) -> tuple[str, ...] | None:
    try:
        labels = ast.literal_eval(field)
    except (ValueError, SyntaxError):
        return None
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        return None
    return tuple(label.strip() for label in labels if label != _NO_SKILL)
