"""Which backend and precision encode queries: by setting, else by measurement on this machine, never by its name."""

from __future__ import annotations

import logging
import statistics
import time
from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch

from uwe_core.backends.interface import (
    BACKENDS,
    PRECISIONS,
    TOLERANCES,
    BackendName,
    BackendPrecision,
    BackendSetting,
    EncoderBackend,
    Int8Backend,
    PrecisionSetting,
)
from uwe_core.backends.making import is_available, make_backend, runs_on
from uwe_core.backends.packed_encoder import can_pack
from uwe_core.backends.shortfall import shortfall
from uwe_core.device import cpu_quota, processor_flags
from uwe_core.encoder import TokenEncoder
from uwe_core.errors import ConfigurationError, DiskFullError

logger = logging.getLogger(__name__)

# Below this a gain may be noise, and torch needs no export.
WORTHWHILE_BACKEND = 1.15
# Rounding costs accuracy, if little within its tolerance, so a small gain (or a noisy machine) must not choose it.
WORTHWHILE_ROUNDING = 1.25
# Tokens of each text of a trial: a short query, a sentence, and batches as few and as many callers make them.
TRIALS: dict[str, tuple[int, ...]] = {
    "1x8": (8,),
    "1x30": (30,),
    "16": tuple(4 + text % 11 for text in range(16)),
    "32": tuple(4 + text % 11 for text in range(32)),
}
# Errors are those of texts as they come: tokens that stand together by chance say little of them.
_REAL_TEXTS = (
    "nurse",
    "weld metal",
    "forklift driver for our night shift (m/f/d)",
    "take blood pressure and care for people who cannot leave their beds",
    "You write SQL queries, keep data clean, and explain to a team of twenty what the figures mean.",
)
_ROUNDS = 7
_WARM_UP_ROUNDS = 2

Key = TypeVar("Key", bound=Hashable)
Candidate = tuple[BackendName, BackendPrecision]
REFERENCE: Candidate = ("torch", "float32")


@dataclass(frozen=True)
class Trial:
    """What was measured of one backend in one precision.

    Attributes:
        milliseconds: medians, by the names of `TRIALS`.
        speedup: over torch in float32, geometric mean over trials.
        error: the most that a token's cosine with torch in float32 falls short of 1.
    """

    backend: BackendName
    precision: BackendPrecision
    milliseconds: dict[str, float]
    speedup: float
    error: float

    @property
    def accurate(self) -> bool:
        """Whether the error is within the precision's tolerance."""
        return self.error <= TOLERANCES[self.precision]


@dataclass(frozen=True)
class EncodingSummary:
    """What encodes queries, and why.

    Attributes:
        processor: what the processor can do, of the flags that matter here.
        trials: what was measured; empty where a setting left no choice.
    """

    backend: BackendName
    precision: BackendPrecision
    threads: int
    processor: tuple[str, ...]
    trials: tuple[Trial, ...]


def use_backend(
    encoder: TokenEncoder,
    backend: BackendSetting,
    precision: PrecisionSetting,
    exports: Path,
    threads: int | None = None,
    cheap_int8: Collection[Int8Backend] = (),
) -> EncodingSummary:
    """Give an encoder the backend that the settings name, or the fastest of those they allow.

    Whether the error of int8 matters cannot be seen at a start, only by evaluation: `auto` takes it only in backends of
    which that is known.

    Args:
        encoder: in float32; its fingerprint stays.
        backend: `auto` tries all that are installed.
        precision: `auto` tries float32, bfloat16, and int8 where it is known to be cheap.
        exports: folder of exported encoders.
        threads: of computation; the processor quota where None.
        cheap_int8: see `CheckpointInfo.cheap_int8`.

    Raises:
        ConfigurationError: nothing here is what the settings ask for.
    """
    count = threads or cpu_quota()
    encoder.fingerprint  # noqa: B018 - exports are named by it
    named = "torch" if backend == "auto" and not can_pack(encoder.backbone) else backend
    allowed = candidates(named, precision, cheap_int8, encoder.device.type)
    if len(allowed) == 1:
        encoder.backend = make_backend(encoder, *allowed[0], count, exports)
        return EncodingSummary(*allowed[0], count, processor_flags(), ())
    made = _made(encoder, allowed, exports, count)
    trials = measure(encoder, made)
    chosen = best(trials)
    encoder.backend = made[chosen]
    logger.info("queries are encoded by %s in %s", *chosen)
    return EncodingSummary(*chosen, count, processor_flags(), tuple(trials))


def summary_of(encoder: TokenEncoder) -> EncodingSummary:
    """Of an encoder for which nobody chose."""
    backend: BackendName = "torch" if encoder.backend is None else encoder.backend.name
    precision: BackendPrecision = "float32" if encoder.backend is None else encoder.backend.precision
    return EncodingSummary(backend, precision, torch.get_num_threads(), processor_flags(), ())


