"""Devices by name, and the processor time that a container may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from uwe_core.device import cpu_quota, processor_flags, resolve_device
from uwe_core.errors import DeviceError


@pytest.mark.parametrize("name", ["cuda:99", "tpu", "cuda:x", "mps"])
def test_a_device_that_is_not_there_is_named_in_the_error(name: str) -> None:
    with pytest.raises(DeviceError, match=name):
        resolve_device(name)


def test_auto_takes_a_gpu_where_there_is_one() -> None:
    assert resolve_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")


def cgroups(tmp_path: Path, files: dict[str, str], own: str = "0::/a/b\n") -> tuple[Path, Path]:
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    (tmp_path / "own").write_text(own)
    return tmp_path, tmp_path / "own"


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({"a/b/cpu.max": "100000 100000"}, 1),
        ({"a/cpu.max": "100000 100000", "a/b/cpu.max": "max 100000"}, 1),  # a parent's quota binds its children
        ({"a/b/cpu.max": "50000 100000"}, 1),
        ({"cpu/cpu.cfs_quota_us": "100000", "cpu/cpu.cfs_period_us": "100000"}, 1),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None),
        ({"a/b/cpu.max": "max 100000"}, None),
        ({}, None),
    ],
)
def test_the_quota_of_the_cgroup_bounds_the_threads(files: dict[str, str], quota: int | None, tmp_path: Path) -> None:
    assert cpu_quota(*cgroups(tmp_path, files)) == (quota or len(os.sched_getaffinity(0)))


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({"a/b/cpu.max": "150000 100000"}, 2),  # a part of a processor counts as one more
        ({"cpu.max": "800000 100000", "a/cpu.max": "300000 100000", "a/b/cpu.max": "400000 100000"}, 3),
        ({"a/b/cpu.max": "1600000 100000"}, 8),  # never more than the scheduler allows
        ({"a/b/cpu.max": "rubbish"}, 8),
        ({"cpu/cpu.cfs_quota_us": "250000\n", "cpu/cpu.cfs_period_us": "50000\n"}, 5),
    ],
)
def test_the_tightest_quota_counts(
    files: dict[str, str], quota: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)))
    assert cpu_quota(*cgroups(tmp_path, files)) == quota


def test_a_process_outside_any_cgroup_has_the_schedulers_processors(tmp_path: Path) -> None:
    assert cpu_quota(tmp_path, tmp_path / "absent") == len(os.sched_getaffinity(0))


def test_flags_of_the_processor_are_whole_words(tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text("model name : avx2\nflags\t: fpu avx512_bf16 avx2 avx512fp16\n")
    assert processor_flags(tmp_path / "cpuinfo") == ("avx2", "avx512_bf16")
    assert processor_flags(tmp_path / "absent") == ()
