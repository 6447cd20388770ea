"""Texts that a language model wrote for the skills of a taxonomy: which of them are kept, and why others are not."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from uwe_core.text import same_text_key, unreadable_reason

TextKind = Literal["title", "alternative", "sentence"]
Naming = Literal["anywhere", "first", "nowhere"]
Progress = Callable[[int, int], None]

BLANK = "blank"
UNREADABLE = "unreadable"
ONE_WORD = "one word"
IS_LABEL = "equals the skill's label"
NAMES_SKILL = "names the skill"
DUPLICATE = "duplicate"


@dataclass(frozen=True)
class DescribedSkill:
    """What a language model is told of a skill."""

    uri: str
    label: str
    description: str


@dataclass(frozen=True)
class GeneratedText:
    """A text for a skill; `position` counts the texts of the skill's kind from 0."""

    skill_uri: str
    kind: TextKind
    position: int
    text: str


@dataclass(frozen=True)
class Unfinished:
    """A skill that has `given` texts of a kind, fewer than it should, and why."""

    skill_uri: str
    kind: TextKind
    reason: str
    given: int


@dataclass(frozen=True)
class Generated:
    """The texts of some skills, in the order of the skills; `counts` says what was dropped, by reason."""

    texts: Sequence[GeneratedText] = ()
    unfinished: Sequence[Unfinished] = ()
    counts: Counter[str] = field(default_factory=Counter)


class TextSource(Protocol):
    """Where the texts of skills come from."""

    def facts(self) -> Mapping[str, Any]:
        """All that decides the texts beside the skills, as JSON can hold it."""

    def texts_of(self, skills: Sequence[DescribedSkill], progress: Progress) -> Generated:
        """The texts of `skills` in their order; `progress` is told skills done and their total."""


@dataclass(frozen=True)
class Rule:
    """What a text must be: how many words it has at least, and whether it may hold the skill's label."""

    least_words: int = 1
    naming: Naming = "anywhere"


TITLE_RULE = Rule(least_words=2, naming="first")
FREE_RULE = Rule()
IMPLYING_RULE = Rule(naming="nowhere")
RULES: Mapping[TextKind, Rule] = {"title": TITLE_RULE, "alternative": FREE_RULE, "sentence": FREE_RULE}


@dataclass(frozen=True)
class Cleaned:
    """Texts that are kept, in their order, and how many were dropped for each reason."""

    kept: list[str]
    dropped: Counter[str]


def valid_title(title: str) -> bool:
    """Whether a job title has at least two words; whitespace alone separates words."""
    return len(title.split()) >= TITLE_RULE.least_words


def names_skill(text: str, label: str) -> bool:
    """Whether a text holds the label word for word, in whatever case.

    `&`, `+` and `#` belong to a word here: neither `R&D` names R, nor `C++` or `C#` the language C.
    """
    name, within = same_text_key(label), text.casefold()
    # Most texts end at the first test, which saves compiling a pattern for every skill.
    return name in within and re.search(rf"(?<![\w&]){re.escape(name)}(?![\w&+#])", within) is not None


def clean(texts: Iterable[str], label: str, rule: Rule, given: Sequence[str] = ()) -> Cleaned:
    """Strip texts of outer whitespace and drop what breaks the rule, by its first reason.

    Args:
        texts: as they were written.
        label: of the skill.
        rule: of their kind.
        given: texts kept before, which are not to come again.
    """
    kept: list[str] = []
    dropped: Counter[str] = Counter()
    seen = {same_text_key(text) for text in given}
    for text in texts:
        reason = _fault(text, label, rule, first=not (given or kept))
        if reason is None and same_text_key(text) in seen:
            reason = DUPLICATE
        if reason is None:
            seen.add(same_text_key(text))
            kept.append(text.strip())
        else:
            dropped[reason] += 1
    return Cleaned(kept, dropped)


def _fault(text: str, label: str, rule: Rule, *, first: bool) -> str | None:
    """What is wrong with a text by itself; `first` where no text was kept before it."""
    if unreadable_reason(text):
        return UNREADABLE if text.strip() else BLANK
    if len(text.split()) < rule.least_words:
        return ONE_WORD
    if same_text_key(text) == same_text_key(label):
        return IS_LABEL
    may_name = rule.naming == "anywhere" or (rule.naming == "first" and first)
    return None if may_name or not names_skill(text, label) else NAMES_SKILL


def numbered(skill: DescribedSkill, kind: TextKind, texts: Iterable[str]) -> list[GeneratedText]:
    """Kept texts with their positions."""
    return [GeneratedText(skill.uri, kind, position, text) for position, text in enumerate(texts)]


def dropped_counts(kind: TextKind, dropped: Mapping[str, int]) -> Counter[str]:
    """Drops of a kind under the names that a manifest has for them."""
    return Counter({f"dropped {kind}: {reason}": count for reason, count in dropped.items()})


def joined(parts: Iterable[Generated]) -> Generated:
    """Several skills' texts as one."""
    texts: list[GeneratedText] = []
    unfinished: list[Unfinished] = []
    counts: Counter[str] = Counter()
    for part in parts:
        texts.extend(part.texts)
        unfinished.extend(part.unfinished)
        counts.update(part.counts)
    return Generated(texts, unfinished, counts)
