"""The leak check: no text that a test set holds may be trained on.

Labels and descriptions of skills are exempt: training is grounded in the skill space (paper, section 3).
"""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from training.sources.esco import Cleaning, read_occupations, read_skills
from training.sources.files import SourceFolder, read_table
from uwe_core.errors import LeakError
from uwe_core.graph import BipartiteGraph
from uwe_core.sample import sample_jobs, sample_rows, sample_skills

OCCUPATION_LABEL = "ESCO occupation label"
SKILL_ALTERNATIVE = "ESCO alternative label of a skill"
JOBBERT_TITLE = "JobBERT title"
SKILLSPAN_SENTENCE = "SkillSpan sentence"
# What a graph may hold though a test set holds it: the descriptions of the skills themselves.
EXEMPT_SOURCES = frozenset({"description"})


def leak_key(text: str) -> str:
    """Texts with equal keys are the same text: compatibility forms, case and whitespace are ignored."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


@dataclass(frozen=True)
class LeakCheck:
    """The texts of all test sets, by key, each with the rule that forbids it."""

    rules: Mapping[str, str]

    @cached_property
    def fingerprint(self) -> str:
        """Content hash of texts and rules."""
        return hashlib.sha256(json.dumps(sorted(self.rules.items())).encode()).hexdigest()

    def rule(self, text: str) -> str | None:
        """The rule that forbids a text, or None."""
        return self.rules.get(leak_key(text))

    def allowed(self, texts: Sequence[str], source: str, counts: Counter[str]) -> list[bool]:
        """Whether each text may be trained on; those that may not are counted by rule and source."""
        found = [self.rule(text) for text in texts]
        counts.update(f"leaks dropped: {rule} in {source}" for rule in found if rule is not None)
        return [rule is None for rule in found]

    def refuse(self, graphs: Iterable[BipartiteGraph]) -> None:
        """Check graphs before training.

        Raises:
            LeakError: a text of a test set is in one of them.
        """
        for graph in graphs:
            texts = [
                text for text, source in zip(graph.targets, graph.sources, strict=True) if source not in EXEMPT_SOURCES
            ]
            for text in texts if graph.of_skills else [*texts, *graph.queries]:
                rule = self.rule(text)
                if rule is not None:
                    raise LeakError(f"the graph '{graph.name}' holds '{text}', which is a test text: {rule}")


def sample_leak_check() -> LeakCheck:
    """The texts that the data sets of the built-in sample are judged on."""
    jobs, skills = sample_jobs(), sample_skills()
    rules = dict.fromkeys(map(leak_key, jobs.texts), OCCUPATION_LABEL)
    for space, rule in ((jobs, OCCUPATION_LABEL), (skills, SKILL_ALTERNATIVE)):
        for metadata in space.metadata_of(range(len(space))):
            rules |= dict.fromkeys(map(leak_key, metadata["alternative_labels"]), rule)
    rules |= dict.fromkeys((leak_key(row["title"]) for row in sample_rows("vacancy_titles")), JOBBERT_TITLE)
    rules |= dict.fromkeys((leak_key(row["text"]) for row in sample_rows("sentences")), SKILLSPAN_SENTENCE)
    return LeakCheck(rules)


def local_leak_check(root: Path) -> LeakCheck:
    """The test texts of a folder in the layout of the evaluation data: all releases, all splits."""
    rules: dict[str, str] = {}
    for release in sorted(root.glob("esco-*")):
        folder = SourceFolder(release)
        if "occupations_en.csv" in folder.names:
            for occupation in read_occupations(folder, "occupations_en.csv", Cleaning()):
                texts = (occupation.label, *occupation.alternative_labels)
                rules |= dict.fromkeys(map(leak_key, texts), OCCUPATION_LABEL)
        if "skills_en.csv" in folder.names:
            for skill in read_skills(folder, "skills_en.csv", Cleaning()):
                rules |= dict.fromkeys(map(leak_key, skill.alternative_labels), SKILL_ALTERNATIVE)
    rules |= _column(root, "jobbert/*.csv", "vacancyTitle", JOBBERT_TITLE)
    rules |= _column(root, "skillspan-esco/*.csv", "sentence", SKILLSPAN_SENTENCE)
    return LeakCheck(rules)


def _column(root: Path, pattern: str, column: str, rule: str) -> dict[str, str]:
    return {
        leak_key(row[column]): rule
        for path in sorted(root.glob(pattern))
        for row in read_table(path.read_bytes(), path, [column])
    }
