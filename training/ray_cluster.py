"""Ray: an optional extra that commands may compute on, in a running cluster or in one that ends with the work."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from uwe_core.errors import ConfigurationError

# Ray's word for a new cluster on this machine; without it Ray looks for one that somebody else may have started.
_NEW_CLUSTER = "local"
_LOOPBACK = "127.0.0.1"


def as_workers_find_it(model: str) -> str:
    """A model's name, or the whole path of its folder: workers may run elsewhere."""
    return str(Path(model).absolute()) if Path(model).is_dir() else model


@contextmanager
def ray_cluster(address: str | None, cpus: int) -> Iterator[None]:
    """Be connected while the block runs; a cluster that was started for it is gone afterwards.

    Args:
        address: of a running cluster; None starts one on this machine, which only this machine reaches.
        cpus: processors that a new cluster may reserve for workers, whether or not the machine has as many.

    Raises:
        ConfigurationError: Ray is not installed, or the cluster cannot be reached.
    """
    ray = connected_ray(address, cpus)
    try:
        yield
    finally:
        ray.shutdown()


def connected_ray(address: str | None, cpus: int) -> Any:
    """The module, connected; within `ray_cluster` to that one, else until this process ends.

    Raises:
        ConfigurationError: as `ray_cluster`.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # read when Ray starts; nothing here reports to anybody
    try:
        import ray  # noqa: PLC0415 - an optional extra, slow to import
        import ray.data  # noqa: PLC0415
    except ImportError as error:
        raise ConfigurationError("Ray is not installed: pip install 'unified-work-embeddings[ray]'") from error
    if not ray.is_initialized():
        new = {"num_cpus": cpus, "include_dashboard": False, "_node_ip_address": _LOOPBACK}
        facts = {"address": address} if address else {"address": _NEW_CLUSTER, **new}
        try:
            ray.init(**facts, log_to_driver=False, logging_level=logging.ERROR)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise ConfigurationError(f"no Ray cluster at '{address or _NEW_CLUSTER}': {error}") from error
    logging.getLogger("ray.data").setLevel(logging.WARNING)  # our own bar says the same in one line
    return ray
