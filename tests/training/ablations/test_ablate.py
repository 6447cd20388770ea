"""`uwe ablate`: cells are trained once, go on where they were stopped, and add up to a report."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner, Result

from tests.core.trainer.training_setup import tiny_config
from tests.training.test_train import forbid, write_graphs
from training.ablate import AblationOutcome, AblationRequest, ablate
from training.ablations.cells import CellResult
from training.ablations.config import AblationName, AblationSize, ablation_config
from training.ablations.synthetic_texts import is_kept
from training.cli import app
from training.recipes import RECIPES
from training.run_config import RunConfig
from uwe_core.errors import ConfigurationError, LeakError
from uwe_core.files import sha256_of
from uwe_core.gradients.objective import GraphLossConfig
from uwe_core.graph import BipartiteGraph, read_graphs
from uwe_core.model import UweModel
from uwe_core.trainer.trainer import Trainer

SIZE = AblationSize(steps=3, seeds=2, skills=5)
pytestmark = pytest.mark.usefixtures("commands_of_their_own")


@pytest.fixture(scope="module")
def graphs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_graphs(tmp_path_factory.mktemp("built") / "graphs")
    shutil.copy(folder / "sentence.parquet", folder / "alternative.parquet")
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return forbid(tmp_path_factory.mktemp("data"), "bread nurse")


@pytest.fixture(autouse=True)
def tiny_recipe(monkeypatch: pytest.MonkeyPatch, base: Path) -> None:
    def tiny() -> RunConfig:
        train = tiny_config(peak_learning_rate=0.05)
        losses = {**train.loss.graphs, "alternative": GraphLossConfig(loss_temperature=0.3)}
        loss = train.loss.model_copy(update={"graphs": losses})
        return RunConfig(model=str(base), train=train.model_copy(update={"loss": loss}))

    monkeypatch.setattr("training.recipes.RECIPES", dict(RECIPES) | {"tiny": tiny})


def run(
    name: AblationName,
    graphs: Path,
    data: Path,
    out: Path,
    should_stop: Callable[[], bool] = lambda: False,
    *,
    size: AblationSize = SIZE,
    keep_weights: bool = False,
) -> AblationOutcome:
    config = ablation_config("tiny", size, ["train.precision=float32"])
    request = AblationRequest(name, graphs, str(data), config, out, "cpu", keep_weights)
    return ablate(request, lambda line: None, should_stop)


def synthetic(graphs: Path, folder: Path) -> Path:
    """The graphs of skills as if a language model had written all of their texts."""
    shutil.copytree(graphs, folder)
    for name in ("job", "sentence", "alternative"):
        edges = pq.read_table(folder / f"{name}.parquet")
        sources = pa.array(["generated"] * len(edges))
        edges = edges.set_column(edges.schema.get_field_index("source"), "source", sources)
        pq.write_table(edges, folder / f"{name}.parquet")
    return folder


def results(out: Path) -> dict[tuple[str, int], CellResult]:
    found = [CellResult.model_validate_json(path.read_text()) for path in (out / "cells").glob("*.json")]
    return {(cell.variant, cell.seed): cell for cell in found}


def test_a_command_leaves_a_table_a_plot_and_every_cell(graphs: Path, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    sizes = ("--steps", "2", "--seeds", "2", "--skills", "5", "--queries", "3", "--targets", "5")
    common = ("--recipe", "tiny", "--graphs", graphs, "--data", data, "--out", out, "--device", "cpu")
    done: Result = CliRunner().invoke(app, ["ablate", "loss", *map(str, common), *sizes])
    assert done.exit_code == 0, done.output
    assert {path.name for path in out.iterdir()} == {
        "cells", "running", "ablation.json", "ablation.md", "ablation.png", ".lock",
    }  # fmt: skip
    assert not any((out / "running").iterdir())
    assert "cell 6 of 6: many_to_many, seed 1: MAP" in done.output
    assert results(out).keys() == {(kind, seed) for kind in ("info_nce", "pairwise", "many_to_many") for seed in (0, 1)}
    page = (out / "ablation.md").read_text()
    assert "| variant | MAP | over the untrained base | against many_to_many | job2skill | skill2job | paper |" in page
    assert "38.33 ± 0.24" in page
    assert "2 steps of 5 skills in " in page
    assert "2 seeds, the last step counts" in page
    assert " CPU, " in page
    found = json.loads((out / "ablation.json").read_text())
    (many,) = [variant for variant in found["variants"] if variant["name"] == "many_to_many"]
    values = [results(out)["many_to_many", seed].metrics["average/map"] for seed in (0, 1)]
    assert many["metrics"]["average/map"]["mean"] == pytest.approx(sum(values) / 2)
    assert many["against"]["metrics"]["average/map"]["half_width"] == 0
    assert found["config"]["run"]["train"]["precision"] in {"float32", "bfloat16"}


def test_finished_cells_are_not_trained_again_and_others_are(
    graphs: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = SIZE.model_copy(update={"seeds": 1, "steps": 1})
    first = run("loss", graphs, data, tmp_path, size=one)
    trained: list[int] = []
    whole = Trainer.run

    def counted(self: Trainer, **arguments: Any) -> Any:
        trained.append(self.config.seed)
        return whole(self, **arguments)

    monkeypatch.setattr(Trainer, "run", counted)
    again = run("loss", graphs, data, tmp_path, size=one)
    assert trained == []
    assert first.report is not None
    assert again.report is not None
    assert again.report.cells == first.report.cells
    run("loss", graphs, data, tmp_path, size=one.model_copy(update={"seeds": 2}))
    assert trained == [1, 1, 1]
    run("loss", graphs, data, tmp_path, size=one.model_copy(update={"steps": 2}))
    assert trained == [1, 1, 1, 0, 0, 0]
    other = shutil.copytree(graphs, tmp_path / "other")
    (other / "manifest.json").write_text(json.dumps({"stage": "other"}))
    run("loss", other, data, tmp_path, size=one)
    assert trained == [1, 1, 1, 0, 0, 0, 0, 0, 0]


@pytest.mark.parametrize("asked", [2, 6, 9])
def test_one_stopped_anywhere_ends_as_one_that_was_not(asked: int, graphs: Path, data: Path, tmp_path: Path) -> None:
    """It is asked four times in a cell of three steps, and once before each cell."""
    questions = iter(range(100))
    stopped = run("loss", graphs, data, tmp_path / "stopped", lambda: next(questions) >= asked)
    assert stopped.stopped
    assert stopped.report is None
    assert len(list((tmp_path / "stopped/cells").glob("*"))) == asked // 5
    gone_on = run("loss", graphs, data, tmp_path / "stopped", keep_weights=True)
    undisturbed = run("loss", graphs, data, tmp_path / "undisturbed", keep_weights=True)
    assert not gone_on.stopped
    assert gone_on.report is not None
    assert undisturbed.report is not None
    for found, wanted in zip(gone_on.report.cells, undisturbed.report.cells, strict=True):
        assert found.model_copy(update={"seconds": 0}) == wanted.model_copy(update={"seconds": 0})
    for folder in (tmp_path / "stopped/weights").iterdir():  # of the cells that were not finished when it was stopped
        same = tmp_path / "undisturbed/weights" / folder.name
        assert sha256_of(folder / "model.safetensors") == sha256_of(same / "model.safetensors")


def test_cells_of_another_ablation_are_reused_where_they_are_the_same_training(
    graphs: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    graphs = synthetic(graphs, tmp_path / "graphs")
    run("loss", graphs, data, tmp_path / "loss")
    run("texts", graphs, data, tmp_path / "alone")
    shutil.copytree(tmp_path / "loss/cells", tmp_path / "texts/cells")
    trained: list[set[str]] = []

    def noted(model: UweModel, graphs: Sequence[BipartiteGraph], *others: Any) -> Trainer:
        trained.append({text for graph in graphs if graph.of_skills for text in graph.targets})
        return Trainer(model, graphs, *others)

    monkeypatch.setattr("training.ablations.cell_training.Trainer", noted)
    report = run("texts", graphs, data, tmp_path / "texts").report
    assert report is not None
    assert [runs.variant.title for runs in report.runs] == ["50 % of the synthetic texts", "all"]
    everything = {text for graph in read_graphs(graphs).values() if graph.of_skills for text in graph.targets}
    half = {text for text in everything if is_kept(text, 0.5)}
    assert trained == [half, half]  # with all texts nothing is trained again
    assert half < everything
    assert sorted(cell.variant for cell in report.cells) == ["all", "all", "share0.5", "share0.5"]
    for cell in report.cells:
        assert cell.metrics == results(tmp_path / "alone")[cell.variant, cell.seed].metrics
    page = (tmp_path / "texts/ablation.md").read_text()
    assert "| MAP against all | job2skill | skill2job | average |\n| --- | --- | --- | --- |\n| 50 % of the" in page
    assert "paper" not in page.replace("by the recipe", "")


def test_a_report_is_of_the_seeds_that_are_complete(graphs: Path, data: Path, tmp_path: Path) -> None:
    stopped = run("loss", graphs, data, tmp_path, lambda: len(list((tmp_path / "cells").glob("*"))) >= 4)
    assert stopped.stopped
    assert stopped.report is not None
    assert {cell.seed for cell in stopped.report.cells} == {0}
    assert "1 of 2 seeds" in stopped.report.caption


def test_the_untrained_base_is_judged_as_often_as_there_are_interactions(
    graphs: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from training.validation import validate

    judged: list[str] = []

    def counted(model: UweModel, datasets: Any) -> Any:
        judged.append(model.interaction.kind)
        return validate(model, datasets)

    monkeypatch.setattr("training.ablations.cell_training.validate", counted)
    assert run("interaction", graphs, data, tmp_path).report is not None
    kinds = ("pooled_cosine", "max_sim", "context_match", "soft_late_interaction")
    assert {kind: judged.count(kind) for kind in kinds} == dict.fromkeys(kinds, 3)  # the base, and two seeds
    for (kind, _), cell in results(tmp_path).items():
        assert cell.base == results(tmp_path)[kind, 0].base
    assert any(cell.metrics != cell.base for cell in results(tmp_path).values())


def test_weights_stay_where_they_are_asked_for(graphs: Path, data: Path, base: Path, tmp_path: Path) -> None:
    run("transfer", graphs, data, tmp_path, size=SIZE.model_copy(update={"seeds": 1}), keep_weights=True)
    kept = sorted((tmp_path / "weights").iterdir())
    assert [path.name.split("-")[0] for path in kept] == ["all", "alternative", "job", "sentence"]
    models = [UweModel.from_pretrained(path, device="cpu") for path in kept]
    assert len({model.encoder.fingerprint for model in models}) == 4
    assert models[0].interaction.kind == "pooled_cosine"
    page = (tmp_path / "ablation.md").read_text()
    assert "| trained on | job2skill | skill2job | average |" in page
    assert "| paper: job | +6.0 | +7.2 |  |" in page


def test_temperatures_are_scaled_to_the_encoder_where_none_is_named(graphs: Path, data: Path, tmp_path: Path) -> None:
    report = run("temperature", graphs, data, tmp_path, size=SIZE.model_copy(update={"seeds": 1, "steps": 1})).report
    assert report is not None
    grid = report.finding.config.temperatures
    assert len(grid) == 4
    assert [runs.variant.temperature for runs in report.runs] == [*grid, *grid]
    assert (tmp_path / "ablation.png").stat().st_size > 10_000


def test_what_cannot_be_trained_is_told_before_anything_is(graphs: Path, data: Path, tmp_path: Path) -> None:
    fewer = shutil.copytree(graphs, tmp_path / "fewer")
    (fewer / "alternative.parquet").unlink()
    with pytest.raises(ConfigurationError, match="the variant 'alternative' cannot be trained: no graph with a weight"):
        run("transfer", fewer, data, tmp_path / "out")
    with pytest.raises(LeakError):
        run("loss", graphs, forbid(tmp_path / "data", "metal welder"), tmp_path / "out")
    assert not (tmp_path / "out/cells").exists()


def test_two_ablations_never_share_a_folder(graphs: Path, data: Path, tmp_path: Path) -> None:
    refused: list[bool] = []

    def start_another() -> bool:
        with pytest.raises(ConfigurationError, match="another ablation is at work"):
            run("loss", graphs, data, tmp_path)
        refused.append(True)
        return True

    assert run("loss", graphs, data, tmp_path, start_another).stopped
    assert refused