def candidates(
    backend: BackendSetting,
    precision: PrecisionSetting,
    cheap_int8: Collection[Int8Backend] = (),
    device_type: str = "cpu",
) -> list[Candidate]:
    """The backends and precisions that settings allow, torch first.

    Args:
        backend: by setting.
        precision: by setting.
        cheap_int8: backends whose int8 `auto` may take.
        device_type: of the encoder's device; `auto` takes what runs there.

    Raises:
        ConfigurationError: none.
    """
    here = [name for name in BACKENDS if is_available(name) and runs_on(name, device_type)]
    names = here if backend == "auto" else [backend]
    allowed = [
        (name, each)
        for name in names
        for each in PRECISIONS[name]
        if each == precision or (precision == "auto" and (each != "int8" or name in cheap_int8))
    ]
    if not allowed:
        advice = ": add the extra [onnx] or [openvino]" if device_type == "cpu" else f" and runs on {device_type}"
        raise ConfigurationError(f"no backend that is installed has {precision}{advice}")
    return allowed


def measure(encoder: TokenEncoder, backends: Mapping[Candidate, EncoderBackend]) -> list[Trial]:
    """Time backends on the same made-up texts, one after the other in each round, and compare their embeddings.

    Args:
        encoder: of which they were made.
        backends: torch in float32, which all are compared with, need not be among them.
    """
    timed = dict(backends)
    if REFERENCE not in timed:
        timed[REFERENCE] = make_backend(encoder, *REFERENCE, cpu_quota(), Path())
    seconds: dict[Candidate, dict[str, float]] = {key: {} for key in timed}
    for name, lengths in TRIALS.items():
        for key, median in medians(timed, made_up_texts(lengths, encoder), _ROUNDS, _WARM_UP_ROUNDS).items():
            seconds[key][name] = median
    return [
        Trial(
            *key,
            {name: 1000 * value for name, value in seconds[key].items()},
            statistics.geometric_mean([seconds[REFERENCE][name] / value for name, value in seconds[key].items()]),
            error_of(backend, encoder),
        )
        for key, backend in backends.items()
    ]


def best(trials: Sequence[Trial]) -> Candidate:
    """The fastest that is accurate; torch, and less rounding, unless another is clearly faster and in no trial slower.

    Raises:
        ConfigurationError: none is accurate.
    """
    accurate = [trial for trial in trials if trial.accurate]
    if not accurate:
        raise ConfigurationError("no backend computes what torch does within its precision's tolerance")
    chosen: Trial | None = None
    for precision in TOLERANCES:  # the most accurate first
        same = [trial for trial in accurate if trial.precision == precision]
        if chosen is not None:
            same = [trial for trial in same if _is_worth_rounding(trial, chosen)]
        chosen = _fastest(same) if same else chosen
    assert chosen is not None  # noqa: S101 - every precision is in the loop
    return chosen.backend, chosen.precision


def _is_worth_rounding(rounded: Trial, chosen: Trial) -> bool:
    """Clearly faster on the whole, and no slower where many callers fill a batch or one comes with a long text."""
    gains = rounded.speedup >= WORTHWHILE_ROUNDING * chosen.speedup
    return gains and all(rounded.milliseconds[name] <= taken for name, taken in chosen.milliseconds.items())


def _fastest(trials: Sequence[Trial]) -> Trial:
    """Of one precision, in the order of candidates."""
    chosen = trials[0]
    fastest = max(trials, key=lambda trial: trial.speedup)
    return fastest if fastest.speedup >= WORTHWHILE_BACKEND * chosen.speedup else chosen


def medians(
    backends: Mapping[Key, EncoderBackend], texts: Sequence[Sequence[int]], rounds: int, warm_up: int
) -> dict[Key, float]:
    """Median seconds of each backend; interleaved, so that a busy machine slows all alike."""
    seconds: dict[Key, list[float]] = {key: [] for key in backends}
    for turn in range(warm_up + rounds):
        for key, backend in backends.items():
            start = time.perf_counter()
            float(backend.encode(texts)[0, 0])  # waits for a GPU
            if turn >= warm_up:
                seconds[key].append(time.perf_counter() - start)
    return {key: statistics.median(taken) for key, taken in seconds.items()}


def made_up_texts(lengths: Sequence[int], encoder: TokenEncoder) -> list[list[int]]:
    """Token ids spread over the vocabulary, the same at every call; never more in a text than the encoder takes."""
    words = int(encoder.backbone.config.vocab_size)
    return [
        [(7919 * (text + 1) + 104729 * place) % words for place in range(min(length, encoder.max_tokens))]
        for text, length in enumerate(lengths)
    ]


@torch.inference_mode()
def error_of(backend: EncoderBackend, encoder: TokenEncoder) -> float:
    """How far a backend is from the encoder's own forward pass on real texts; see `shortfall`."""
    token_ids = encoder.tokenise(_REAL_TEXTS).token_ids
    return shortfall(backend.encode(token_ids), encoder.hidden(token_ids))


def _made(
    encoder: TokenEncoder, allowed: Sequence[Candidate], exports: Path, threads: int
) -> dict[Candidate, EncoderBackend]:
    """Those that work here; with several to choose from, one that does not is left out, and named in the log.

    Raises:
        ConfigurationError: none works.
    """
    made = {}
    refusals = []
    for name, precision in allowed:
        try:
            made[name, precision] = make_backend(encoder, name, precision, threads, exports)
        except ConfigurationError as error:
            logger.info("%s in %s is left out: %s", name, precision, error)
            refusals.append(str(error))
        except (OSError, RuntimeError, DiskFullError) as error:  # no room, no permission, a library's failure
            logger.warning("%s in %s is left out: %s", name, precision, error)
            refusals.append(str(error))
    if not made:
        raise ConfigurationError("; ".join(refusals))
    return made
