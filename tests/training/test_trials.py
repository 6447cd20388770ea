"""Trials: each is run once, the better one trains, and the run folder says which."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.core.trainer.training_setup import tiny_config
from tests.fakes import save_tiny_model
from tests.training.test_train import forbid, write_graphs, write_manifest
from training.recipes import recipe_of
from training.run_config import RunConfig
from training.run_log import read_log
from training.train import TrainRequest, train
from training.trials import TrialConfig, Trials, best_candidate, trial_config, with_reduction
from uwe_core.errors import FingerprintError
from uwe_core.trainer.observer import Validation
from uwe_core.trainer.train_state import RunIdentity, TrainState

pytestmark = pytest.mark.usefixtures("one_thread")
IDENTITY = RunIdentity(config=tiny_config(), base_fingerprint="base", data_fingerprint="graphs")
TRIALS = TrialConfig(query_reductions=("sum", "mean"), steps=3)


@pytest.fixture
def request_of(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., TrainRequest]:
    base = save_tiny_model("bert", tmp_path_factory.mktemp("model") / "base")
    graphs = write_graphs(tmp_path / "graphs")
    data = forbid(tmp_path / "data", "bread nurse")
    config = RunConfig(model=str(base), train=tiny_config(evaluate_every=6, dropout=0.0), trials=TRIALS)

    def make(out: str, **changes: Any) -> TrainRequest:
        return TrainRequest(graphs, str(data), config, tmp_path / out, device="cpu", **changes)

    return make


def chosen_of(out: Path) -> str:
    state = TrainState.read(out / "state")
    assert state is not None
    return state.identity.config.loss.interaction.query_reduction


@pytest.fixture
def favoured(monkeypatch: pytest.MonkeyPatch) -> Callable[[list[float]], list[int]]:
    """Validations give these numbers in turn; how many were asked for so far is in the list that comes back."""

    def set_values(values: list[float]) -> list[int]:
        asked: list[int] = []
        left = iter(values)

        def validate(model: object, datasets: object) -> Validation:
            asked.append(len(asked))
            value = next(left)
            return Validation(value, {"average/map": value})

        monkeypatch.setattr("training.training_run.validate", validate)
        return asked

    return set_values


@pytest.mark.parametrize(("of_sum", "of_mean", "wanted"), [(1.0, 2.0, "mean"), (2.0, 2.0, "sum")])
def test_the_better_at_its_end_trains_even_where_both_are_worse_than_the_base(
    of_sum: float, of_mean: float, wanted: str, request_of: Callable[..., TrainRequest],
    favoured: Callable[[list[float]], list[int]], capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    favoured([9.0, of_sum, 9.0, of_mean, 9.0, 3.0])
    request = request_of("run")
    result = train(request)
    assert (result.stopped, result.progress.step) == (False, 6)
    assert chosen_of(request.out) == wanted
    found = Trials.model_validate_json((request.out / "trials.json").read_text())
    assert (found.averages, found.chosen) == ({"sum": of_sum, "mean": of_mean}, wanted)
    assert f"query reduction in training: {wanted}; MAP after 3 steps: sum {of_sum}" in capfd.readouterr().err
    for candidate in TRIALS.query_reductions:
        folder = request.out / "trials" / candidate
        assert [path.name for path in folder.iterdir()] == ["metrics.jsonl"]
        assert [line["step"] for line in read_log(folder / "metrics.jsonl") if line["kind"] == "step"] == [1, 2, 3]
    assert f"`{wanted}`" in (request.out / "last/README.md").read_text().partition("score in training")[2]


def test_finished_trials_are_not_run_again_and_a_stopped_one_goes_on(
    request_of: Callable[..., TrainRequest], favoured: Callable[[list[float]], list[int]]
) -> None:
    asked = favoured([9.0, 1.0, 9.0, 2.0, 9.0, 3.0])
    stops = iter([False] * 3 + [False] + [False, True])  # the first trial whole, the second after one step
    first = train(request_of("run"), should_stop=lambda: next(stops))
    assert (first.stopped, first.progress.step) == (True, 1)
    assert len(asked) == 3
    out = request_of("run").out
    assert not (out / "best").exists()
    assert Trials.model_validate_json((out / "trials.json").read_text()).chosen is None
    again = train(request_of("run", resume=True))
    assert (again.stopped, again.progress.step) == (False, 6)
    assert len(asked) == 6, "base and end of each of three runs, none twice"
    steps = [line["step"] for line in read_log(out / "trials/mean/metrics.jsonl") if line["kind"] == "step"]
    assert steps == [1, 2, 3]
    assert train(request_of("run", resume=True)).progress.step == 6
    assert len(asked) == 6


def test_trials_of_other_graphs_choose_nothing(request_of: Callable[..., TrainRequest]) -> None:
    stops = iter([False] * 5 + [True])
    request = request_of("run")
    assert train(request, should_stop=lambda: next(stops)).stopped
    write_manifest(request.graphs, "built otherwise")
    with pytest.raises(FingerprintError, match="on other graphs"):
        train(request_of("run", resume=True))


@given(st.permutations(["sum", "mean"]), st.floats(0, 100), st.floats(0, 100))
def test_the_choice_is_made_when_all_are_finished(candidates: Any, one: float, other: float) -> None:
    some = Trials(identity=IDENTITY).with_result(candidates[0], one, candidates)
    assert some.chosen is None
    all_of_them = some.with_result(candidates[1], other, candidates)
    assert all_of_them.chosen == candidates[other > one] == best_candidate(all_of_them.averages, candidates)


def test_a_trial_differs_from_its_run_in_length_and_reduction_alone() -> None:
    config = tiny_config(patience=2)
    trial = trial_config(config, "sum", 7)
    assert (trial.steps, trial.evaluate_every, trial.patience) == (7, 7, None)
    back = with_reduction(trial, "mean").model_copy(update={"steps": 6, "evaluate_every": 4, "patience": 2})
    assert back == config


def test_a_file_of_trials_comes_back_and_the_paper_recipe_tries_both(tmp_path: Path) -> None:
    assert Trials.read(tmp_path, IDENTITY) == Trials(identity=IDENTITY)
    written = Trials(identity=IDENTITY).with_result("sum", 3.5, ("sum", "mean"))
    written.save(tmp_path)
    assert Trials.read(tmp_path, IDENTITY) == written
    with pytest.raises(FingerprintError):
        Trials.read(tmp_path, IDENTITY.model_copy(update={"base_fingerprint": "other"}))
    assert recipe_of("paper").trials == TrialConfig(query_reductions=("sum", "mean"), steps=100)
    with pytest.raises(ValidationError, match="twice"):
        TrialConfig(query_reductions=("sum", "sum"))
