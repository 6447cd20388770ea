"""`uwe train`: from graphs to a checkpoint, refused where a test text is among them, stopped and gone on with."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from typer.testing import CliRunner, Result

from tests.core.gradients.test_gradient_cache import SKILLS, TARGETS, graphs
from tests.core.trainer.training_setup import tiny_config
from training.benchmark import describe_machine
from training.cli import app
from training.interruption import stop_on_signals
from training.pipeline.stage import StageManifest
from training.recipes import RECIPES
from training.run_config import RunConfig
from training.run_log import read_log
from training.run_record import read_run
from training.train import TrainRequest, train
from uwe_core.errors import ArtefactError, ConfigurationError, FingerprintError, InputError, LeakError
from uwe_core.graph import SKILL_EDGES_SCHEMA, SKILLS_SCHEMA, TEXT_EDGES_SCHEMA
from uwe_core.model import UweModel
from uwe_core.trainer.train_config import LoraSettings
from uwe_core.trainer.train_state import TrainState

pytestmark = pytest.mark.usefixtures("commands_of_their_own")


@pytest.fixture(scope="module")
def graphs_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_graphs(tmp_path_factory.mktemp("built") / "graphs")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of evaluation data that forbids one title, which is in no graph."""
    return forbid(tmp_path_factory.mktemp("data"), "bread nurse")


def forbid(folder: Path, title: str) -> Path:
    (folder / "jobbert").mkdir(parents=True)
    (folder / "jobbert/titles_test.csv").write_text(f"vacancyTitle,conceptUri\n{title},x\n")
    return folder


def write_graphs(folder: Path) -> Path:
    """The tiny graphs in the format of the pipeline, with titles for validation."""
    (folder / "validation").mkdir(parents=True)
    skills = [{"skill_id": n, "uri": f"u{n}", "label": label, "description": ""} for n, label in enumerate(SKILLS)]
    pq.write_table(pa.Table.from_pylist(skills, schema=SKILLS_SCHEMA), folder / "skills.parquet")
    for graph in graphs():
        rows = [
            {"skill_id": int(query), "query": graph.queries[query], "text": graph.targets[target]}
            | {"source": "s", "group": "", "confidence": 1.0}
            for query, target in graph.edges
        ]
        schema = SKILL_EDGES_SCHEMA if graph.of_skills else TEXT_EDGES_SCHEMA
        pq.write_table(pa.Table.from_pylist(rows, schema=schema), folder / f"{graph.name}.parquet")
    titles = [("nurse for people", 3), ("bread baker", 2), ("a welder", 0), ("a welder", 1)]
    frame = pl.DataFrame(titles, schema={"title": pl.String, "skill_id": pl.Int32}, orient="row")
    frame.write_parquet(folder / "validation/titles.parquet")
    write_manifest(folder)
    return folder


def write_manifest(folder: Path, fingerprint: str = "built") -> None:
    counts = {"job: edges": 5, "job: texts": 4, "job: edges from onet": 3, "job: edges from generated": 2}
    manifest = StageManifest(stage="graphs", fingerprint=fingerprint, counts=counts, checksums={})
    (folder / "manifest.json").write_text(manifest.model_dump_json())


def tiny_run(base: Path, **changes: Any) -> RunConfig:
    return RunConfig(model=str(base), train=tiny_config(**changes))


@pytest.fixture
def tiny_recipe(monkeypatch: pytest.MonkeyPatch, base: Path) -> None:
    recipes = dict(RECIPES) | {"tiny": lambda: tiny_run(base, evaluate_every=3)}
    monkeypatch.setattr("training.recipes.RECIPES", recipes)


def uwe_train(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["train", *map(str, arguments)])


