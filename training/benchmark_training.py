"""What a step of training costs beside the encoder's forward and backward alone, on made-up texts of real lengths."""

from __future__ import annotations

import resource
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch

from uwe_core.batches.sampling import BatchSampler, SamplingConfig
from uwe_core.encoder import TokenEncoder, length_sorted_batches
from uwe_core.gradients.chunked_encoding import encode_chunk, encode_in_chunks
from uwe_core.gradients.gradient_cache import StepLimits, token_gradients
from uwe_core.gradients.objective import LossConfig
from uwe_core.gradients.prepared_batch import PreparedBatch, prepare
from uwe_core.graph import BipartiteGraph
from uwe_core.model import UweModel

# Words a text, from and to, both included.
LABEL_WORDS = (3, 8)
TARGET_WORDS = {"job": (2, 6), "sentence": (15, 30), "alternative": (3, 8)}
_VOCABULARY = (
    "manage develop monitor assist install repair prepare analyse deliver coordinate perform maintain operate "
    "customer production quality safety equipment software clinical financial technical building electrical "
    "team project service process material machinery documentation requirements regulations budget patients "
    "students vehicles food data systems networks contracts logistics marketing research laboratory welding "
    "engineer manager assistant technician nurse teacher driver analyst in of for and with the on to at by"
)
PARTS = ("encode", "interaction", "second forward and backward", "optimiser")
ALONE = "encoder alone"


@dataclass(frozen=True)
class TrainingCost:
    """What a step costs.

    Attributes:
        texts: of the batch, each encoded at least once.
        tokens: of these.
        token_pairs: that the interaction compares.
        seconds: medians over steps, of `PARTS` and of `ALONE`, the encoder's forward and backward with nothing else.
        peak_bytes: most memory there was; on a CPU of the whole process, on a GPU what tensors took.
    """

    texts: int
    tokens: int
    token_pairs: int
    seconds: dict[str, float]
    peak_bytes: int

    @property
    def step_seconds(self) -> float:
        """Of a whole step."""
        return sum(self.seconds[part] for part in PARTS)

    @property
    def ratio(self) -> float:
        """A step, without the optimiser's part, over the encoder alone."""
        return (self.step_seconds - self.seconds["optimiser"]) / self.seconds[ALONE]


def measure_training(model: UweModel, skills: int, steps: int, limits: StepLimits) -> TrainingCost:
    """Time the parts of a step and the encoder alone, one after the other in each round, after a round to warm up.

    The model's weights change.
    """
    encoder = model.encoder
    encoder.backbone.train()
    interaction = model.interaction.model_copy(update={"query_reduction": "mean"})
    config = LossConfig(interaction=interaction)
    optimizer = torch.optim.AdamW(encoder.backbone.parameters(), lr=1e-6)
    sampler = BatchSampler(made_up_graphs(skills), SamplingConfig(skills_per_batch=skills), seed=0)
    batch = prepare(encoder, sampler.batch(0), config)
    rounds = []
    for _ in range(steps + 1):
        stopwatch = _Stopwatch(encoder.device)
        _timed_step(encoder, batch, config, limits, optimizer, stopwatch)
        with stopwatch.of(ALONE):
            encoder_alone(encoder, batch, limits)
        optimizer.zero_grad()
        rounds.append(stopwatch.seconds)
    lengths = np.array([len(ids) for ids in batch.token_ids])
    pairs = sum(int(lengths[one.query_texts].sum() * lengths[one.target_texts].sum()) for one in batch.objectives)
    medians = {part: statistics.median(taken[part] for taken in rounds[1:]) for part in (*PARTS, ALONE)}
    return TrainingCost(len(lengths), int(lengths.sum()), pairs, medians, _peak_bytes(encoder.device))


def encoder_alone(encoder: TokenEncoder, batch: PreparedBatch, limits: StepLimits) -> None:
    """Forward and backward of all texts in the chunks of a step, for some gradient."""
    for chunk in length_sorted_batches([len(ids) for ids in batch.token_ids], limits.tokens_per_chunk):
        tokens = encode_chunk(encoder, [batch.token_ids[text] for text in chunk], limits.precision)
        torch.autograd.backward(tokens, torch.ones_like(tokens))


def made_up_graphs(skills: int, seed: int = 0) -> list[BipartiteGraph]:
    """Three graphs of so many skills, each with as many targets, one edge a skill and a few more."""
    random = np.random.default_rng(seed)
    labels = _texts(skills, LABEL_WORDS, random)
    graphs = []
    for name, words in TARGET_WORDS.items():
        own = np.stack([np.arange(skills)] * 2, axis=1)
        more = random.integers(skills, size=(skills // 4, 2))
        edges = np.unique(np.concatenate([own, more]), axis=0).astype(np.int64)
        targets = _texts(skills, words, random)
        graphs.append(BipartiteGraph(name, labels, targets, edges, [""] * skills, [""] * skills, of_skills=True))
    return graphs


def _texts(count: int, words: tuple[int, int], random: np.random.Generator) -> list[str]:
    vocabulary = _VOCABULARY.split()
    distinct: dict[str, None] = {}
    while len(distinct) < count:
        chosen = random.choice(vocabulary, random.integers(words[0], words[1] + 1))
        distinct[" ".join(chosen)] = None
    return list(distinct)


def _timed_step(
    encoder: TokenEncoder,
    batch: PreparedBatch,
    config: LossConfig,
    limits: StepLimits,
    optimizer: torch.optim.Optimizer,
    stopwatch: _Stopwatch,
) -> None:
    """What `cached_step` does, part by part, and the optimiser's step."""
    with stopwatch.of("encode"):
        encoding = encode_in_chunks(
            encoder, batch.token_ids, limits.tokens_per_chunk, limits.precision, limits.bytes_kept
        )
    with stopwatch.of("interaction"):
        _, gradient = token_gradients(
            encoding.tokens, batch.objectives, config.interaction, limits.pairs_per_block, limits.pairs_kept
        )
    with stopwatch.of("second forward and backward"):
        encoding.backward(encoder, gradient)
    with stopwatch.of("optimiser"):
        optimizer.step()
        optimizer.zero_grad()


class _Stopwatch:
    """Seconds by name; a GPU is waited for."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.seconds: dict[str, float] = {}

    @contextmanager
    def of(self, name: str) -> Iterator[None]:
        self._wait()
        start = time.perf_counter()
        yield
        self._wait()
        self.seconds[name] = time.perf_counter() - start

    def _wait(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)


def _peak_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    # kilobytes on Linux, bytes on macOS
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
