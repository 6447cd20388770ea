"""The real `smoke` recipe on the sample, killed and gone on with: the same bits as an undisturbed run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from training.run_log import read_log

ROOT = Path(__file__).parents[2]
# Bits depend on how many threads add up.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)}
# Quick validations, and a state within reach of a kill: the recipe itself saves at its end alone.
SETTINGS = ("train.save_every=4", "validation.most_queries=10")
KILLED_AFTER = 6
UWE = """
import sys
import training.cli
training.cli.cpu_quota = lambda: 1
training.cli.main()
"""


def start(*arguments: str | Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", UWE, *map(str, arguments)],
        env={**os.environ, **ONE_THREAD}, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
    )  # fmt: skip


def run(*arguments: str | Path) -> None:
    process = start(*arguments)
    _, errors = process.communicate()
    assert process.returncode == 0, errors


def steps_of(folder: Path) -> int:
    return max((line["step"] for line in read_log(folder / "metrics.jsonl")), default=0)


@pytest.mark.heavy
def test_a_killed_smoke_run_that_is_resumed_has_the_bits_of_an_undisturbed_one(tmp_path: Path) -> None:
    run("data", "build", "--data", "sample", "--out", tmp_path / "built", "--device", "cpu")
    new: list[str | Path] = ["train", "--graphs", tmp_path / "built/graphs", "--device", "cpu"]
    new += ["--recipe", "smoke", "--data", "sample"]
    for setting in SETTINGS:
        new += ["--set", setting]
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    process = start(*new, "--out", killed)
    while process.poll() is None and steps_of(killed) < KILLED_AFTER:
        time.sleep(0.2)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert KILLED_AFTER <= steps_of(killed) < 16
    run("train", "--resume", "--out", killed, "--device", "cpu")
    run(*new, "--out", whole)
    for checkpoint in ("best", "last"):
        found, wanted = (load_file(folder / checkpoint / "adapter.safetensors") for folder in (killed, whole))
        assert found.keys() == wanted.keys()
        assert all(torch.equal(found[name], wanted[name]) for name in wanted), checkpoint
        for name in ("adapter.safetensors", "uwe.json", "README.md"):
            assert (killed / checkpoint / name).read_bytes() == (whole / checkpoint / name).read_bytes()
    assert any(tensor.any() for name, tensor in wanted.items() if name.endswith(".b")), "nothing was trained"
