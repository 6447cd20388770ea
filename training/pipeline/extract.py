"""Extract: sentences to skills with a UWE model over the skill space; confident predictions only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from training.pipeline.documents import SENTENCES_FILE
from training.pipeline.parts import OperatorFactory
from training.pipeline.tables import group_sizes
from training.workbench.baselines.specification import load_model
from uwe_core.model import UweModel
from uwe_core.scoring import Scorer, make_scorer
from uwe_core.target_space import SpaceInfo, TargetSpace
from uwe_core.token_embeddings import TokenEmbeddings
from uwe_core.token_index import open_or_build
from uwe_core.types import Scores

PREDICTIONS_FILE = "predictions.parquet"
# `position` is the sentence that gave the highest confidence, for people who look why.
PREDICTIONS_SCHEMA = pa.schema(
    [("document", pa.int64()), ("skill_id", pa.int32()), ("confidence", pa.float32()), ("position", pa.int32())]
)
# Confidences are kept to so many digits, far above what another order of additions can change.
DIGITS = 4


@dataclass(frozen=True)
class Prediction:
    """One skill of one sentence."""

    skill: int
    confidence: float


class SkillExtractor:
    """A model ready to find the skills of sentences.

    Args:
        model: scores sentences as queries against skills as targets.
        skills: labels.
        indexes: folder in which the skills' token index is kept.
        threshold: of the confidence.
        most_per_sentence: the best so many, at most.
    """

    def __init__(
        self, model: UweModel, skills: Sequence[str], indexes: Path, threshold: float, most_per_sentence: int
    ) -> None:
        self._model = model
        self._scorer = skill_scorer(model, skills, indexes)
        self._threshold = threshold
        self._most = min(most_per_sentence, len(skills))

    def extract(self, sentences: Sequence[str]) -> list[list[Prediction]]:
        """The confident skills of each sentence, best first; equal confidences in the order of the skills."""
        found: list[list[Prediction]] = [[] for _ in sentences]
        for batch in self._model.encoder.batches(self._model.encoder.tokenise(sentences)):
            confidences = confidence(self._model, self._scorer, batch.tokens)
            values, skills = best(confidences, self._most)
            for position, row, columns in zip(batch.positions, values.tolist(), skills.tolist(), strict=True):
                found[position] = [
                    Prediction(skill, round(value, DIGITS))
                    for value, skill in zip(row, columns, strict=True)
                    if value >= self._threshold
                ]
        return found


def skill_scorer(model: UweModel, skills: Sequence[str], indexes: Path) -> Scorer:
    """A scorer over skills' labels; their token index is built once and found again by every worker."""
    space = TargetSpace(SpaceInfo(name="skills", kind="skill"), [str(place) for place in range(len(skills))], skills)
    return make_scorer(open_or_build(indexes, model.encoder, space).to(model.encoder.device), model.interaction)


def confidence(model: UweModel, scorer: Scorer, queries: TokenEmbeddings) -> Scores:
    """Scores on one scale for short and long sentences: those that grow with the sentence are divided by its length."""
    scores = scorer.score(queries)
    if model.interaction.bounded_by_query_length:
        scores = scores / queries.token_counts[:, None].to(scores.device)
    rounded: Scores = (scores * 10**DIGITS).round() / 10**DIGITS
    return rounded


def best(confidences: Scores, most: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The highest values of each row with their columns; ties in the order of the columns."""
    values, columns = confidences.sort(dim=1, descending=True, stable=True)
    return values[:, :most], columns[:, :most]


@dataclass(frozen=True)
class ExtractPart:
    """What a worker needs to extract the parts of a file of sentences, the row groups of that file."""

    documents: Path
    skills: tuple[str, ...]
    model: str
    device: str
    indexes: Path
    threshold: float
    most_per_sentence: int

    def factory(self) -> OperatorFactory:
        """Makes the operator in the worker, where the model is loaded."""
        return partial(_PartOperator, self)

    @property
    def sizes(self) -> list[int]:
        """The rows of each part."""
        return group_sizes(self.documents / SENTENCES_FILE)

    def prepare(self, model: UweModel) -> None:
        """Build the token index of the skills once with the loaded model, so that workers find it."""
        skill_scorer(model, self.skills, self.indexes)


class _PartOperator:
    def __init__(self, settings: ExtractPart) -> None:
        self._settings = settings
        model = load_model(settings.model, settings.device)
        self._extractor = SkillExtractor(
            model, settings.skills, settings.indexes, settings.threshold, settings.most_per_sentence
        )

    def __call__(self, part: int) -> pa.Table:
        with pq.ParquetFile(self._settings.documents / SENTENCES_FILE) as file:
            table = file.read_row_group(part)
        sentences = table["sentence"].to_pylist()
        distinct = list(dict.fromkeys(sentences))  # advertisements repeat their boilerplate
        by_sentence = dict(zip(distinct, self._extractor.extract(distinct), strict=True))
        rows = [
            (document, prediction.skill, prediction.confidence, position)
            for document, position, sentence in zip(
                table["document"].to_pylist(), table["position"].to_pylist(), sentences, strict=True
            )
            for prediction in by_sentence[sentence]
        ]
        return best_of_documents(rows)


def best_of_documents(rows: Sequence[tuple[int, int, float, int]]) -> pa.Table:
    """Of each skill of a document its highest confidence, at the first sentence that has it, sorted."""
    kept: dict[tuple[int, int], tuple[float, int]] = {}
    for document, skill, value, position in rows:
        known = kept.get((document, skill))
        if known is None or (-value, position) < (-known[0], known[1]):
            kept[document, skill] = (value, position)
    ordered = [(document, skill, *kept[document, skill]) for document, skill in sorted(kept)]
    columns = list(zip(*ordered, strict=True)) if ordered else [()] * len(PREDICTIONS_SCHEMA)
    arrays = [pa.array(np.array(column), field.type) for column, field in zip(columns, PREDICTIONS_SCHEMA, strict=True)]
    return pa.Table.from_arrays(arrays, schema=PREDICTIONS_SCHEMA)
