"""The caption of an ablation: how large it was, on what, and what its figures may be compared with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from training.ablations.cells import CellResult
from training.ablations.config import FULL, AblationConfig, AblationName, default_size
from training.ablations.estimate import Estimate
from training.workbench.dataset import RankingDataset

_ERRORS: dict[AblationName, str] = {"transfer": "the standard error over seeds"}
_INTERVAL = "the 95 % interval over seeds by Student's t"


@dataclass(frozen=True)
class Finding:
    """What was done.

    Attributes:
        name: of the ablation.
        config: resolved, with what the machine and the encoder decided.
        graphs_fingerprint: of the graphs' manifest.
        datasets: of validation.
    """

    name: AblationName
    config: AblationConfig
    graphs_fingerprint: str
    datasets: Sequence[RankingDataset]


def error_of(name: AblationName, estimate: Estimate) -> float | None:
    """The error that an ablation shows: as the paper does, standard errors of transfer and intervals of the rest."""
    return estimate.standard_error if name == "transfer" else estimate.half_width


def caption_of(finding: Finding, cells: Sequence[CellResult], *, seeds: int) -> str:
    """One paragraph.

    Args:
        finding: what was done.
        cells: that the figures are of.
        seeds: of each variant that are finished.
    """
    parts = [_training(finding, cells, seeds), _figures(finding), _machine(cells)]
    return " ".join([*parts, *([] if finding.name == "texts" else [_comparison(finding, seeds)])])


def _training(finding: Finding, cells: Sequence[CellResult], seeds: int) -> str:
    config, train = finding.config, finding.config.run.train
    weights = "all weights" if train.lora is None else f"LoRA of rank {train.lora.rank}"
    of_all = "" if seeds == config.seeds else f" of {config.seeds}"
    precisions = " or ".join(sorted({cell.precision for cell in cells}))
    return (
        f"Model {config.run.model} by the recipe {config.recipe} ({weights}), {train.steps} steps of "
        f"{train.sampling.skills_per_batch} skills in {precisions}, "
        f"{seeds}{of_all} {'seed' if config.seeds == 1 else 'seeds'}, the last step counts."
    )


def _figures(finding: Finding) -> str:
    validation = finding.config.run.validation
    queries = "all" if validation.most_queries is None else f"at most {validation.most_queries:,}"
    targets = "all" if validation.most_targets is None else f"{validation.most_targets:,} (or as many as these need)"
    tasks = len({dataset.task for dataset in finding.datasets})
    return (
        f"MAP in percent, averaged over {tasks} tasks of validation (data sets of one task first), queries of "
        f"each set: {queries}, targets: {targets}; ± is {_ERRORS.get(finding.name, _INTERVAL)}."
    )


def _machine(cells: Sequence[CellResult]) -> str:
    return f"Trained on: {'; '.join(sorted({cell.machine for cell in cells}))}."


def _comparison(finding: Finding, seeds: int) -> str:
    train, paper = finding.config.run.train, default_size(finding.name, has_gpu=True)
    same = (train.steps, train.sampling.skills_per_batch, seeds) == (paper.steps, FULL.skills, FULL.seeds)
    size = "" if same else f" with {paper.steps} steps of {FULL.skills} skills and {FULL.seeds} seeds"
    return (
        f"The paper's figures are of MPNet on the test sets of six tasks{size}: their order compares, not their level."
    )
