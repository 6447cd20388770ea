"""How graphs are built: one frozen model per stage, read from a TOML file where the defaults do not fit."""

from __future__ import annotations

import tomllib
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from training.pipeline.generation.endpoint_config import EndpointConfig
from uwe_core.errors import ConfigurationError


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DocumentsConfig(_Settings):
    """What is read of each source."""

    language: str = "en"
    technologies: bool = False
    sentences_per_part: int = Field(default=1024, gt=0)
    # A cut for trials and tests: only so many occupations of O*NET and skills of the taxonomy, by a fixed hash.
    limit_occupations: int | None = Field(default=None, gt=0)
    limit_skills: int | None = Field(default=None, gt=0)


class ExtractConfig(_Settings):
    """Sentences to skills.

    Attributes:
        model: MODEL or MODEL:INTERACTION@TEMPERATURE, as for `uwe evaluate`.
        threshold: of the score; None chooses it on the selecting half of SkillExtract.
        precision_weight: how many times as much precision counts as recall when the threshold is chosen.
        most_per_sentence: the best so many skills of a sentence, at most.
    """

    model: str = "embedded-base:context_match"
    threshold: float | None = None
    precision_weight: float = Field(default=2.0, gt=0)
    most_per_sentence: int = Field(default=5, gt=0)


class AggregateConfig(_Settings):
    """Predictions of documents to edges of titles (paper, appendix B)."""

    most_skills: int = Field(default=200, gt=0)
    validation_share: float = Field(default=0.1, ge=0, lt=1)


class EnrichConfig(_Settings):
    """Generated titles to real ones, by the pooled cosine of an encoder."""

    model: str = "embedded-base"
    threshold: float = Field(default=0.8, ge=-1, le=1)
    texts_per_part: int = Field(default=4096, gt=0)


class SharpenConfig(_Settings):
    """Ours, beyond the paper: each is a switch, 0, None or false for off.

    Attributes:
        skills_per_title: of the profile that the titles of an occupation share, a title keeps the nearest so many.
        composed_lines: so many ad lines, each naming one to four skills of an occupation or title.
        title_graph: alternate title, with the noise of vacancies, to the title of its occupation.
        activity_graph: task to detailed work activity; a model trained with it is not zero-shot on that task.
    """

    skills_per_title: int | None = Field(default=12, gt=0)
    composed_lines: int = Field(default=40_000, ge=0)
    title_graph: bool = True
    activity_graph: bool = False


class BuildConfig(_Settings):
    """All of `uwe data build`."""

    seed: int = 0
    # A language model that writes texts; None reads a file of texts, or does without.
    endpoint: EndpointConfig | None = None
    documents: DocumentsConfig = DocumentsConfig()
    extract: ExtractConfig = ExtractConfig()
    aggregate: AggregateConfig = AggregateConfig()
    enrich: EnrichConfig = EnrichConfig()
    sharpen: SharpenConfig = SharpenConfig()


def read_config(path: Path) -> BuildConfig:
    """Read a TOML file with a section per stage.

    Raises:
        ConfigurationError: the file cannot be read, or holds what no stage knows.
    """
    try:
        return BuildConfig.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, ValidationError) as error:
        raise ConfigurationError(f"{path} cannot be used: {error}") from error
