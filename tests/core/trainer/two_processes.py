"""What each of two processes does for `test_ranks.py`; its findings go into files, one for each rank."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import nn

from tests.core.gradients.test_gradient_cache import LIMITS, graphs
from tests.core.trainer.training_setup import LORA, Recorder, tiny_config, tiny_model, tiny_trainer, weights_of
from uwe_core.batches.sampling import BatchSampler
from uwe_core.errors import ConfigurationError, PeerError
from uwe_core.gradients.gradient_cache import cached_step
from uwe_core.gradients.gradient_sum import GradientSum
from uwe_core.ranks import Ranks
from uwe_core.trainer.batches_ahead import make_batch
from uwe_core.trainer.learner import Learner
from uwe_core.trainer.train_config import TrainConfig

RANKS = 2
STEPS = 3


@dataclass
class StopOn:
    """One rank alone is told to stop, when it has asked so many times."""

    rank: int
    asked: int

    def __call__(self) -> bool:
        self.asked -= 1
        return self.asked < 0 and Ranks.here().rank == self.rank


def run_config(**changes: Any) -> TrainConfig:
    return tiny_config(steps=STEPS, evaluate_every=2, limits=LIMITS, **changes)


def step_gradients(base: Path, ranks: Ranks, tokens_per_chunk: int) -> dict[str, Any]:
    """Losses and gradients of one batch, summed over ranks, and how many texts this rank has encoded."""
    limits = LIMITS.model_copy(update={"tokens_per_chunk": tokens_per_chunk})
    config = run_config(dropout=0.0).model_copy(update={"limits": limits})
    learner = Learner(tiny_model(base).encoder, config, ranks)
    encoder = learner.encoder
    seen: list[int] = []
    encoder.backbone.register_forward_pre_hook(
        lambda _, arguments, named: seen.append(len(named["input_ids"])), with_kwargs=True
    )
    batch = make_batch(BatchSampler(graphs(), config.sampling, 0), encoder, config.loss, 0).prepared
    loss = cached_step(encoder, batch, config.loss, limits, ranks)
    total = GradientSum(ranks, learner.parameters).add_up(loss.total)
    return {
        "total": total,
        "terms": {name: term.value for name, term in loss.terms.items()},
        "gradients": {name: weight.grad for name, weight in learner.parameters.items() if weight.grad is not None},
        "texts": sum(seen),
        "batch": len(batch.token_ids),
    }


def run_findings(base: Path, folder: Path, config: TrainConfig, **how: Any) -> dict[str, Any]:
    recorder = Recorder()
    trainer = tiny_trainer(base, folder, config, recorder)
    result = trainer.run(**how)
    return {
        "weights": weights_of(trainer),
        "losses": recorder.losses,
        "validations": len(recorder.validations),
        "step": result.progress.step,
        "best": result.progress.best_average,
        "stopped": result.stopped,
        "plan": result.plan,
    }


def sum_with_an_idle_rank(ranks: Ranks) -> dict[str, Any]:
    """The second rank has no gradient, one weight has none anywhere."""
    weights = {name: nn.Parameter(torch.ones(2, 2)) for name in ("used", "unused")}
    if ranks.is_first:
        weights["used"].grad = torch.full((2, 2), 3.0)
    mean = GradientSum(ranks, weights).add_up(torch.tensor(1.0 + ranks.rank))
    summed = weights["used"].grad
    spoilt = GradientSum(ranks, weights).add_up(torch.tensor(1.0 if ranks.is_first else torch.nan))
    return {"used": summed, "unused": weights["unused"].grad, "mean": mean, "spoilt": spoilt}


def _fail() -> None:
    raise ValueError("nothing to be had")


def agreement(ranks: Ranks) -> dict[str, Any]:
    try:
        ranks.refuse_difference(ranks.rank, "number")
        refused = ""
    except ConfigurationError as error:
        refused = str(error)
    ranks.refuse_difference("same", "word")
    try:
        ranks.of_first(_fail)
        failed = ""
    except (ValueError, PeerError) as error:
        failed = f"{type(error).__name__}: {error}"
    return {
        "failed": failed,
        "any": (ranks.any(ranks.rank == 1), ranks.any(False)),
        "first": ranks.of_first(lambda: f"made by {ranks.rank}"),
        "refused": refused,
    }


def work(rank: int, base: Path, folder: Path) -> None:
    """Everything that a process does; run by `torch.multiprocessing`."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder / 'meeting'}", rank=rank, world_size=RANKS)
    ranks = Ranks.here()
    random = run_config(dropout=0.2)
    timed = run_config(lora=LORA, precision="auto").model_copy(update={"steps": 100_000, "evaluate_every": 10_000})
    found = {
        "gradients": step_gradients(base, ranks, tokens_per_chunk=30),
        "one chunk": step_gradients(base, ranks, tokens_per_chunk=10_000),
        "idle": sum_with_an_idle_rank(ranks),
        "agreement": agreement(ranks),
        "run": run_findings(base, folder / "run", run_config(dropout=0.0)),
        "random": run_findings(base, folder / "random", random),
        "stopped": run_findings(base, folder / "parts", random, should_stop=StopOn(1, asked=1)),
        "resumed": run_findings(base, folder / "parts", random, resume=True),
        "timed": run_findings(base, folder / "timed", timed, max_seconds=20.0, should_stop=StopOn(0, asked=2)),
    }
    torch.save(found, folder / f"{rank}.pt")
    dist.destroy_process_group()
