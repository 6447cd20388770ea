"""The process group that `torchrun` asks for in the environment, and the device of each of its processes."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist

from uwe_core.device import cpu_quota
from uwe_core.errors import ConfigurationError
from uwe_core.ranks import Ranks

_VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
# The others wait that long while the first validates and saves,
_PATIENCE = timedelta(hours=2)
# or while it builds graphs and judges, as long as that takes; torchrun ends them where the first process dies.
LONG_PATIENCE = timedelta(days=7)


@contextmanager
def process_group(device: str, patience: timedelta = _PATIENCE) -> Iterator[str]:
    """Inside the block this process is one of several, where the environment says so.

    Args:
        device: that was asked for.
        patience: how long one process waits for another.

    Yields:
        The device of this process: where a GPU was asked for, that of its number on this machine.

    Raises:
        ConfigurationError: the environment says half of what is needed, or there are fewer GPUs than processes.
    """
    if "RANK" not in os.environ and "WORLD_SIZE" not in os.environ:
        yield device
        return
    own = own_device(device, _local_rank(os.environ), torch.cuda.device_count())
    if own == "cpu":
        dist.init_process_group("gloo", timeout=patience)
    else:
        torch.cuda.set_device(torch.device(own))
        # Gloo beside it: what the host asks the other hosts between two steps must not wait for the device.
        dist.init_process_group("cpu:gloo,cuda:nccl", timeout=patience)
    threads = torch.get_num_threads()
    torch.set_num_threads(max(1, threads // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))))
    try:
        Ranks.here().wait()
        yield own
    finally:
        torch.set_num_threads(threads)
        dist.destroy_process_group()


@contextmanager
def threads_of_all() -> Iterator[None]:
    """Inside the block this process has the threads of all processes of its machine, which wait for it."""
    threads = torch.get_num_threads()
    if Ranks.here().is_alone:
        yield
        return
    torch.set_num_threads(min(cpu_quota(), threads * int(os.environ.get("LOCAL_WORLD_SIZE", "1"))))
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def own_device(device: str, local_rank: int, gpus: int) -> str:
    """`cpu`, or the GPU of a process.

    Args:
        device: `auto`, `cpu` or `cuda`.
        local_rank: number of the process on its machine.
        gpus: on this machine.

    Raises:
        ConfigurationError: one GPU is named for all processes, or there is none for this one.
    """
    if device.startswith("cuda:"):
        raise ConfigurationError(f"{device} is one device, and torchrun's processes need one each: use cuda")
    if device == "cpu" or (device == "auto" and gpus == 0):
        return "cpu"
    if local_rank >= gpus:
        raise ConfigurationError(f"process {local_rank} of this machine has no GPU: there are {gpus}")
    return f"cuda:{local_rank}"


def _local_rank(environment: Mapping[str, str]) -> int:
    missing = [name for name in _VARIABLES if name not in environment]
    if missing:
        raise ConfigurationError(f"{', '.join(missing)} must be set too where RANK or WORLD_SIZE is: use torchrun")
    return int(environment["LOCAL_RANK"])
