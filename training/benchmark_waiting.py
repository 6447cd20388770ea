"""What sleeping threads cost alone and save beside a busy neighbour: two processes that wait differently, in turns."""

from __future__ import annotations

import multiprocessing
import statistics
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from training.benchmark import describe_machine
from training.benchmark_encoder import one_process, waiting_as
from uwe_core.backends.choosing import made_up_texts
from uwe_core.backends.interface import BackendName
from uwe_core.backends.making import make_backend
from uwe_core.device import cpu_quota
from uwe_core.model import UweModel
from uwe_core.waiting import SLEEPING

WAITING: dict[str, Mapping[str, str]] = {"sleeping": SLEEPING, "as torch comes": {}}
_TOKENS = 8
_CALLS = 20  # of one turn; short, so that both see the same neighbours


@dataclass(frozen=True)
class WaitingCosts:
    """Median milliseconds of one short query, by neighbours (`alone`, `beside N busy`), then by way to wait."""

    model: str
    backend: str
    machine: str
    threads: int
    milliseconds: dict[str, dict[str, float]]

    def as_json(self) -> dict[str, Any]:
        """All figures."""
        return asdict(self)


def measure_waiting(
    model: str, backend: BackendName, exports: Path, rounds: int, neighbours: int, threads: int | None = None
) -> WaitingCosts:
    """Time a short query in float32, alone and beside busy processes.

    Args:
        model: a built-in name, a folder or a hub id.
        backend: what encodes; waiting is a matter of torch's threads alone, others bring their own.
        exports: folder of exported encoders.
        rounds: each gives both processes a turn.
        neighbours: busy processes of one thread.
        threads: of computation; the processor quota where None.
    """
    count = threads or cpu_quota()
    with ExitStack() as stack:
        processes = {}
        for name, variables in WAITING.items():
            with waiting_as(variables):
                processes[name] = stack.enter_context(one_process())
                processes[name].submit(_prepare, model, backend, exports, count).result()
        figures = {"alone": _turns(processes, rounds)}
        with _busy(neighbours):
            figures[f"beside {neighbours} busy"] = _turns(processes, rounds)
    return WaitingCosts(model, backend, describe_machine("cpu"), count, figures)


def _turns(processes: Mapping[str, ProcessPoolExecutor], rounds: int) -> dict[str, float]:
    seconds: dict[str, list[float]] = {name: [] for name in processes}
    for _ in range(rounds):
        for name, process in processes.items():
            seconds[name] += process.submit(_turn).result()
    return {name: 1000 * statistics.median(taken) for name, taken in seconds.items()}


_prepared: dict[str, Any] = {}  # of a measured process, which lives from turn to turn


def _prepare(model: str, backend: BackendName, exports: Path, threads: int) -> None:
    torch.set_num_threads(threads)
    encoder = UweModel.from_pretrained(model, device="cpu").encoder
    _prepared["backend"] = make_backend(encoder, backend, "float32", threads, exports)
    _prepared["texts"] = made_up_texts((_TOKENS,), encoder)
    _turn()


def _turn() -> list[float]:
    seconds = []
    for _ in range(_CALLS):
        start = time.perf_counter()
        _prepared["backend"].encode(_prepared["texts"])
        seconds.append(time.perf_counter() - start)
    return seconds


@contextmanager
def _busy(count: int) -> Iterator[None]:
    context = multiprocessing.get_context("spawn")
    busy = [context.Process(target=_count_for_ever, daemon=True) for _ in range(count)]
    for process in busy:
        process.start()
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.join()


def _count_for_ever() -> None:
    while True:
        pass
