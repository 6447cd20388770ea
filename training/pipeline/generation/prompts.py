"""What a language model is told: every prompt of the pipeline, so that one file says what the texts were made from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from training.pipeline.generation.generated_texts import DescribedSkill

SYSTEM = (
    "You know the labour market and write about work as employers and applicants do, in the language of the skill you "
    "are given. Answer with the JSON that is asked for and nothing around it."
)

_TITLES = """\
Think of {count} vacancies whose holders cannot do without this skill, and write down their job titles.

Every title
- has two words or more;
- may carry the noise of a real job board: CAPITALS or no capitals at all, a grade such as junior or head of, a town, \
a sector, shift or contract, set off by dashes, slashes, commas, pipes or brackets; vary it, and leave some clean;
- differs from the others in occupation, sector or grade, not in case or punctuation alone.
{naming}"""
_FIRST_MAY_NAME = "The first title may contain the name of the skill as it stands above; all others must do without it."
_NONE_MAY_NAME = "No title may contain the name of the skill as it stands above."

_ALTERNATIVES = """\
Say this skill in {count} other ways: synonyms, everyday wording, jargon, shorter and longer phrases. Each has the \
same meaning, is neither broader nor narrower, and stands by itself without a full stop. None repeats the name as it is.

Of other skills, one rewording each:
{examples}"""

_NAMING = """\
Write {count} sentences that could stand in job advertisements and that ask for this skill by its name, be it \
inflected. Each comes from the advertisement of another employer: vary tone, length, sector and person, and let some \
say other things as well."""

_IMPLYING = """\
Write {count} sentences that could stand in job advertisements and that only someone with this skill could live up to, \
though its name does not occur: tell the duties, situations, tools or results that need it. Each comes from the \
advertisement of another employer: vary tone, length, sector and person."""


@dataclass(frozen=True)
class Example:
    """A skill's label and one other way to say it."""

    label: str
    alternative: str


Examples = tuple[Example, Example, Example]


def titles_prompt(skill: DescribedSkill, count: int, given: Sequence[str]) -> str:
    """Ask for job titles; where some are given, the first one that may name the skill is among them."""
    naming = _NONE_MAY_NAME if given else _FIRST_MAY_NAME
    return _prompt(skill, _TITLES.format(count=count, naming=naming), given)


def alternatives_prompt(skill: DescribedSkill, count: int, given: Sequence[str], examples: Examples) -> str:
    """Ask for other ways to say the skill."""
    shown = "\n".join(f"- {example.label} -> {example.alternative}" for example in examples)
    return _prompt(skill, _ALTERNATIVES.format(count=count, examples=shown), given)


def naming_sentences_prompt(skill: DescribedSkill, count: int, given: Sequence[str]) -> str:
    """Ask for sentences that name the skill."""
    return _prompt(skill, _NAMING.format(count=count), given)


def implying_sentences_prompt(skill: DescribedSkill, count: int, given: Sequence[str]) -> str:
    """Ask for sentences that imply the skill."""
    return _prompt(skill, _IMPLYING.format(count=count), given)


def _prompt(skill: DescribedSkill, task: str, given: Sequence[str]) -> str:
    meaning = f"\nMeaning: {skill.description}" if skill.description else ""
    parts = [f"Skill: {skill.label}{meaning}", task]
    if given:
        parts.append("These are there already; write others:\n" + "\n".join(f"- {text}" for text in given))
    return "\n\n".join(parts)
