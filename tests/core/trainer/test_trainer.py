"""Training: the same from the same seed, stopped and resumed without a trace, and never past a number that is none."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch.utils._python_dispatch import TorchDispatchMode

from tests.core.gradients.test_gradient_cache import graphs
from tests.core.trainer.training_setup import (
    LORA,
    Recorder,
    embeddings,
    judged,
    tiny_config,
    tiny_model,
    tiny_trainer,
    weights_of,
)
from tests.fakes import save_tiny_model
from uwe_core.batches.sampling import BatchSampler
from uwe_core.errors import ArtefactError, ConfigurationError, DivergenceError, FingerprintError
from uwe_core.gradients.objective import GraphLossConfig, LossConfig
from uwe_core.model import UweModel, read_checkpoint_info
from uwe_core.trainer.batches_ahead import make_batch
from uwe_core.trainer.learner import Learner
from uwe_core.trainer.observer import Validation
from uwe_core.trainer.run_folder import RunFolder, bytes_needed
from uwe_core.trainer.train_state import TENSORS_FILE, TrainState
from uwe_core.trainer.trainer import Trainer

pytestmark = pytest.mark.usefixtures("one_thread")


class StopAfter:
    """Says stop when asked so many times."""

    def __init__(self, steps: int) -> None:
        self.left = steps + 1

    def __call__(self) -> bool:
        self.left -= 1
        return self.left <= 0


def assert_same_run(one: Path, other: Path) -> None:
    states = [TrainState.read(RunFolder(run).state) for run in (one, other)]
    assert states[0] is not None
    assert states[1] is not None
    assert states[0].progress == states[1].progress
    assert states[0].tensors.keys() == states[1].tensors.keys()
    for name, tensor in states[0].tensors.items():
        assert torch.equal(tensor, states[1].tensors[name]), name
    for checkpoint in ("best", "last"):
        assert {path.name: path.read_bytes() for path in (one / checkpoint).iterdir()} == {
            path.name: path.read_bytes() for path in (other / checkpoint).iterdir()
        }


def test_the_same_seed_gives_the_same_losses_and_another_seed_others(base: Path, tmp_path: Path) -> None:
    recorders = [Recorder() for _ in range(3)]
    for number, (recorder, seed) in enumerate(zip(recorders, (0, 0, 1), strict=True)):
        tiny_trainer(base, tmp_path / str(number), tiny_config(seed=seed), recorder).run()
    assert recorders[0].losses == recorders[1].losses != recorders[2].losses
    assert len(recorders[0].losses) == 6


@pytest.mark.parametrize("lora", [None, LORA])
def test_six_steps_are_three_and_three_more_after_resuming(lora: object, base: Path, tmp_path: Path) -> None:
    config = tiny_config(lora=lora)
    assert config.dropout > 0
    assert config.sampling.augmentation_probability > 0
    whole, first, second = Recorder(), Recorder(), Recorder()
    tiny_trainer(base, tmp_path / "whole", config, whole).run()
    stopped = tiny_trainer(base, tmp_path / "parts", config, first).run(should_stop=StopAfter(3))
    assert stopped.stopped
    assert stopped.progress.step == 3
    torch.manual_seed(99)
    resumed = tiny_trainer(base, tmp_path / "parts", config, second).run(resume=True)
    assert not resumed.stopped
    assert first.losses + second.losses == whole.losses
    assert_same_run(tmp_path / "whole", tmp_path / "parts")


KILLED = """
import signal, sys, torch
from pathlib import Path
from tests.core.trainer.training_setup import Recorder, tiny_config, tiny_trainer
torch.set_num_threads(1)
class Announced(Recorder):
    def stepped(self, report):
        print(report.step, flush=True)
