"""The questions put to a language model about one skill: how many texts are asked for, and what is asked again.

Nothing is sent here: whoever sends puts the questions and hands in the answers, so equal answers give equal texts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from functools import partial

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from training.pipeline.generation.answers import Tokens
from training.pipeline.generation.generated_texts import (
    FREE_RULE,
    IMPLYING_RULE,
    TITLE_RULE,
    DescribedSkill,
    Generated,
    GeneratedText,
    Rule,
    TextKind,
    Unfinished,
    clean,
    dropped_counts,
    numbered,
)
from training.pipeline.generation.prompts import (
    Examples,
    alternatives_prompt,
    implying_sentences_prompt,
    naming_sentences_prompt,
    titles_prompt,
)

REFUSED = "refused"
CUT_OFF = "cut off"
EMPTY = "empty"
BROKEN_JSON = "broken JSON"
WRONG_SCHEMA = "wrong schema"
TOO_FEW = "too few texts"


class Wanted(BaseModel):
    """How many texts each skill should have at least; half of the sentences name it, the others imply it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    titles: int = Field(default=20, ge=0)
    alternatives: int = Field(default=20, ge=0)
    sentences: int = Field(default=10, ge=0)


class Texts(BaseModel):
    """The JSON that a model answers with."""

    model_config = ConfigDict(extra="forbid")

    texts: list[str]


@dataclass(frozen=True)
class Question:
    """A prompt that asks for a number of texts; `round` counts the questions for the same texts from 1."""

    prompt: str
    missing: int
    round: int


@dataclass(frozen=True)
class Answer:
    """The texts of an answer, or why it is of no use; `used` is None where the server does not tell."""

    texts: Sequence[str] = ()
    fault: str | None = None
    used: Tokens | None = None


@dataclass(frozen=True)
class Ask:
    """One thing to be asked about every skill."""

    kind: TextKind
    wanted: int
    rule: Rule
    prompt: Callable[[DescribedSkill, int, Sequence[str]], str]


def asks_for(wanted: Wanted, examples: Examples) -> tuple[Ask, ...]:
    """What is asked about every skill, in this order."""
    implying = wanted.sentences // 2
    return (
        Ask("title", wanted.titles, TITLE_RULE, titles_prompt),
        Ask("alternative", wanted.alternatives, FREE_RULE, partial(alternatives_prompt, examples=examples)),
        Ask("sentence", wanted.sentences - implying, FREE_RULE, naming_sentences_prompt),
        Ask("sentence", implying, IMPLYING_RULE, implying_sentences_prompt),
    )


def converse(skill: DescribedSkill, asks: Sequence[Ask], most_rounds: int) -> Generator[Question, Answer, Generated]:
    """Put the questions about a skill, one at a time; what is missing after `most_rounds` of a kind stays missing.

    Returns:
        The texts that are kept, even of a kind that is unfinished, and counts of drops and of useless answers.
    """
    kept: dict[TextKind, list[str]] = {ask.kind: [] for ask in asks}
    reasons: dict[TextKind, str] = {}
    counts: Counter[str] = Counter()
    for ask in asks:
        found, reason = yield from _rounds(skill, ask, kept[ask.kind], most_rounds, counts)
        kept[ask.kind] += found
        if reason is not None:
            reasons.setdefault(ask.kind, reason)
    texts: list[GeneratedText] = []
    for kind, values in kept.items():
        texts += numbered(skill, kind, values)
    unfinished = [Unfinished(skill.uri, kind, reason, len(kept[kind])) for kind, reason in reasons.items()]
    return Generated(texts, unfinished, counts)


def _rounds(
    skill: DescribedSkill, ask: Ask, before: Sequence[str], most_rounds: int, counts: Counter[str]
) -> Generator[Question, Answer, tuple[list[str], str | None]]:
    """Ask until enough is there; the texts found, and why they are too few, if they are."""
    found: list[str] = []
    reason: str | None = None
    for number in range(1, most_rounds + 1):
        if len(found) >= ask.wanted:
            break
        given, missing = [*before, *found], ask.wanted - len(found)
        answer = yield Question(ask.prompt(skill, missing, given), missing, number)
        reason = answer.fault or TOO_FEW
        counts[f"useless answers: {answer.fault}"] += answer.fault is not None
        cleaned = clean(answer.texts, skill.label, ask.rule, given)
        counts += dropped_counts(ask.kind, cleaned.dropped)
        found += cleaned.kept
    return found, reason if len(found) < ask.wanted else None


def read_answer(body: bytes) -> Answer:
    """An answer from the body of a chat completion; whatever is wrong with it becomes its fault, never an error."""
    try:
        completion = _Completion.model_validate_json(body)
    except ValidationError as error:
        return Answer(fault=REFUSED if _is_filtered(body) else _fault_of(error))
    used = completion.usage.tokens if completion.usage else None
    choice = completion.choices[0]
    content = choice.message.content or ""
    if choice.message.refusal or choice.finish_reason == "content_filter":
        return Answer(fault=REFUSED, used=used)
    if choice.finish_reason == "length":
        return Answer(fault=CUT_OFF, used=used)
    if not content.strip():
        return Answer(fault=EMPTY, used=used)
    try:
        return Answer(Texts.model_validate_json(content).texts, used=used)
    except ValidationError as error:
        return Answer(fault=_fault_of(error), used=used)


def _fault_of(error: ValidationError) -> str:
    return BROKEN_JSON if error.errors()[0]["type"] == "json_invalid" else WRONG_SCHEMA


def _is_filtered(body: bytes) -> bool:
    """Whether the body is that of an error by which some servers refuse what a prompt is about."""
    try:
        return _Failure.model_validate_json(body).error.code == "content_filter"
    except ValidationError:
        return False


class _Error(BaseModel):
    code: str


class _Failure(BaseModel):
    error: _Error


class _Message(BaseModel):
    content: str | None = None
    refusal: str | None = None


class _Choice(BaseModel):
    message: _Message
    finish_reason: str | None = None


class _Usage(BaseModel):
    prompt_tokens: int = 0
    completion_tokens: int = 0

    @property
    def tokens(self) -> Tokens:
        return Tokens(self.prompt_tokens, self.completion_tokens)


class _Completion(BaseModel):
    """The part of a chat completion that is read."""

    choices: list[_Choice] = Field(min_length=1)
    usage: _Usage | None = None
