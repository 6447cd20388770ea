"""Trainer: the loop from graphs to checkpoints; it can be stopped at any moment and goes on where it was."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from uwe_core.batches.sampling import BatchSampler
from uwe_core.errors import ConfigurationError
from uwe_core.graph import BipartiteGraph
from uwe_core.model import UweModel
from uwe_core.ranks import Ranks
from uwe_core.trainer.batches_ahead import BatchesAhead, TrainingBatch
from uwe_core.trainer.divergence import divergence
from uwe_core.trainer.learner import Learner, StepOutcome
from uwe_core.trainer.observer import Observer, Silent, StepReport, Validation, ValidationReport
from uwe_core.trainer.run_folder import CheckpointFacts, RunFolder, save_checkpoint
from uwe_core.trainer.schedule import learning_rate_at
from uwe_core.trainer.speed_trials import chosen_precision, measured_step
from uwe_core.trainer.step_plan import StepPlan, steps_within
from uwe_core.trainer.train_config import TrainConfig
from uwe_core.trainer.train_state import RunIdentity, TrainProgress, TrainState

# Of the time that is left; the rest is for what is not measured: saving states, a machine that slows down.
_USED_SHARE = 0.95


@dataclass(frozen=True)
class TrainResult:
    """How a run ended.

    Attributes:
        plan: its steps.
        progress: how far it came.
        stopped: it was asked to stop, and can be resumed.
    """

    plan: StepPlan
    progress: TrainProgress
    stopped: bool


@dataclass(frozen=True)
class _Pending:
    """A step that was made and is not read yet."""

    step: int
    learning_rate: float
    batch: TrainingBatch
    outcome: StepOutcome
    seconds: float


class Trainer:
    """Trains a model in place.

    Where a process group is there, every process makes a trainer of the same arguments: the first one alone validates,
    writes and tells the observer, and what it decides the others are told.

    Args:
        model: its encoder is changed; what it says of itself (base, data, seen spaces) goes into the checkpoints.
        graphs: to train on, each with a loss; those of weight 0 are left out.
        config: how.
        folder: of the run.
        validate: judges the model, which it must not change.
        observer: told of everything.

    Raises:
        ConfigurationError: a graph has no loss, nothing can be trained, or the folder has no room.
        ArtefactError: the graphs cannot be trained on.
    """

    def __init__(
        self,
        model: UweModel,
        graphs: Sequence[BipartiteGraph],
        config: TrainConfig,
        folder: RunFolder,
        validate: Callable[[UweModel], Validation],
        observer: Observer | None = None,
    ) -> None:
        self.model = model
        self.config = config
        self.folder = folder
        self._validate_model = validate
        trained = trained_graphs(graphs, config)
        self._most_edges = max(len(graph.edges) for graph in trained)
        self._sampler = BatchSampler(trained, config.sampling, config.seed)
        self._identity = RunIdentity(
            config=config,
            base_fingerprint=model.encoder.fingerprint,
            data_fingerprint=model.info.training_data_fingerprint,
        )
        self._ranks = Ranks.here()
        self._observer = observer if observer and self._ranks.is_first else Silent()
        self._learner = Learner(model.encoder, config, self._ranks)
        self._progress = TrainProgress()
        self._pending: _Pending | None = None
        self._stepped_at = time.perf_counter()
        weights = sum(weight.numel() for weight in model.encoder.backbone.parameters())
        trained_weights = self._learner.trained_weights
        if self._ranks.is_first:
            folder.prepare(trained_weights, weights if config.lora is None else trained_weights)

    def run(
        self,
        *,
        resume: bool = False,
        max_seconds: float | None = None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> TrainResult:
        """Train to the end of the plan, or until told to stop.

        Args:
            resume: go on from the folder's state, where it has one, by the plan that stands in it.
            max_seconds: for everything; as many steps are planned as fit, by the speed of a few trials.
            should_stop: asked between steps; where it says so on any rank, the state is saved first.

        Raises:
            ConfigurationError, ArtefactError: the state does not fit this run, or there is one and `resume` is false.
            DivergenceError: a loss or gradient was not finite; checkpoints and state are those from before it.
        """
        deadline = None if max_seconds is None else time.perf_counter() + max_seconds
        plan = self._resumed(resume) or self._planned(deadline)
        self._observer.planned(plan, self._progress)
        self._stepped_at = time.perf_counter()
        stopped = False
        with BatchesAhead(self._sampler, self.model.encoder, self.config.loss, self._progress.step) as batches:
            while True:
                stopped = self._ranks.any(should_stop())
                if not stopped and self._is_validation_due(plan):
                    self._validate(plan)
                    self._save_state(plan)
                if stopped or self._is_over(plan):
                    break
                self._step(next(batches), plan)
                if self._progress.step % self.config.save_every == 0:
                    self._save_state(plan)
        self._read_pending()
        self._save_last(plan)
        self._ranks.wait()
        return TrainResult(plan, self._progress, stopped)

    def _resumed(self, resume: bool) -> StepPlan | None:
        state = TrainState.read(self.folder.state)
        # Before anyone goes on, as the first rank may then write another state.
        self._ranks.refuse_difference(None if state is None else (state.progress, state.plan), "state to resume")
        if state is None:
            return None
        if not resume:
            raise ConfigurationError(f"{self.folder.root} holds a run already: resume it, or name another folder")
        state.identity.refuse(self._identity)
        self._learner.load(state.tensors)
        self._progress = state.progress
        return state.plan

    def _planned(self, deadline: float | None) -> StepPlan:
        """The plan of a new run, which is validated first: where training does not help, the base is best."""
        faster = chosen_precision(self._learner, self._sampler)
        precision = self._ranks.of_first(lambda: faster)
        steps = self.config.steps or max(1, self._most_edges // self.config.sampling.skills_per_batch)
        per_validation = self._validate(None)
        if deadline is not None:
            per_step = measured_step(self._learner, self._sampler, precision)
            left = _USED_SHARE * (deadline - time.perf_counter())
            times = self._ranks.of_first(lambda: (left, per_step, per_validation))
            steps = min(steps, steps_within(*times, self.config.evaluate_every))
        plan = StepPlan(steps=steps, precision=precision)
        self._save_state(plan)
        return plan

    def _is_validation_due(self, plan: StepPlan) -> bool:
        step = self._progress.step
        if self._progress.validated_step == step:
            return False
        return step % self.config.evaluate_every == 0 or step == plan.steps

    def _is_over(self, plan: StepPlan) -> bool:
        patience = self.config.patience
        exhausted = patience is not None and self._progress.worse_validations >= patience
        return exhausted or self._progress.step >= plan.steps

    def _step(self, batch: TrainingBatch, plan: StepPlan) -> None:
        step, config = self._progress.step, self.config
        rate = learning_rate_at(step, plan.steps, config.peak_learning_rate, config.warmup_share)
        with_entropy = step % config.entropy_every == 0
        outcome = self._learner.step(batch.prepared, rate, plan.precision, with_entropy=with_entropy)
        now = time.perf_counter()
        seconds, self._stepped_at = now - self._stepped_at, now
        # Only now, with this step on its way to the device, is the one before it read.
        self._read_pending()
        self._progress = self._progress.stepped()
        self._pending = _Pending(self._progress.step, rate, batch, outcome, seconds)

    def _read_pending(self) -> None:
        pending, self._pending = self._pending, None
        if pending is None:
            return
        loss, norm, losses, entropies = pending.outcome.read()
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise divergence(self.model.encoder, pending.batch, pending.step, losses)
        texts = len(pending.batch.drawn.texts)
        self._observer.stepped(
            StepReport(pending.step, loss, losses, pending.learning_rate, norm, texts, pending.seconds, entropies)
        )

    def _validate(self, plan: StepPlan | None) -> float:
        """Judge the model and write checkpoints; the seconds it took."""
        self._read_pending()
        start = time.perf_counter()
        validation = self._ranks.of_first(self._judge)
        self._progress = self._progress.validated(validation.average)
        is_best = self._progress.best_step == self._progress.step
        taken = time.perf_counter() - start
        self._observer.validated(ValidationReport(self._progress.step, validation, is_best, taken))
        if self._ranks.is_first:
            self._save_judged(validation, plan, is_best=is_best)
        self._stepped_at = time.perf_counter()
        return self._stepped_at - start

    def _judge(self) -> Validation:
        backbone = self.model.encoder.backbone
        backbone.eval()
        validation = self._validate_model(self.model)
        backbone.train()
        return validation

    def _save_judged(self, validation: Validation, plan: StepPlan | None, *, is_best: bool) -> None:
        info = self.model.info.model_copy(update={"metrics": dict(validation.metrics)})
        judged = UweModel(self.model.encoder, info, self.model.name)
        for folder in (self.folder.best, self.folder.last) if is_best else (self.folder.last,):
            self._save_checkpoint(judged, plan, folder)

    def _save_checkpoint(self, model: UweModel, plan: StepPlan | None, folder: Path) -> None:
        card = self.folder.card(CheckpointFacts(model.info, self._progress.step, plan))
        save_checkpoint(model, self.config.lora, folder, card)

    def _save_state(self, plan: StepPlan) -> None:
        self._read_pending()
        if self._ranks.is_first:
            TrainState(self._identity, plan, self._progress, self._learner.tensors()).save(self.folder.state)
        self._stepped_at = time.perf_counter()

    def _save_last(self, plan: StepPlan) -> None:
        """Where a run ends between two validations, its model has no metrics."""
        if self._progress.validated_step != self._progress.step:
            if self._ranks.is_first:
                self._save_checkpoint(self.model, plan, self.folder.last)
            self._save_state(plan)


def trained_graphs(graphs: Sequence[BipartiteGraph], config: TrainConfig) -> list[BipartiteGraph]:
    """The graphs whose loss has a weight.

    Raises:
        ConfigurationError: a graph has no loss, or none has a weight and an edge.
    """
    losses = config.loss.graphs
    for graph in graphs:
        if graph.name not in losses:
            raise ConfigurationError(f"the graph '{graph.name}' has no loss: {', '.join(losses)} have one")
    trained = [graph for graph in graphs if losses[graph.name].alpha > 0 and len(graph.edges)]
    if not trained:
        raise ConfigurationError("no graph with a weight in the loss has an edge")
    return trained