config = tiny_config(steps=24, evaluate_every=10, save_every=3)
tiny_trainer(Path(sys.argv[1]), Path(sys.argv[2]), config, Announced()).run(resume=True)
"""


def test_a_killed_run_that_is_resumed_ends_as_if_it_had_not_been_killed(base: Path, tmp_path: Path) -> None:
    config = tiny_config(steps=24, evaluate_every=10, save_every=3)
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(base), str(tmp_path / "killed")],
        stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[3], env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )  # fmt: skip
    assert process.stdout is not None
    for line in process.stdout:
        if int(line) > 8:
            break
    process.kill()
    process.stdout.close()
    assert process.wait() == -signal.SIGKILL
    state = TrainState.read(RunFolder(tmp_path / "killed").state)
    assert state is not None
    assert 6 <= state.progress.step < 24
    tiny_trainer(base, tmp_path / "killed", config).run(resume=True)
    tiny_trainer(base, tmp_path / "whole", config).run()
    assert_same_run(tmp_path / "whole", tmp_path / "killed")
    assert sorted(path.name for path in (tmp_path / "killed").iterdir()) == ["best", "last", "state"]


def test_training_learns(base: Path, tmp_path: Path) -> None:
    recorder = Recorder()
    tiny_trainer(
        base, tmp_path / "run", tiny_config(steps=30, dropout=0.0, evaluate_every=60, save_every=60), recorder
    ).run()
    assert sum(recorder.losses[-8:]) < 0.9 * sum(recorder.losses[:8])


def test_the_best_checkpoint_is_that_of_the_best_validation_and_the_last_that_of_the_end(
    base: Path, tmp_path: Path
) -> None:
    values = iter([0.1, 0.5, 0.3, 0.4])
    seen: list[torch.Tensor] = []

    def validate(model: UweModel) -> Validation:
        seen.append(embeddings(model))
        value = next(values)
        return Validation(value, {"map": value})

    trainer = tiny_trainer(base, tmp_path, tiny_config(evaluate_every=2), validate=validate)
    result = trainer.run()
    assert (result.progress.best_step, result.progress.best_average) == (2, 0.5)
    for name, place in (("best", 1), ("last", 3)):
        assert torch.equal(embeddings(UweModel.from_pretrained(tmp_path / name, device="cpu")), seen[place])
    last = UweModel.from_pretrained(tmp_path / "last", device="cpu")
    assert last.encoder.fingerprint == trainer.model.encoder.fingerprint
    info = read_checkpoint_info(tmp_path / "best")
    assert info is not None
    assert (info.metrics, info.base, info.training_data_fingerprint, info.seen_spaces) == (
        {"map": 0.5}, str(base), "graphs", ("tiny",),
    )  # fmt: skip


def test_a_run_ends_when_patience_does(base: Path, tmp_path: Path) -> None:
    values = iter([0.1, 0.5, 0.3, 0.4, 0.9])
    config = tiny_config(steps=50, evaluate_every=2, patience=2)
    trainer = tiny_trainer(base, tmp_path, config, validate=lambda _: Validation(next(values), {}))
    result = trainer.run()
    assert (result.progress.step, result.progress.best_step) == (6, 2)
    assert result.plan.steps == 50
    assert not result.stopped


def test_validating_changes_nothing_of_the_training(base: Path, tmp_path: Path) -> None:
    often, seldom = Recorder(), Recorder()
    tiny_trainer(base, tmp_path / "often", tiny_config(evaluate_every=1), often).run()
    tiny_trainer(base, tmp_path / "seldom", tiny_config(evaluate_every=100, save_every=100), seldom).run()
    assert often.losses == seldom.losses


def poisoned(trainer: Trainer, after: int) -> None:
    """The word 'pressure' is NaN from that step on."""
    encoder = trainer.model.encoder
    word = encoder.tokenizer.convert_tokens_to_ids("pressure")
    step = trainer._learner.step

    def poisoning(batch: object, *others: object, **named: object) -> object:
        if trainer._progress.step == after:
            with torch.no_grad():
                words = encoder.backbone.get_input_embeddings()
                assert isinstance(words, torch.nn.Embedding)
                words.weight[word] = torch.nan
        return step(batch, *others, **named)  # type: ignore[arg-type]

    trainer._learner.step = poisoning  # type: ignore[assignment]


def test_a_loss_that_is_not_finite_ends_the_run_and_names_step_graph_and_texts(base: Path, tmp_path: Path) -> None:
    recorder = Recorder()
    trainer = tiny_trainer(base, tmp_path, tiny_config(steps=40, evaluate_every=4, freeze_embeddings=True), recorder)
    poisoned(trainer, after=6)
    with pytest.raises(DivergenceError, match=r"step \d+: the loss of the graph '\w+' is not finite") as raised:
        trainer.run()
    assert raised.value.texts
    assert all("pressure" in text for text in raised.value.texts)
    assert all(torch.tensor(report.loss).isfinite() for report in recorder.steps)
    state = TrainState.read(RunFolder(tmp_path).state)
    assert state is not None
    assert 6 <= state.progress.step < raised.value.step
    assert all(tensor.isfinite().all() for name, tensor in state.tensors.items() if name.startswith("parameter."))
    for checkpoint in ("best", "last"):
        assert embeddings(UweModel.from_pretrained(tmp_path / checkpoint, device="cpu")).isfinite().all()


@pytest.mark.parametrize("loss_is_finite", [True, False])
def test_nothing_is_applied_from_a_gradient_that_is_not_finite(loss_is_finite: bool, base: Path) -> None:
    learner = Learner(tiny_model(base).encoder, tiny_config())
    optimiser = learner._optimiser
    weights = list(learner.parameters.values())

    def update(gradient: float, loss: float) -> None:
        for weight in weights:
            weight.grad = torch.full_like(weight, gradient)
        optimiser.update(0.1, torch.tensor(loss), 1.0)

    update(0.5, 1.0)
    before = {name: tensor.clone() for name, tensor in learner.tensors().items()}
    update(torch.nan if loss_is_finite else 1.0, 1.0 if loss_is_finite else torch.inf)
    after = learner.tensors()
    assert all(torch.equal(before[name], after[name]) for name in before)
    update(0.5, 1.0)
    assert not torch.equal(next(iter(before.values())), next(iter(learner.tensors().values())))


class ReadsByTheHost(TorchDispatchMode):
    """Notes operations for which the host would have to wait for a GPU.

    But for one that is not ours: the library looks whether a mask of padding masks anything.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.found: list[str] = []

    def __torch_dispatch__(self, function: Any, types: Any, arguments: Any = (), named: Any = None) -> Any:
        name = function.overloadpacket._qualified_op_name
        if name in ("aten::_local_scalar_dense", "aten::nonzero"):
            callers = [frame.filename for frame in traceback.extract_stack()]
            if not any(caller.endswith("transformers/masking_utils.py") for caller in callers):
                self.found.append(name)
        return function(*arguments, **(named or {}))


