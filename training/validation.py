"""What a model is validated on while it trains: never a test set, and small enough to be done often."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
from pydantic import BaseModel, ConfigDict, Field

from training.evaluate import SAMPLE, data_candidates, read_datasets
from training.pipeline.assemble import VALIDATION_FILE, VALIDATION_FOLDER
from training.pipeline.chance import fixed_choice
from training.workbench.baselines.uwe import TextEncodings, UweRanking
from training.workbench.dataset import DatasetEntry, Half, RankingDataset, assemble
from training.workbench.evaluation import Judgement, judge
from training.workbench.sample_data import sample_workbench
from uwe_core.errors import DataError
from uwe_core.graph import SKILLS_FILE
from uwe_core.interaction import InteractionConfig
from uwe_core.metrics import task_average
from uwe_core.model import UweModel
from uwe_core.trainer.observer import Validation

METRICS = ("map", "rp@10")
# SkillNorm has a test split of its own to report on; of the others one half chooses and the other reports.
_HALVES: dict[str, Half] = {"skillnorm": "all", "skillextract": "selecting", "jobnorm": "selecting"}


class ValidationConfig(BaseModel):
    """How much of each data set is judged: chosen by a fixed hash, so always the same.

    Attributes:
        most_queries: of a data set; None: all.
        most_targets: likewise; those that a chosen query needs always stay. Fewer targets make a task easier, so
            figures compare only within one choice.
        seed: of the choice.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    most_queries: int | None = Field(default=500, ge=1)
    most_targets: int | None = Field(default=None, ge=1)
    seed: int = 0


def validation_datasets(graphs: Path, data: str, config: ValidationConfig) -> list[RankingDataset]:
    """The validation sets of a run.

    Args:
        graphs: the folder of the graphs, with the titles that the build kept out of them.
        data: `sample`, whose own tasks validate since it has no other, or a folder of evaluation data.
        config: how much of each.

    Raises:
        DataError: there is nothing to validate on.
    """
    found = [*_of_data(data, _HALVES), *title_datasets(graphs)]
    if not found:
        raise DataError(graphs, None, f"has no titles for validation, and {data} has no validation data")
    return _ordered([thinned(dataset, config) for dataset in found])


def half_datasets(graphs: Path, data: str, config: ValidationConfig, half: Half) -> list[RankingDataset]:
    """One half of every validation set, also of those that `validation_datasets` takes whole.

    What is fitted on `selecting` is then never reported on its own queries. Sets of which nothing is left are left out.

    Raises:
        DataError: there is nothing to validate on.
    """
    found = [*_of_data(data, dict.fromkeys(_HALVES, "all")), *title_datasets(graphs)]
    halves = [dataset for dataset in (whole.take(half) for whole in found) if dataset.queries]
    if not halves:
        raise DataError(graphs, None, f"has no titles for validation, and {data} has no validation data")
    return _ordered([thinned(dataset, config) for dataset in halves])


def validate(model: UweModel, datasets: Sequence[RankingDataset]) -> Validation:
    """MAP averaged over tasks, and each data set's figures, as percentages."""
    return validate_interactions(model, [model.interaction], datasets)[0]


def validate_interactions(
    model: UweModel, interactions: Sequence[InteractionConfig], datasets: Sequence[RankingDataset]
) -> list[Validation]:
    """The same for each of several interactions over one encoder, which encodes every text once."""
    encodings = TextEncodings(model.encoder)
    rankings = [UweRanking("validated", model.with_interaction(interaction), encodings) for interaction in interactions]
    # Data sets outside: the encodings of one are let go when the next is due.
    judgements = [[judge(ranking, dataset) for ranking in rankings] for dataset in datasets]
    return [_validation(of_ranking) for of_ranking in zip(*judgements, strict=True)]


def _validation(judgements: Sequence[Judgement]) -> Validation:
    by_name = {judgement.dataset.name: judgement for judgement in judgements}
    tasks = {name: judgement.dataset.task for name, judgement in by_name.items()}
    figures: dict[str, float] = {}
    for metric in METRICS:
        values = {name: 100 * judgement.mean(metric) for name, judgement in by_name.items()}
        figures |= {f"{name}/{metric}": value for name, value in values.items()}
        figures[f"average/{metric}"] = task_average(values, tasks)
    return Validation(figures["average/map"], figures)


def title_datasets(graphs: Path) -> list[RankingDataset]:
    """Job2Skill and Skill2Job over the titles that the build kept for validation; none where it kept none."""
    path = graphs / VALIDATION_FOLDER / VALIDATION_FILE
    if not path.is_file():
        return []
    edges = pl.read_parquet(path).select("title", pl.col("skill_id").cast(pl.String)).rows()
    if not edges:
        return []
    skills = {str(number): label for number, label in _skills(graphs)}
    titles = {title: title for title, _ in edges}
    return [
        assemble(
            task="job2skill", name="job2skill", split="validation", target_space="graph-skills",
            targets=skills, pairs=edges,
        ),
        assemble(
            task="skill2job", name="skill2job", split="validation", target_space="graph-titles",
            targets=titles, pairs=((skills[skill], title) for title, skill in edges),
        ),
    ]  # fmt: skip


def thinned(dataset: RankingDataset, config: ValidationConfig) -> RankingDataset:
    """A data set with only some of its queries and targets."""
    kept = dataset.select(fixed_choice(dataset.queries, config.most_queries, config.seed))
    if config.most_targets is None or config.most_targets >= len(kept.targets):
        return kept
    needed = sorted({target for row in kept.positives for target in row})
    others = sorted(set(range(len(kept.targets))) - set(needed))
    room = max(0, config.most_targets - len(needed))
    chosen = fixed_choice([kept.targets[target] for target in others], room, config.seed)
    targets = np.array(sorted([*needed, *(others[place] for place in chosen)]))
    positives = [np.searchsorted(targets, row).tolist() for row in kept.positives]
    return replace(kept, targets=[kept.targets[target] for target in targets], positives=positives)


def _ordered(datasets: Sequence[RankingDataset]) -> list[RankingDataset]:
    """Data sets with the same targets follow each other: the targets are then encoded once for both."""
    return sorted(datasets, key=lambda dataset: (dataset.target_space, len(dataset.targets), dataset.name))


def _of_data(data: str, halves: Mapping[str, Half]) -> list[RankingDataset]:
    if data == SAMPLE:
        return read_datasets([sample_workbench()], None)[0]
    (candidates,) = data_candidates(data, "validation")
    found: list[RankingDataset] = []
    for task, half in halves.items():
        found += _present([entry for entry in candidates if entry.task == task], half)
    return found


def _present(entries: Sequence[DatasetEntry], half: Half) -> list[RankingDataset]:
    read = [entry.read() for entry in entries]
    return [dataset.take(half) for dataset in read if isinstance(dataset, RankingDataset)]


def _skills(graphs: Path) -> list[tuple[int, str]]:
    return pl.read_parquet(graphs / SKILLS_FILE).select("skill_id", "label").rows()
