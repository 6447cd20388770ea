"""`uwe job` under torchrun: both processes train, the first does the rest, and where it fails both end."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file
from torch.multiprocessing.spawn import spawn
from typer.testing import CliRunner

from tests.fakes import save_tiny_model
from training.run_log import read_log
from uwe_core.catalogue import INDEXES

RANKS = 2
SETTINGS = (
    "train.steps=3",
    "train.evaluate_every=3",
    "train.sampling.skills_per_batch=6",
    "validation.most_queries=5",
)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def tiny_model_of_all_words(folder: Path) -> Path:
    """A tiny model for which unknown words are a known one: the sample has words that its tokenizer has not."""
    path = save_tiny_model("bert", folder) / "tokenizer.json"
    tokenizer = json.loads(path.read_text())
    tokenizer["model"]["unk_token"] = "a"
    path.write_text(json.dumps(tokenizer))
    return folder


def work(rank: int, commands: list[tuple[int, list[str]]], folder: Path) -> None:
    """What torchrun would have each process do; run by `torch.multiprocessing`."""
    os.environ |= {
        "HF_HUB_OFFLINE": "1", "RANK": str(rank), "WORLD_SIZE": str(RANKS), "LOCAL_RANK": str(rank),
        "LOCAL_WORLD_SIZE": str(RANKS), "MASTER_ADDR": "127.0.0.1",
    }  # fmt: skip
    from training.cli import app

    found: list[dict[str, Any]] = []
    for port, command in commands:
        os.environ["MASTER_PORT"] = str(port)
        done = CliRunner().invoke(app, command)
        error = f"{type(done.exception).__name__}: {done.exception}" if done.exception else ""
        found.append({"status": done.exit_code, "output": done.output, "error": error})
    (folder / f"{rank}.json").write_text(json.dumps(found))


@pytest.mark.heavy
def test_both_train_one_does_the_rest_and_both_end_where_it_fails(tmp_path: Path) -> None:
    base = tiny_model_of_all_words(tmp_path / "base")
    build = tmp_path / "build.toml"
    build.write_text(f'[extract]\nmodel = "{base}"\nthreshold = 0.9\n[enrich]\nmodel = "{base}"\n')
    out, home = tmp_path / "out", tmp_path / "home"

    def job(data: str) -> list[str]:
        command = ["job", "--recipe", "smoke", "--data", data, "--build", build, "--device", "cpu"]
        command += ["--out", out, "--home", home]
        for setting in (f"model={base}", *SETTINGS):
            command += ["--set", setting]
        return [str(word) for word in command]

    commands = [(free_port(), job(data)) for data in (str(tmp_path / "nowhere"), "sample", "sample")]
    spawn(work, (commands, tmp_path), nprocs=RANKS)
    first, second = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(RANKS))

    failed, whole, again = first
    assert (failed["status"], second[0]["status"]) == (1, 1)
    assert "nowhere: is not a folder" in failed["error"]
    assert second[0]["error"] == f"PeerError: the first process has failed: {failed['error']}"

    assert [found["status"] for found in (whole, again, *second[1:])] == [0] * 4, (first, second)
    assert [found["output"] for found in second[1:]] == ["", ""], "the second says nothing"
    assert f"serve it with UWE_MODEL={out / 'run/best'}" in whole["output"]
    assert "graphs: built" in whole["output"]
    assert "graphs: reused" in again["output"]
    assert (out / "evaluation/report.md").is_file()
    assert len(list((home / INDEXES).glob("*/*"))) == 2
    steps = [line["step"] for line in read_log(out / "run/metrics.jsonl") if line["kind"] == "step"]
    assert steps == [1, 2, 3]
    trained = load_file(out / "run/last/adapter.safetensors")
    assert any(tensor.any() for name, tensor in trained.items() if name.endswith(".b"))
