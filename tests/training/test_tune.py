"""Tuning an adapter: the best setting is the best, what is written says so, and averages are of one base."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.core.test_adapter import adapter_of, write_checkpoint
from tests.fakes import save_tiny_model
from tests.training.test_validation import dataset
from training.tune import Trial, TuneConfig, average_adapters, read_adapter, tune, write_adapter
from training.validation import validate, validate_interactions
from training.workbench.baselines.specification import interaction_named
from uwe_core.adapter import load_adapter
from uwe_core.errors import DataError, InputError
from uwe_core.interaction import InteractionConfig
from uwe_core.model import CheckpointInfo, UweModel

pytestmark = pytest.mark.usefixtures("one_thread")
SOFT = InteractionConfig(interaction_temperature=2.0)
DATASETS = [
    dataset("tech", "skillextract", [[0, 3], [1], [5]]),
    dataset("norm", "norm", [[4], [5], [3], [0]]),
]
CONFIG = TuneConfig(strengths=(0.0, 0.5, 1.0), temperature_factors=(0.5, 1.0, 2.0))


def adapter_folder(folder: Path, base: Path, dtype: torch.dtype = torch.float32, size: float = 1.0) -> Path:
    tensors = adapter_of(UweModel.from_pretrained(base, device="cpu").encoder.backbone)
    sizes = {".a": 1 / size, ".b": size}  # the same product
    scaled = {name: (sizes[name[-2:]] * tensor.float()).to(dtype) for name, tensor in tensors.items()}
    write_checkpoint(folder, str(base), scaled, scale=0.8)
    info = CheckpointInfo(interaction=SOFT, base=str(base), adapter_scale=0.8, seen_spaces=(folder.name,))
    (folder / "uwe.json").write_text(info.model_dump_json())
    return folder


def test_the_chosen_setting_is_the_best_of_all_and_is_what_is_written(base: Path, tmp_path: Path) -> None:
    folder = adapter_folder(tmp_path / "trained", base)
    (folder / "README.md").write_text("a card")
    seen: list[Trial] = []
    done = tune(read_adapter(folder), DATASETS, CONFIG, "cpu", seen.append)
    assert seen == done.trials
    tried = [(trial.strength, trial.interaction.interaction_temperature) for trial in done.trials]
    assert tried[:3] == [(0.0, 2.0), (0.5, 2.0), (1.0, 2.0)]
    assert tried[3:] == [(done.best.strength, 1.0), (done.best.strength, 4.0)]
    assert done.best.validation.average == max(trial.validation.average for trial in done.trials)
    write_adapter(done, tmp_path / "tuned")
    written = UweModel.from_pretrained(tmp_path / "tuned", device="cpu")
    assert written.info.adapter_scale == done.best.strength * 0.8
    assert written.interaction == done.best.interaction
    assert written.info.metrics == dict(done.stored.metrics)
    assert validate(written, DATASETS).average == pytest.approx(done.stored.average)
    assert (tmp_path / "tuned/README.md").read_text() == "a card"
    with pytest.raises(DataError, match="there already"):
        write_adapter(done, tmp_path / "tuned")


def test_a_trial_is_the_validation_of_the_folder_with_that_setting(base: Path, tmp_path: Path) -> None:
    folder = adapter_folder(tmp_path / "trained", base)
    done = tune(read_adapter(folder), DATASETS, CONFIG, "cpu", lambda _: None)
    for trial in done.trials:
        info = CheckpointInfo(interaction=trial.interaction, base=str(base), adapter_scale=0.8 * trial.strength)
        (folder / "uwe.json").write_text(info.model_dump_json())
        assert validate(UweModel.from_pretrained(folder, device="cpu"), DATASETS) == trial.validation


def test_half_precision_is_stored_where_it_changes_little(base: Path, tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={"strengths": (1.0,)})
    for size, half in ((1.0, True), (1e6, False)):  # half precision ends at 65,504
        folder = adapter_folder(tmp_path / f"trained-{size}", base, size=size)
        done = tune(read_adapter(folder), DATASETS, config, "cpu", lambda _: None)
        assert done.half_precision == half
        write_adapter(done, tmp_path / f"tuned-{size}")
        factors = load_adapter(tmp_path / f"tuned-{size}/adapter.safetensors")
        dtypes = {factor.dtype for pair in factors.values() for factor in pair}
        assert dtypes == {torch.float16 if half else torch.float32}
    folder = adapter_folder(tmp_path / "trained", base, torch.float16)
    done = tune(read_adapter(folder), DATASETS, config, "cpu", lambda _: None)
    assert done.half_precision
    assert done.stored == done.best.validation


def test_max_sim_has_no_temperature_to_try(base: Path, tmp_path: Path) -> None:
    folder = write_checkpoint(
        tmp_path / "trained", str(base), adapter_of(UweModel.from_pretrained(base, device="cpu").encoder.backbone), 1.0
    )
    done = tune(read_adapter(folder), DATASETS, CONFIG, "cpu", lambda _: None)
    assert [trial.strength for trial in done.trials] == [0.0, 0.5, 1.0]


def test_other_interactions_are_tried_at_the_best_strength_and_may_be_chosen(base: Path, tmp_path: Path) -> None:
    folder = adapter_folder(tmp_path / "trained", base)
    others = tuple(interaction_named(word, SOFT) for word in ("context_match@0.5", "pooled_cosine", "context_match"))
    assert [(other.kind, other.interaction_temperature) for other in others] == [
        ("context_match", 0.5), ("pooled_cosine", 2.0), ("context_match", 2.0),
    ]  # fmt: skip
    config = CONFIG.model_copy(update={"temperature_factors": (1.0,), "interactions": others})
    done = tune(read_adapter(folder), DATASETS, config, "cpu", lambda _: None)
    best_strength = max(done.trials[:3], key=lambda trial: trial.validation.average).strength
    assert [(trial.strength, trial.interaction) for trial in done.trials[3:]] == [
        (best_strength, other) for other in others
    ]
    model = read_adapter(folder).model("cpu", 0.8 * best_strength)
    for trial in done.trials[3:]:
        assert trial.validation == validate(model.with_interaction(trial.interaction), DATASETS)
    assert done.best == max(done.trials, key=lambda trial: trial.validation.average)
    with pytest.raises(InputError, match="'maxsim' is no interaction"):
        interaction_named("maxsim", SOFT)


def test_an_average_of_one_adapter_with_itself_is_that_adapter(base: Path, tmp_path: Path) -> None:
    one = read_adapter(adapter_folder(tmp_path / "one", base))
    averaged, lost = average_adapters([one, read_adapter(adapter_folder(tmp_path / "other", base))])
    assert lost == pytest.approx(0, abs=1e-9)
    assert averaged.info.adapter_scale == 1.0
    assert averaged.info.seen_spaces == ("one", "other")
    assert {pair[0].shape[0] for pair in averaged.factors.values()} == {2}
    before, after = (adapter.model("cpu").encoder.backbone.state_dict() for adapter in (one, averaged))
    for name, tensor in before.items():
        torch.testing.assert_close(after[name], tensor, atol=1e-5, rtol=1e-4)


def test_adapters_of_different_bases_are_not_averaged(base: Path, tmp_path: Path) -> None:
    one = read_adapter(adapter_folder(tmp_path / "one", base))
    other_base = save_tiny_model("bert", tmp_path / "base", seed=1)
    with pytest.raises(InputError, match="one base"):
        average_adapters([one, read_adapter(adapter_folder(tmp_path / "other", other_base))])
    with pytest.raises(InputError, match="is no adapter"):
        read_adapter(other_base)


def test_several_interactions_over_shared_encodings_do_as_each_alone(base: Path) -> None:
    model = UweModel.from_pretrained(base, device="cpu")
    interactions = [SOFT, InteractionConfig(kind="max_sim"), InteractionConfig(kind="pooled_cosine")]
    alone = [validate(model.with_interaction(interaction), DATASETS) for interaction in interactions]
    assert validate_interactions(model, interactions, DATASETS) == alone