def test_a_run_leaves_checkpoints_a_log_a_plot_and_its_record(
    tiny_recipe: None, graphs_folder: Path, data: Path, base: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    done = uwe_train("--graphs", graphs_folder, "--recipe", "tiny", "--data", data, "--out", out, "--device", "cpu")
    assert done.exit_code == 0, done.output
    assert f"{out / 'last'}: after step 6 of 6" in done.output
    assert {path.name for path in out.iterdir()} == {
        "best", "last", "state", "metrics.jsonl", "run.json", "curves.png", ".lock",
    }  # fmt: skip
    log = read_log(out / "metrics.jsonl")
    assert [line["step"] for line in log if line["kind"] == "step"] == [1, 2, 3, 4, 5, 6]
    assert [line["step"] for line in log if line["kind"] == "validation"] == [0, 3, 6]
    record = read_run(out)
    assert record is not None
    assert record.config == tiny_run(base, evaluate_every=3)
    assert torch.__version__.startswith(record.versions["torch"].partition("+")[0])
    info = UweModel.from_pretrained(out / "best", device="cpu").info
    assert info.training_data_fingerprint == record.graphs_fingerprint
    assert info.seen_spaces == ("esco-skills",)
    assert info.metrics.keys() == {f"{n}/{m}" for n in ("job2skill", "skill2job", "average") for m in ("map", "rp@10")}
    assert (record.recipe, record.machine) == ("tiny", describe_machine("cpu"))
    card = (out / "last/README.md").read_text()
    for wanted in (
        f"`{record.graphs_fingerprint}`", "| recipe | tiny |", "| steps | 6 of 6 |", f"| machine | {record.machine} |",
        "| job | 5 | 0.5 | 0.3 |", "| onet | 3 |", "| data set | map | rp@10 |", "| skill2job | ", "`esco-skills`",
    ):  # fmt: skip
        assert wanted in card, wanted


def test_a_value_set_on_the_command_line_is_in_the_record(
    tiny_recipe: None, graphs_folder: Path, data: Path, tmp_path: Path
) -> None:
    settings = ("--set", "train.steps=1", "--set", "train.lora.rank=2")
    done = uwe_train("--graphs", graphs_folder, "--recipe", "tiny", "--data", data, "--out", tmp_path, *settings)
    assert done.exit_code == 0, done.output
    record = read_run(tmp_path)
    assert record is not None
    assert (record.config.train.steps, record.config.train.lora) == (1, LoraSettings(rank=2))
    assert (tmp_path / "best/adapter.safetensors").is_file()


def test_a_test_text_among_the_graphs_stops_training_before_it_begins(
    tiny_recipe: None, graphs_folder: Path, tmp_path: Path
) -> None:
    forbidding = forbid(tmp_path / "data", TARGETS["job"][1].upper())
    done = uwe_train("--graphs", graphs_folder, "--recipe", "tiny", "--data", forbidding, "--out", tmp_path / "run")
    assert isinstance(done.exception, LeakError)
    assert "JobBERT title" in str(done.exception)
    assert not (tmp_path / "run").exists()


def test_graphs_of_another_taxonomy_do_not_pass_by_the_samples_leak_check(
    base: Path, graphs_folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError, match="'weld' is no skill of the sample: name the evaluation data"):
        train(TrainRequest(graphs_folder, "sample", tiny_run(base), tmp_path / "run"))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ([], InputError, "holds no run to resume: name --graphs, and --recipe"),
        (["--resume"], InputError, "holds no run to resume"),
        (["--graphs", "nowhere", "--recipe", "tiny"], ArtefactError, "cannot be read"),
        (["--graphs", "nowhere", "--recipe", "nonsense"], InputError, "no recipe 'nonsense'"),
        (["--graphs", "nowhere", "--recipe", "tiny", "--set", "a=1"], ConfigurationError, "a: Extra inputs"),
    ],
)
def test_what_cannot_be_trained_is_a_clear_error(
    arguments: list[str], error: type[Exception], message: str, tiny_recipe: None, data: Path, tmp_path: Path
) -> None:
    done = uwe_train(*arguments, "--data", data, "--out", tmp_path / "run")
    assert isinstance(done.exception, error)
    assert message in str(done.exception)
    assert not (tmp_path / "run").exists()