def test_no_step_reads_a_value_from_the_device(base: Path) -> None:
    config = tiny_config()
    learner = Learner(tiny_model(base).encoder, config)
    batch = make_batch(BatchSampler(graphs(), config.sampling, 0), learner.encoder, config.loss, 0).prepared
    with ReadsByTheHost() as reads:
        outcome = learner.step(batch, 1e-3, "float32", with_entropy=True)
    assert reads.found == []
    with ReadsByTheHost() as reads:
        bool(outcome.values[0] > 0)
    assert reads.found, "or this test shows nothing"


def test_the_attention_is_measured_every_few_steps_and_changes_nothing(base: Path, tmp_path: Path) -> None:
    often, seldom = Recorder(), Recorder()
    tiny_trainer(base, tmp_path / "often", tiny_config(entropy_every=2), often).run()
    tiny_trainer(base, tmp_path / "seldom", tiny_config(entropy_every=100), seldom).run()
    assert often.losses == seldom.losses
    assert [bool(report.entropies) for report in often.steps] == [True, False, True, False, True, False]
    assert [bool(report.entropies) for report in seldom.steps] == [True] + [False] * 5
    first = often.steps[0]
    assert first.entropies.keys() == first.losses.keys()
    assert all(0 < entropy < 1 for entropy in first.entropies.values())


def test_a_plan_by_the_clock_is_kept_when_the_run_is_resumed(base: Path, tmp_path: Path) -> None:
    config = tiny_config(steps=100_000, evaluate_every=10_000, save_every=10_000)
    recorder = Recorder()
    stopped = tiny_trainer(base, tmp_path / "run", config, recorder).run(max_seconds=10.0, should_stop=StopAfter(3))
    assert 10 < stopped.plan.steps < 100_000
    warmup = round(0.1 * stopped.plan.steps)
    assert recorder.steps[2].learning_rate == pytest.approx(1e-2 * 2 / warmup)
    resumed = tiny_trainer(base, tmp_path / "run", config).run(resume=True, should_stop=StopAfter(1))
    assert resumed.plan == stopped.plan
    assert resumed.progress.step == 4


def test_trials_of_speed_leave_no_trace(base: Path, tmp_path: Path) -> None:
    plain, timed = Recorder(), Recorder()
    tiny_trainer(base, tmp_path / "plain", tiny_config(), plain).run()
    tiny_trainer(base, tmp_path / "timed", tiny_config(), timed).run(max_seconds=1000.0)
    assert plain.losses == timed.losses


def test_the_precision_is_chosen_by_a_trial_and_kept(base: Path, tmp_path: Path) -> None:
    result = tiny_trainer(base, tmp_path / "auto", tiny_config(precision="auto", steps=1)).run()
    assert result.plan.precision in ("float32", "bfloat16")
    recorder = Recorder()
    tiny_trainer(base, tmp_path / "rounded", tiny_config(precision="bfloat16"), recorder).run()
    exact = Recorder()
    tiny_trainer(base, tmp_path / "exact", tiny_config(), exact).run()
    assert recorder.losses != exact.losses
    assert recorder.losses == pytest.approx(exact.losses, rel=0.1)


