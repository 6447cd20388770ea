"""Trials: how long a step takes on this machine, measured on steps of which nothing stays."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import repeat

from uwe_core.batches.sampling import BatchSampler
from uwe_core.encoder import Precision
from uwe_core.trainer.batches_ahead import BatchesAhead, TrainingBatch, make_batch
from uwe_core.trainer.learner import Learner
from uwe_core.trainer.step_plan import PRECISION_TRIALS, seconds_per_step

# A whole batch on a processor that emulates bfloat16 would take minutes.
_CPU_TRIAL_SKILLS = 8


def measured_step(learner: Learner, sampler: BatchSampler, precision: Precision) -> float:
    """Seconds of a step, drawing its batch included where that takes longer than the step before."""
    encoder = learner.encoder
    with BatchesAhead(sampler, encoder, learner.config.loss) as batches:
        return seconds_per_step(_trials(learner, batches, precision), encoder.device)


def chosen_precision(learner: Learner, sampler: BatchSampler) -> Precision:
    """What the configuration says, or the faster one by a trial of one step in each."""
    if learner.config.precision != "auto":
        return learner.config.precision
    sampling, encoder = sampler.config, learner.encoder
    if encoder.device.type == "cpu":
        fewer = min(sampling.skills_per_batch, _CPU_TRIAL_SKILLS)
        sampling = sampling.model_copy(update={"skills_per_batch": fewer, "queries_per_batch": fewer})
    batch = make_batch(BatchSampler(sampler.graphs, sampling, sampler.seed), encoder, learner.config.loss, step=0)
    seconds: dict[Precision, float] = {}
    for precision in ("float32", "bfloat16"):
        trials = _trials(learner, repeat(batch), precision)
        seconds[precision] = seconds_per_step(trials, encoder.device, *PRECISION_TRIALS)
    return min(seconds, key=lambda precision: seconds[precision])


def _trials(learner: Learner, batches: Iterable[TrainingBatch], precision: Precision) -> Iterator[None]:
    for batch in batches:
        learner.trial(batch.prepared, precision)
        yield
