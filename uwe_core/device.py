"""Where computation runs: the device that was asked for, the processor time this process may use."""

from __future__ import annotations

import math
import os
from pathlib import Path

import torch

from uwe_core.errors import DeviceError

_DECISIVE_FLAGS = ("avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8")


def resolve_device(name: str) -> torch.device:
    """`auto` (a GPU where there is one), `cpu`, `cuda` or `cuda:n`.

    Raises:
        DeviceError: the name is unknown, or the device is absent.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise DeviceError(f"unknown device '{name}': use auto, cpu, cuda or cuda:n") from error
    if device.type == "cpu":
        return device
    if device.type != "cuda":
        raise DeviceError(f"device '{name}' is not supported: use auto, cpu, cuda or cuda:n")
    if (device.index or 0) >= torch.cuda.device_count():
        raise DeviceError(f"device '{name}' was asked for, but {torch.cuda.device_count()} CUDA devices are present")
    return device


def cpu_quota(cgroup_root: Path = Path("/sys/fs/cgroup"), own_cgroups: Path = Path("/proc/self/cgroup")) -> int:
    """Whole processors this process may use at a time: the scheduler's affinity, cut by the cgroup's quota."""
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
    return max(1, min(available, *_cgroup_quotas(cgroup_root, own_cgroups)))


def processor_flags(cpu_info: Path = Path("/proc/cpuinfo")) -> tuple[str, ...]:
    """Of the instruction sets that decide how fast an encoder is, those that the processor has, as Linux names them."""
    named = {flag for line in _read(cpu_info).splitlines() if line.startswith("flags") for flag in line.split()}
    return tuple(flag for flag in _DECISIVE_FLAGS if flag in named)


def _cgroup_quotas(root: Path, own_cgroups: Path) -> list[int]:
    """Quotas of version 2 from the process's own group up to the root, and of version 1."""
    quotas = [math.inf]
    own_paths = [line.split(":", 2)[2].lstrip("/") for line in _read(own_cgroups).splitlines() if line.startswith("0:")]
    own = root / own_paths[0] if own_paths else root
    groups = [own, *(parent for parent in own.parents if parent.is_relative_to(root)), root]
    for group in groups:
        limit, _, period = _read(group / "cpu.max").partition(" ")
        if limit.isdigit() and period.strip().isdigit():
            quotas.append(int(limit) / int(period))
    limit, period = _read(root / "cpu/cpu.cfs_quota_us").strip(), _read(root / "cpu/cpu.cfs_period_us").strip()
    if limit.isdigit() and period.isdigit():
        quotas.append(int(limit) / int(period))
    return [math.ceil(quota) for quota in quotas if math.isfinite(quota)] or [2**31]


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
