"""Texts for the sample's skills, made by rules from label, description and sector: no language model is needed.

They are poorer than what a language model writes, and enough to see a model learn. Alternative labels are not used:
the sample's test sets hold them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from training.pipeline.generation.generated_texts import (
    RULES,
    DescribedSkill,
    Generated,
    Progress,
    TextKind,
    clean,
    dropped_counts,
    joined,
    numbered,
)
from training.pipeline.stage import code_of
from uwe_core.sample import sample_rows

# The skills of each sector stand together, in the order in which the jobs name the sectors; the rest have none.
_SKILLS_PER_SECTOR = 22
_ANY_SECTOR = "general"
_ARTICLE = re.compile("^(an?|the) ")


class SampleTexts:
    """The sample's skills as a source of the stage `generate`."""

    def __init__(self) -> None:
        self._types = {row["id"]: row["type"] for row in sample_rows("skills")}
        self._sectors = list(dict.fromkeys(row["sector"] for row in sample_rows("jobs")))

    def facts(self) -> Mapping[str, Any]:
        """The rules themselves."""
        return {"rules": code_of(__name__)}

    def texts_of(self, skills: Sequence[DescribedSkill], progress: Progress) -> Generated:
        """The texts of `skills` in their order."""
        parts = []
        for done, skill in enumerate(skills, start=1):
            parts.append(self._texts_of(skill))
            progress(done, len(skills))
        return joined(parts)

    def _texts_of(self, skill: DescribedSkill) -> Generated:
        can_do = self._types.get(skill.uri) == "skill"
        texts = written_by_rule(skill, self._sector(skill.uri), can_do=can_do)
        cleaned = {kind: clean(texts[kind], skill.label, RULES[kind]) for kind in texts}
        return joined(
            Generated(numbered(skill, kind, of_kind.kept), (), dropped_counts(kind, of_kind.dropped))
            for kind, of_kind in cleaned.items()
        )

    def _sector(self, uri: str) -> str:
        place = (int(uri.removeprefix("S")) - 1) // _SKILLS_PER_SECTOR
        return self._sectors[place] if place < len(self._sectors) else _ANY_SECTOR


def written_by_rule(skill: DescribedSkill, sector: str, *, can_do: bool) -> dict[TextKind, list[str]]:
    """Titles, alternatives and sentences.

    Args:
        skill: its description begins with what one does, where `can_do`.
        sector: in which it is used.
        can_do: it is something one does, not something one knows or is.
    """
    words = skill.label.split()
    thing = " ".join(words[1:]) if can_do and len(words) > 2 else skill.label
    first, rest = _clauses(skill.description)
    if can_do:
        person = f"{sector} professional who can {first}"
        sentences = [f"In this {sector} role you {first}.", f"Part of the work: {rest}."]
    else:
        person = f"{sector} professional with {first}"
        sentences = [f"For this {sector} role we look for {first}.", f"You bring with you: {rest}."]
    return {
        "title": [f"{_ARTICLE.sub('', thing)} specialist", f"{sector} assistant", person],
        "alternative": [first, rest],
        "sentence": sentences,
    }


def _clauses(description: str) -> tuple[str, str]:
    """What a description says first, and the rest of it, both within a sentence."""
    text = description.strip().rstrip(".")
    text = text[:1].lower() + text[1:]
    first, _, rest = text.partition(", ")
    return first, re.sub(r"^and ", "", rest) or first
