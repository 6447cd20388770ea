"""Composed advertisement lines: fragments and lists that name several skills at once, as real vacancies do.

Generated sentences mostly imply one skill; lines of vacancies list several by name. These are put together from the
labels and paraphrases of skills that one profile holds, so that every skill they name is known.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

# How often a line names one, two, three or four skills.
_COUNTS = (0.3, 0.35, 0.25, 0.1)
_LABEL_SHARE = 0.5
_PARENTHESES = re.compile(r"\s*\([^)]*\)\s*$")

# {} is the list of skills: things to do in the first group, fields of knowledge in the second, either in the third.
_TO_DO = (
    "You {}.",
    "In this role you {}.",
    "Ability to {}",
    "Your tasks: {}",
    "You will {} on a daily basis.",
    "We expect you to {}.",
    "Able to {} without supervision",
    "Together with the team you {}.",
    "Proven ability to {}.",
    "Day to day you will {}.",
)
_TO_KNOW = (
    "Knowledge of {} is a must.",
    "Good command of {}",
    "Solid background in {}.",
    "You are at home in {}.",
    "{} experience required",
    "2+ years of {}",
    "Familiar with {} (nice to have)",
    "Strong in {}.",
    "Degree or training in {}",
    "Hands-on {} skills",
)
_EITHER = (
    "{}",
    "- {}",
    "Requirements: {}",
    "What you bring: {}",
    "Must have: {}",
    "Skills: {}.",
    "Profile: {}",
    "Main responsibilities include: {}",
    "Keywords: {}",
    "Nice to have: {}",
)
_LISTS = ((", ", " and "), (", ", ", "), ("; ", "; "), (" / ", " / "), (", ", " as well as "), (" & ", " & "))


@dataclass(frozen=True)
class Mentions:
    """How a skill may be named in a line.

    Attributes:
        label: its official label.
        paraphrases: other ways to say it.
        is_knowledge: a field of knowledge rather than something to do.
    """

    label: str
    paraphrases: Sequence[str]
    is_knowledge: bool


@dataclass(frozen=True)
class AdLine:
    """A line and the skills it names."""

    text: str
    skills: tuple[int, ...]


def compose_lines(
    profiles: Sequence[Sequence[int]], mentions: Mapping[int, Mentions], count: int, seed: int
) -> list[AdLine]:
    """So many lines, spread evenly over the profiles; each depends on the seed and its number alone.

    Args:
        profiles: skills that are needed together, such as an occupation's; empty ones are passed over.
        mentions: how each skill may be named.
        count: of lines.
        seed: of the choices.
    """
    usable = [profile for profile in profiles if profile]
    if not usable:
        return []
    return [
        compose_line(usable[number % len(usable)], mentions, random.Random(f"{seed} {number}"))  # noqa: S311
        for number in range(count)
    ]


def compose_line(profile: Sequence[int], mentions: Mapping[int, Mentions], choose: random.Random) -> AdLine:
    """One line that names one to four skills of a profile."""
    wanted = choose.choices(range(1, len(_COUNTS) + 1), _COUNTS)[0]
    skills = choose.sample(list(profile), min(wanted, len(profile)))
    kinds = {mentions[skill].is_knowledge for skill in skills}
    own = (_TO_KNOW if kinds == {True} else _TO_DO) if len(kinds) == 1 else ()
    template = choose.choice([*own, *_EITHER])
    separator, last = choose.choice(_LISTS)
    names = [_name(mentions[skill], choose) for skill in skills]
    listed = last.join([separator.join(names[:-1]), names[-1]]) if len(names) > 1 else names[0]
    text = template.format(listed)
    return AdLine(text[0].upper() + text[1:], tuple(sorted(skills)))


def _name(mention: Mentions, choose: random.Random) -> str:
    if mention.paraphrases and choose.random() >= _LABEL_SHARE:
        return choose.choice(list(mention.paraphrases))
    return _PARENTHESES.sub("", mention.label)  # nobody writes "Java (computer programming)" in a vacancy