def test_a_run_without_steps_gives_each_edge_of_the_largest_graph_one_draw(base: Path, tmp_path: Path) -> None:
    assert tiny_trainer(base, tmp_path, tiny_config(steps=None)).run().plan.steps == 12 // 5


def test_a_folder_with_a_run_is_not_overwritten(base: Path, tmp_path: Path) -> None:
    tiny_trainer(base, tmp_path).run()
    with pytest.raises(ConfigurationError, match="holds a run already"):
        tiny_trainer(base, tmp_path).run()


def test_resuming_what_is_finished_changes_nothing(base: Path, tmp_path: Path) -> None:
    tiny_trainer(base, tmp_path).run()
    before = (tmp_path / "last/model.safetensors").stat().st_mtime_ns
    recorder = Recorder()
    tiny_trainer(base, tmp_path, observer=recorder).run(resume=True)
    assert recorder.steps == []
    assert (tmp_path / "last/model.safetensors").stat().st_mtime_ns == before


def test_a_state_of_another_run_is_refused(base: Path, tmp_path: Path) -> None:
    tiny_trainer(base, tmp_path / "run").run(should_stop=StopAfter(2))
    with pytest.raises(ConfigurationError, match="clip_norm, seed differs"):
        tiny_trainer(base, tmp_path / "run", tiny_config(seed=1, clip_norm=2.0)).run(resume=True)
    other = save_tiny_model("bert", tmp_path / "other", seed=1)
    with pytest.raises(FingerprintError, match="another encoder"):
        tiny_trainer(other, tmp_path / "run").run(resume=True)


def test_a_state_that_was_changed_is_refused(base: Path, tmp_path: Path) -> None:
    tiny_trainer(base, tmp_path).run(should_stop=StopAfter(2))
    path = tmp_path / "state" / TENSORS_FILE
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(ArtefactError, match="is not the file that was written"):
        tiny_trainer(base, tmp_path).run(resume=True)


def test_weights_and_moments_are_all_in_the_state(base: Path, tmp_path: Path) -> None:
    trainer = tiny_trainer(base, tmp_path)
    trainer.run()
    names = set(weights_of(trainer))
    stored = load_file(tmp_path / "state" / TENSORS_FILE)
    for name in names:
        assert f"parameter.{name}" in stored
        for moment in ("step", "exp_avg", "exp_avg_sq"):
            assert f"optimiser.{name}.{moment}" in stored


def test_a_folder_without_room_or_permission_is_refused_before_any_work(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ConfigurationError, match="cannot be written to"):
        tiny_trainer(base, tmp_path / "file/run")
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=10_000_000))
    with pytest.raises(ConfigurationError, match=r"needs 0\.1 GB for checkpoints, and 0\.0 GB"):
        tiny_trainer(base, tmp_path / "run")
    assert not list((tmp_path / "run").iterdir())


def test_room_is_for_a_state_two_checkpoints_and_the_larger_of_them_once_more() -> None:
    base_room = bytes_needed(0, 0)
    assert bytes_needed(100, 0) - base_room == 2 * 100 * 4 * 3
    assert bytes_needed(0, 100) - base_room == 3 * 100 * 4


def test_graphs_without_a_loss_are_refused_and_those_of_weight_zero_left_out(base: Path, tmp_path: Path) -> None:
    job = {"job": GraphLossConfig(loss_temperature=0.3)}
    with pytest.raises(ConfigurationError, match="the graph 'sentence' has no loss"):
        tiny_trainer(base, tmp_path, tiny_config(loss=LossConfig(graphs=job)))
    nothing = {name: GraphLossConfig(alpha=0) for name in ("sentence", "title")}
    recorder = Recorder()
    loss = tiny_config().loss.model_copy(update={"graphs": job | nothing})
    tiny_trainer(base, tmp_path, tiny_config(loss=loss), recorder).run()
    assert {name for report in recorder.steps for name in report.losses} == {"job"}
    with pytest.raises(ConfigurationError, match="no graph with a weight"):
        Trainer(
            tiny_model(base), graphs(), tiny_config(loss=LossConfig(graphs=nothing | {"job": nothing["title"]})),
            RunFolder(tmp_path / "none"), judged,
        )  # fmt: skip


def test_stopping_takes_no_longer_than_a_step(base: Path, tmp_path: Path) -> None:
    start = time.perf_counter()
    result = tiny_trainer(base, tmp_path, tiny_config(steps=10**6, evaluate_every=10**6)).run(should_stop=StopAfter(0))
    assert result.progress.step == 0
    assert time.perf_counter() - start < 5
    assert (tmp_path / "last").is_dir()
