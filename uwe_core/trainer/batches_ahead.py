"""BatchesAhead: the next batch is drawn and tokenised in a thread while a step runs on the last one."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from types import TracebackType

from uwe_core.batches.batch import Batch
from uwe_core.batches.sampling import BatchSampler
from uwe_core.encoder import TokenEncoder
from uwe_core.gradients.objective import LossConfig
from uwe_core.gradients.prepared_batch import PreparedBatch, prepare


@dataclass(frozen=True)
class TrainingBatch:
    """A batch as it was drawn, for messages, and as a step takes it."""

    drawn: Batch
    prepared: PreparedBatch


class BatchesAhead(Iterator[TrainingBatch]):
    """The batches of all steps from one on, without an end; a context, so that the thread ends.

    Args:
        sampler: whose batches depend on the step alone.
        encoder: its tokenizer is used, its weights are not.
        config: of the loss.
        first_step: of the first batch.
    """

    def __init__(self, sampler: BatchSampler, encoder: TokenEncoder, config: LossConfig, first_step: int = 0) -> None:
        self._sampler = sampler
        self._encoder = encoder
        self._config = config
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="batches")
        self._step = first_step
        self._next = self._submit()

    def __next__(self) -> TrainingBatch:
        batch = self._next.result()
        self._step += 1
        self._next = self._submit()
        return batch

    def __enter__(self) -> BatchesAhead:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._executor.shutdown(cancel_futures=True)

    def _submit(self) -> Future[TrainingBatch]:
        return self._executor.submit(make_batch, self._sampler, self._encoder, self._config, self._step)


def make_batch(sampler: BatchSampler, encoder: TokenEncoder, config: LossConfig, step: int) -> TrainingBatch:
    """The batch of a step; for a model on a GPU in memory that it can copy from on its own."""
    drawn = sampler.batch(step)
    prepared = prepare(encoder, drawn, config)
    return TrainingBatch(drawn, _pinned(prepared) if encoder.device.type == "cuda" else prepared)


def _pinned(batch: PreparedBatch) -> PreparedBatch:
    objectives = [
        replace(
            objective,
            positives=objective.positives.pin_memory(),
            pair_queries=objective.pair_queries.pin_memory(),
            pair_targets=objective.pair_targets.pin_memory(),
        )
        for objective in batch.objectives
    ]
    return replace(batch, objectives=objectives)
