"""Options of commands that may compute on Ray workers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import torch
import typer

from training.pipeline.parts import RayRunner
from training.ray_cluster import ray_cluster

OnRay = Annotated[bool, typer.Option("--ray", help="Compute on Ray workers: docs/bulk.md.")]
Workers = Annotated[int | None, typer.Option(min=1, help="Ray workers, each with the model; 2 where not given.")]
Address = Annotated[str | None, typer.Option(help="Of a running Ray cluster; one of this machine where none.")]
Threads = Annotated[
    int | None,
    typer.Option(min=1, help="Of computation, in each worker; this machine's processors where none. It moves digits."),
]
_WORKERS = 2


@contextmanager
def chosen_runner(
    ray: bool, workers: int | None, address: str | None, threads: int | None
) -> Iterator[RayRunner | None]:
    """What the options ask for, connected while the block runs; None for this process alone.

    Raises:
        BadParameter: options of Ray without Ray.
        ConfigurationError: Ray is not installed, or the cluster cannot be reached.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    if not ray:
        if workers is not None or address is not None:
            raise typer.BadParameter("--workers and --address are for --ray")
        yield None
        return
    runner = RayRunner.sharing_gpus(address, workers or _WORKERS)
    with ray_cluster(address, runner.cpus):
        yield runner
