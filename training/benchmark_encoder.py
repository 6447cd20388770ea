"""What encoding costs by each backend in each precision, one beside the other, in a process with sleeping threads."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from training.benchmark import describe_machine
from uwe_core.backends.choosing import error_of, made_up_texts, medians
from uwe_core.backends.interface import PRECISIONS, EncoderBackend
from uwe_core.backends.making import make_backend
from uwe_core.backends.torch_backend import PaddedTorch
from uwe_core.device import cpu_quota, resolve_device
from uwe_core.encoder import TokenEncoder
from uwe_core.errors import ConfigurationError
from uwe_core.model import UweModel
from uwe_core.waiting import SLEEPING

# Tokens of each text: single queries, and batches as long as queries are.
SHAPES: dict[str, tuple[int, ...]] = {
    "1 x 8": (8,),
    "1 x 16": (16,),
    "1 x 30": (30,),
    "16 queries": tuple(4 + text % 11 for text in range(16)),
    "64 queries": tuple(4 + text % 11 for text in range(64)),
}
# The encoder as transformers runs it, for comparison; it is no backend of its own.
TRANSFORMERS = "transformers float32"
REFERENCE = "torch float32"
_WARM_UP_ROUNDS = 2


@dataclass(frozen=True)
class BackendCost:
    """Of one backend in one precision.

    Attributes:
        milliseconds: medians, by the names of `SHAPES`.
        ratios: to torch in float32 in the same rounds; below 1 is faster.
        error: the most that a token's cosine with torch in float32 falls short of 1, on real texts.
    """

    backend: str
    milliseconds: dict[str, float]
    ratios: dict[str, float]
    error: float


@dataclass(frozen=True)
class EncoderCosts:
    """All of one model on one machine; `absent` says what could not run here, and why."""

    model: str
    machine: str
    threads: int
    rounds: int
    costs: list[BackendCost]
    absent: dict[str, str]

    def as_json(self) -> dict[str, Any]:
        """All figures."""
        return asdict(self)


def measure_encoder(model: str, exports: Path, rounds: int, threads: int | None, device: str) -> EncoderCosts:
    """Measure every backend that is installed and runs on a device, in every precision that it has.

    Args:
        model: a built-in name, a folder or a hub id.
        exports: folder of exported encoders.
        rounds: timed; each runs every backend once on the same texts.
        threads: of computation; the processor quota where None.
        device: as `resolve_device` takes it.

    Raises:
        DeviceError: the device is absent.
    """
    resolve_device(device)
    with waiting_as(SLEEPING), one_process() as process:
        return process.submit(_measure_here, model, exports, rounds, threads or cpu_quota(), device).result()


@contextmanager
def waiting_as(variables: Mapping[str, str]) -> Iterator[None]:
    """Processes that start inside have these variables of OpenMP and none of its others."""
    before = {name: os.environ.pop(name, None) for name in SLEEPING}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def one_process() -> ProcessPoolExecutor:
    """A process that imports torch anew."""
    return ProcessPoolExecutor(max_workers=1, mp_context=multiprocessing.get_context("spawn"))


def _measure_here(model: str, exports: Path, rounds: int, threads: int, device: str) -> EncoderCosts:
    torch.set_num_threads(threads)
    encoder = UweModel.from_pretrained(model, device=device).encoder
    backends: dict[str, EncoderBackend] = {TRANSFORMERS: PaddedTorch(encoder, "float32")}
    absent = {}
    for name, precisions in PRECISIONS.items():
        for precision in precisions:
            try:
                backends[f"{name} {precision}"] = make_backend(encoder, name, precision, threads, exports)
            except (ConfigurationError, RuntimeError) as error:  # such as a GPU without room for its recordings
                absent[f"{name} {precision}"] = str(error)
    return EncoderCosts(model, describe_machine(device), threads, rounds, _costs(encoder, backends, rounds), absent)


def _costs(encoder: TokenEncoder, backends: Mapping[str, EncoderBackend], rounds: int) -> list[BackendCost]:
    seconds: dict[str, dict[str, float]] = {label: {} for label in backends}
    for shape, lengths in SHAPES.items():
        texts = made_up_texts(lengths, encoder)
        for label, median in medians(backends, texts, rounds, _WARM_UP_ROUNDS).items():
            seconds[label][shape] = median
    return [
        BackendCost(
            label,
            {shape: 1000 * median for shape, median in taken.items()},
            {shape: median / seconds[REFERENCE][shape] for shape, median in taken.items()},
            error_of(backends[label], encoder),
        )
        for label, taken in seconds.items()
    ]
