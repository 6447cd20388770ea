"""Our model in TechWolf's WorkRB toolkit (extra `workrb`): the same model and data, judged from outside.

    import workrb
    from training.workbench.workrb_model import WorkRBModel
    model = WorkRBModel(UweModel.from_pretrained("embedded"))
    workrb.evaluate(model, tasks=[...], output_folder="...")

Definitions that differ there: in skill similarity the query itself is ranked too, and equal vacancy titles are merged
in job normalisation. Their sort is not stable, so ties may fall differently.
"""

from __future__ import annotations

import torch
from workrb.models.base import ModelInterface
from workrb.types import ModelInputType

from training.workbench.baselines.uwe import TextEncodings, UweRanking
from training.workbench.evaluation import QUERIES_PER_CHUNK
from uwe_core.model import UweModel
from uwe_core.types import Scores


class WorkRBModel(ModelInterface):  # type: ignore[misc]  # their package is not typed
    """A UWE model as WorkRB wants it."""

    def __init__(self, model: UweModel) -> None:
        self._ranking = UweRanking(model.name, model, TextEncodings(model.encoder))

    @property
    def name(self) -> str:
        """Shown in their tables."""
        return f"UWE-{self._ranking.name}"

    @property
    def description(self) -> str:
        """What it is."""
        return f"Unified Work Embeddings, {self._ranking.interaction.kind}"

    @property
    def classification_label_space(self) -> None:
        """It ranks, and has no classification head."""
        return

    def _compute_rankings(
        self,
        queries: list[str],
        targets: list[str],
        query_input_type: ModelInputType,  # noqa: ARG002 - one encoder for every kind of text
        target_input_type: ModelInputType,  # noqa: ARG002
    ) -> Scores:
        """`[queries, targets]`; WorkRB wants all of it at once."""
        chunks = [queries[first : first + QUERIES_PER_CHUNK] for first in range(0, len(queries), QUERIES_PER_CHUNK)]
        return torch.cat([self._ranking.scores(chunk, targets, "") for chunk in chunks])

    def _compute_classification(
        self,
        texts: list[str],
        targets: list[str],
        input_type: ModelInputType,
        target_input_type: ModelInputType | None = None,
    ) -> Scores:
        """Classification by ranking the labels."""
        return self._compute_rankings(texts, targets, input_type, target_input_type or input_type)
