"""Long stages in parts: each part's table is written whole or not at all, so that a killed run goes on where it was.

The same operator runs here in one process or as the workers of a Ray cluster; a part never depends on which.
"""

from __future__ import annotations

import pickle
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from training.ray_cluster import connected_ray
from uwe_core.errors import PeerError, UweError
from uwe_core.files import atomic_file

# An operator computes the table of a part; a factory makes one, with what it has to load, in each worker.
Operator: TypeAlias = Callable[[int], pa.Table]
OperatorFactory: TypeAlias = Callable[[], Operator]
# Called with the number of rows done and their total.
Progress: TypeAlias = Callable[[int, int], None]


class Runner(Protocol):
    """Where operators run."""

    def run(self, factory: OperatorFactory, parts: Sequence[int], folder: Path, done: Callable[[int], None]) -> None:
        """Compute the named parts into `folder`, telling `done` of each."""


class LocalRunner:
    """In this process, one part after the other."""

    def run(self, factory: OperatorFactory, parts: Sequence[int], folder: Path, done: Callable[[int], None]) -> None:
        """See `Runner`."""
        operator = factory()
        for part in parts:
            write_part(folder, part, operator(part))
            done(part)


@dataclass(frozen=True)
class RayRunner:
    """On the workers of a Ray cluster, which must see the same folders.

    Attributes:
        address: of a running cluster; None starts one on this machine.
        workers: how many operators run at once.
        gpus_per_worker: 0 for processors alone.
    """

    address: str | None = None
    workers: int = 2
    gpus_per_worker: float = 0

    @classmethod
    def sharing_gpus(cls, address: str | None, workers: int) -> RayRunner:
        """Workers that share the GPUs of this machine, where it has some, at most one each."""
        return cls(address, workers, min(1.0, torch.cuda.device_count() / workers))

    @property
    def cpus(self) -> int:
        """Processors that a cluster of its own must promise: those of the workers, and one for Ray's own work."""
        return self.workers * torch.get_num_threads() + 1

    def run(self, factory: OperatorFactory, parts: Sequence[int], folder: Path, done: Callable[[int], None]) -> None:
        """See `Runner`.

        Raises:
            ConfigurationError: Ray is not installed, or the cluster cannot be reached.
            PeerError: a worker died, or failed in a way of its own.
            UweError: what an operator raised.
        """
        threads = torch.get_num_threads()
        ray = connected_ray(self.address, self.cpus)
        rows = (
            ray.data.from_items([{"part": part} for part in parts], override_num_blocks=len(parts))
            .map_batches(
                RayWorker,
                fn_constructor_args=(factory, str(folder), threads),
                batch_size=1,
                compute=ray.data.ActorPoolStrategy(size=min(self.workers, len(parts))),
                num_cpus=threads,
                num_gpus=self.gpus_per_worker,
            )
            .iter_rows()
        )
        try:
            for row in rows:
                if row["error"]:
                    raise pickle.loads(row["error"])  # noqa: S301 - Ray's own transport, from our own worker
                done(row["part"])
        except (ray.exceptions.RayError, ray.data.exceptions.SystemException) as error:
            raise PeerError(f"a Ray worker failed: {error}") from error


class RayWorker:
    """One operator in a process of its own, made once. Results depend on the number of threads, so it is passed on."""

    def __init__(self, factory: OperatorFactory, folder: str, threads: int) -> None:
        torch.set_num_threads(threads)
        self._factory = factory
        self._folder = Path(folder)
        self._operator: Operator | None = None

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Compute the parts of a batch, which holds their numbers; an error of ours is told, not raised.

        Ray would wrap it, print it and try the part again.
        """
        told = b""
        try:
            self._operator = self._operator or self._factory()
            for part in batch["part"].tolist():
                write_part(self._folder, part, self._operator(part))
        except UweError as error:
            told = pickle.dumps(error)
        return {"part": batch["part"], "error": np.array([told] * len(batch["part"]), dtype=object)}


def run_parts(
    folder: Path, sizes: Sequence[int], factory: OperatorFactory, runner: Runner, progress: Progress
) -> list[Path]:
    """The files of all parts in order; those that are there already are not computed again.

    Args:
        folder: of the parts, named by what decides them.
        sizes: the rows of each part.
        factory: makes the operator; with Ray it must be picklable.
        runner: where it runs.
        progress: counts the rows of the parts that were still to do.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = [_path(folder, part) for part in range(len(sizes))]
    missing = [part for part, path in enumerate(paths) if not path.is_file()]
    total, finished = sum(sizes[part] for part in missing), 0

    def done(part: int) -> None:
        nonlocal finished
        finished += sizes[part]
        progress(finished, total)

    if missing:
        runner.run(factory, missing, folder, done)
    return paths


def concatenate(paths: Sequence[Path], destination: Path, schema: pa.Schema) -> int:
    """One file of all parts, a row group each, in bounded memory; the number of rows."""
    rows = 0
    with pq.ParquetWriter(destination, schema) as writer:
        for path in paths:
            table = pq.read_table(path, schema=schema)
            rows += len(table)
            writer.write_table(table)
    return rows


def write_part(folder: Path, part: int, table: pa.Table) -> None:
    """Write beside and rename: a partial file never has the name of a whole one."""
    with atomic_file(_path(folder, part)) as aside:
        pq.write_table(table, aside)


def remove_parts(folder: Path) -> None:
    """Remove the parts of a finished stage, and those of the same stage from other inputs."""
    stage, _, _ = folder.name.rpartition("-")
    for left in folder.parent.glob(f"{stage}-*"):
        shutil.rmtree(left, ignore_errors=True)


def _path(folder: Path, part: int) -> Path:
    return folder / f"part-{part:06d}.parquet"
