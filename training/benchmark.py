"""Latency and FLOPs per query by the protocol of the paper's table 3, each model in a process of its own."""

from __future__ import annotations

import itertools
import math
import multiprocessing
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from training.evaluate import SplitChoice, data_candidates, read_datasets
from training.workbench.baselines.interface import RankingModel
from training.workbench.baselines.specification import build_models
from training.workbench.dataset import RankingDataset
from training.workbench.evaluation import score
from uwe_core.device import cpu_quota, processor_flags, resolve_device

WARM_UP_QUERIES = 30
TIMED_QUERIES = 100
COUNTED_QUERIES = 10


@dataclass(frozen=True)
class TaskCost:
    """What one query costs on one data set; its targets are encoded beforehand.

    Attributes:
        latency_ms: mean over queries, from text to the scores of all targets.
        gflops: mean over queries, matrix products and attention as torch counts them.
    """

    dataset: str
    targets: int
    latency_ms: float
    median_ms: float
    gflops: float


@dataclass(frozen=True)
class ModelCost:
    """What one query costs, by data set, and on average over data sets with its standard error."""

    model: str
    tasks: list[TaskCost]

    def mean(self, figure: str) -> float:
        """The mean over data sets."""
        return statistics.mean(float(getattr(task, figure)) for task in self.tasks)

    def standard_error(self, figure: str) -> float:
        """The standard error over data sets; 0 of a single one."""
        values = [float(getattr(task, figure)) for task in self.tasks]
        return statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else 0.0

    def as_json(self) -> dict[str, Any]:
        """All figures."""
        figures = ("latency_ms", "median_ms", "gflops")
        means = {figure: {"mean": self.mean(figure), "se": self.standard_error(figure)} for figure in figures}
        return {"model": self.model, **means, "tasks": [asdict(task) for task in self.tasks]}


def measure_models(
    words: Sequence[str], data: str, split: SplitChoice, names: Sequence[str] | None, device: str
) -> list[ModelCost]:
    """One model after the other, so that none finds the caches, threads or memory of another."""
    costs = []
    for word in words:
        with ProcessPoolExecutor(max_workers=1, mp_context=multiprocessing.get_context("spawn")) as process:
            costs.append(process.submit(_measure_in_own_process, word, data, split, names, device).result())
    return costs


def measure(model: RankingModel, dataset: RankingDataset, synchronise: Callable[[], None]) -> TaskCost:
    """30 queries to warm up, 100 timed, 10 more counted; a data set with fewer is gone through again."""
    queries = itertools.cycle(dataset.queries)
    for query in itertools.islice(queries, WARM_UP_QUERIES):
        score(model, dataset, [query])
    seconds = []
    for query in itertools.islice(queries, TIMED_QUERIES):
        synchronise()
        start = time.perf_counter()
        score(model, dataset, [query])
        synchronise()
        seconds.append(time.perf_counter() - start)
    counter = FlopCounterMode(display=False)
    with counter:
        for query in itertools.islice(queries, COUNTED_QUERIES):
            score(model, dataset, [query])
    return TaskCost(
        dataset=dataset.title,
        targets=len(dataset.targets),
        latency_ms=1000 * statistics.mean(seconds),
        median_ms=1000 * statistics.median(seconds),
        gflops=counter.get_total_flops() / COUNTED_QUERIES / 1e9,
    )


def describe_machine(device: str) -> str:
    """The processor or GPU that figures belong to, with what its processor can do."""
    resolved = resolve_device(device)
    if resolved.type == "cuda":
        return torch.cuda.get_device_name(resolved)
    return f"{platform.machine()} CPU, {cpu_quota()} threads, {' '.join(processor_flags())}"


def _measure_in_own_process(
    word: str, data: str, split: SplitChoice, names: Sequence[str] | None, device: str
) -> ModelCost:
    torch.set_num_threads(cpu_quota())
    datasets, _ = read_datasets(data_candidates(data, split), names)
    (model,) = build_models([word], device, keep_queries=False)
    synchronise = torch.cuda.synchronize if resolve_device(device).type == "cuda" else _nothing
    return ModelCost(model.name, [measure(model, dataset, synchronise) for dataset in datasets])


def _nothing() -> None:
    """A CPU has finished when the call returns."""
