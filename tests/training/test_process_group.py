"""Processes that torchrun starts find each other, and each its device."""

from __future__ import annotations

import socket

import pytest
import torch
import torch.distributed as dist

from training.process_group import own_device, process_group
from uwe_core.errors import ConfigurationError
from uwe_core.ranks import Ranks


def test_without_torchrun_there_is_no_group(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    with process_group("auto") as device:
        assert device == "auto"
        assert not dist.is_initialized()


def test_the_environment_of_torchrun_makes_a_group_that_ends_with_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    there = {"RANK": 0, "WORLD_SIZE": 1, "LOCAL_RANK": 0, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    for name, value in there.items():
        monkeypatch.setenv(name, str(value))
    threads = torch.get_num_threads()
    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(threads))
    with process_group("cpu") as device:
        assert torch.get_num_threads() == 1, "the processes of a machine share its processors"
        assert device == "cpu"
        assert dist.get_backend() == "gloo"
        assert Ranks.here() == Ranks(0, 1)
    assert not dist.is_initialized()
    assert torch.get_num_threads() == threads


def test_half_an_environment_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "0")
    for name in ("WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ConfigurationError, match="WORLD_SIZE, LOCAL_RANK, MASTER_ADDR, MASTER_PORT must be set"):
        process_group("cpu").__enter__()


def test_each_process_has_the_gpu_of_its_number() -> None:
    assert own_device("auto", 1, gpus=0) == "cpu"
    assert own_device("cpu", 1, gpus=2) == "cpu"
    assert own_device("auto", 1, gpus=2) == own_device("cuda", 1, gpus=2) == "cuda:1"
    with pytest.raises(ConfigurationError, match="process 2 of this machine has no GPU: there are 2"):
        own_device("cuda", 2, gpus=2)
    with pytest.raises(ConfigurationError, match="need one each"):
        own_device("cuda:0", 0, gpus=2)