def test_a_signal_saves_and_a_resumed_run_ends_as_if_there_had_been_none(
    tiny_recipe: None, graphs_folder: Path, data: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    steps = ("--set", "train.steps=24", "--set", "train.evaluate_every=10", "--set", "train.save_every=1000")
    new = ("--graphs", graphs_folder, "--recipe", "tiny", "--data", data, *steps)
    stopped = tmp_path / "stopped"

    def interrupt() -> None:
        while len(read_log(stopped / "metrics.jsonl")) < 5:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

    sender = threading.Thread(target=interrupt)
    sender.start()
    first = uwe_train(*new, "--out", stopped)
    sender.join()
    assert first.exit_code == 130, first.output
    assert "SIGTERM: saving after this step" in capfd.readouterr().err
    assert f"to go on: uwe train --resume --out {stopped}" in first.output
    again = uwe_train(*new, "--out", stopped)
    assert isinstance(again.exception, ConfigurationError)
    assert "--resume goes on with it" in str(again.exception)
    assert uwe_train("--resume", "--out", stopped).exit_code == 0
    assert uwe_train(*new, "--out", tmp_path / "whole").exit_code == 0
    states = [TrainState.read(tmp_path / name / "state") for name in ("stopped", "whole")]
    assert states[0] is not None
    assert states[1] is not None
    assert states[0].progress == states[1].progress
    assert all(torch.equal(tensor, states[1].tensors[name]) for name, tensor in states[0].tensors.items())
    logs = [read_log(tmp_path / name / "metrics.jsonl") for name in ("stopped", "whole")]
    for lines in logs:
        for line in lines:
            del line["seconds"]
    assert logs[0] == logs[1]


def test_a_resumed_run_must_be_the_same_one(base: Path, graphs_folder: Path, data: Path, tmp_path: Path) -> None:
    def request(config: RunConfig, graphs: Path, *, resume: bool) -> TrainRequest:
        return TrainRequest(graphs, str(data), config, tmp_path / "run", device="cpu", resume=resume)

    config = tiny_run(base)
    train(request(config, graphs_folder, resume=True), should_stop=lambda: True)
    with pytest.raises(ConfigurationError, match="another configuration"):
        train(request(tiny_run(base, seed=1), graphs_folder, resume=True))
    other = write_graphs(tmp_path / "other")
    write_manifest(other, "built otherwise")
    with pytest.raises(FingerprintError, match="on other graphs"):
        train(request(config, other, resume=True))
    assert train(request(config, graphs_folder, resume=True)).progress.step == 6


def test_graphs_that_no_build_has_finished_are_refused(base: Path, data: Path, tmp_path: Path) -> None:
    folder = write_graphs(tmp_path / "graphs")
    (folder / "manifest.json").unlink()
    with pytest.raises(ConfigurationError, match=r"manifest\.json is missing"):
        train(TrainRequest(folder, str(data), tiny_run(base), tmp_path / "run"))


def test_an_adapter_over_an_adapter_is_refused(base: Path, graphs_folder: Path, data: Path, tmp_path: Path) -> None:
    config = tiny_run(base, steps=1, lora=LoraSettings(rank=2))
    train(TrainRequest(graphs_folder, str(data), config, tmp_path / "first"))
    again = tiny_run(tmp_path / "first/last", steps=1, lora=LoraSettings(rank=2))
    with pytest.raises(ConfigurationError, match="an adapter over an adapter"):
        train(TrainRequest(graphs_folder, str(data), again, tmp_path / "second"))
    whole = tiny_run(tmp_path / "first/last", steps=1)
    train(TrainRequest(graphs_folder, str(data), whole, tmp_path / "third"))
    assert (tmp_path / "third/last/model.safetensors").is_file()


def test_two_runs_never_share_a_folder(base: Path, graphs_folder: Path, data: Path, tmp_path: Path) -> None:
    refused: list[str] = []

    def start_another() -> bool:
        with pytest.raises(ConfigurationError, match="another run is at work") as raised:
            train(TrainRequest(graphs_folder, str(data), tiny_run(base), tmp_path / "run", resume=True))
        refused.append(str(raised.value))
        return True

    assert train(TrainRequest(graphs_folder, str(data), tiny_run(base), tmp_path / "run"), start_another).stopped
    assert refused


def test_signals_do_what_they_did_before_once_one_has_come_or_the_run_is_over() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    with stop_on_signals() as should_stop:
        assert not should_stop()
        os.kill(os.getpid(), signal.SIGINT)
        assert should_stop()
        assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before
    with stop_on_signals():
        pass
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before
