"""Run trials: each once, however often the run is stopped or killed, and only their logs are kept."""

from __future__ import annotations

import shutil
from collections.abc import Callable

from training.terminal import progress_bar
from training.training_run import TrainingRun
from training.trials import TRIALS_FOLDER, TrialConfig, Trials, best_candidate, trial_config, with_reduction
from uwe_core.model import UweModel
from uwe_core.ranks import Ranks
from uwe_core.trainer.run_folder import RunFolder
from uwe_core.trainer.train_config import TrainConfig
from uwe_core.trainer.train_state import RunIdentity
from uwe_core.trainer.trainer import TrainResult


def run_trials(
    run: TrainingRun, config: TrialConfig, identity: RunIdentity, base: Callable[[], UweModel]
) -> TrainConfig | TrainResult:
    """Train every candidate for a while and choose by the validation at its end.

    Args:
        run: whose folder holds the trials.
        config: the candidates.
        identity: of the run, with its own query reduction.
        base: makes the model that each trial begins with.

    Returns:
        What the run is to be trained with; where a trial was asked to stop, how that one ended.

    Raises:
        ConfigurationError, FingerprintError: finished trials are of another run.
        UweError: see `Trainer`.
    """
    ranks = Ranks.here()
    train = run.record.config.train
    trials = ranks.of_first(lambda: Trials.read(run.out, identity))
    for candidate in config.query_reductions:
        folder = RunFolder(run.out / TRIALS_FOLDER / candidate)
        if candidate not in trials.averages:
            trial = trial_config(train, candidate, config.steps)
            result = run.train(base(), trial, folder.root, f"trial of {candidate}")
            if result.stopped or result.progress.last_average is None:
                return result
            trials = trials.with_result(candidate, result.progress.last_average, config.query_reductions)
            if ranks.is_first:
                trials.save(run.out)
        if ranks.is_first:
            for left in (folder.best, folder.last, folder.state):
                shutil.rmtree(left, ignore_errors=True)
    if ranks.is_first:
        _tell(trials, config)
    return with_reduction(train, best_candidate(trials.averages, config.query_reductions))


def _tell(trials: Trials, config: TrialConfig) -> None:
    found = ", ".join(f"{name} {average:.1f}" for name, average in trials.averages.items())
    with progress_bar("trials") as bar:
        bar.tell(f"query reduction in training: {trials.chosen}; MAP after {config.steps} steps: {found}")
