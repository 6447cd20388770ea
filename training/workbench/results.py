"""ResultStore: the ranks of every positive, kept per model and data set, so that a run that was stopped goes on."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from training.workbench.dataset import RankingDataset
from training.workbench.evaluation import Judgement
from uwe_core.errors import ArtefactError
from uwe_core.files import atomic_file
from uwe_core.metrics import PositiveRanks


@dataclass(frozen=True)
class ResultStore:
    """A folder of finished judgements. Every metric is a function of the ranks, so only they are kept."""

    folder: Path

    def get(self, model: str, fingerprint: str, dataset: RankingDataset) -> Judgement | None:
        """The judgement of a model of that fingerprint on a data set of the same content, or None."""
        path = self._path(model, fingerprint, dataset)
        if not path.is_file():
            return None
        try:
            with np.load(path) as arrays:
                ranks = PositiveRanks(arrays["query"], arrays["rank"], arrays["gain"], int(arrays["queries"]))
                return Judgement(model, dataset, ranks, float(arrays["seconds"]))
        except (OSError, KeyError, ValueError) as error:
            raise ArtefactError(f"{path} cannot be read, remove it: {error}") from error

    def put(self, fingerprint: str, judgement: Judgement) -> None:
        """Keep a judgement; all or nothing."""
        path = self._path(judgement.model, fingerprint, judgement.dataset)
        ranks = judgement.ranks
        with atomic_file(path) as aside, aside.open("wb") as file:
            np.savez_compressed(
                file,
                query=ranks.query, rank=ranks.rank, gain=ranks.gain, queries=ranks.queries, seconds=judgement.seconds,
            )  # fmt: skip

    def _path(self, model: str, fingerprint: str, dataset: RankingDataset) -> Path:
        content = f"{model}\n{fingerprint}\n{dataset.title}\n{dataset.fingerprint}"
        return self.folder / f"{hashlib.sha256(content.encode()).hexdigest()[:24]}.npz"
