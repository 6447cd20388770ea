"""Calibrations: monotone, in range, stored whole, and never taken to scores they were not fitted on."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.fakes import save_tiny_model
from uwe_core.calibration import Calibration, logistic
from uwe_core.interaction import InteractionConfig
from uwe_core.model import CheckpointInfo, UweModel

finite = st.floats(-1e6, 1e6)
calibrations = st.builds(
    Calibration, slope=st.floats(0, 1e6), intercept=finite, per_query_token=st.booleans(),
    targets=st.integers(1, 10**7), queries=st.integers(1, 10**6),
)  # fmt: skip
ONE = Calibration(slope=10, intercept=-5, per_query_token=True, targets=100, queries=10)


@given(calibrations, st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=2), st.integers(1, 512))
def test_confidence_never_falls_where_the_score_rises_and_stays_in_range(
    calibration: Calibration, scores: list[float], tokens: int
) -> None:
    found = [calibration.confidence(score, tokens) for score in sorted(scores)]
    assert found == sorted(found)
    assert all(0 <= value <= 1 for value in found)
    assert calibration.confidence(-math.inf, tokens) == 0


@given(calibrations)
def test_a_calibration_survives_json(calibration: Calibration) -> None:
    info = CheckpointInfo(interaction=InteractionConfig(), calibration={"jobnorm": calibration})
    assert CheckpointInfo.model_validate_json(info.model_dump_json()) == info


@given(st.floats(-700, 700))
def test_the_logistic_curve_is_its_definition(log_odds: float) -> None:
    assert logistic(log_odds) == pytest.approx(1 / (1 + math.exp(-log_odds)), rel=1e-12)


def test_sums_over_query_tokens_are_made_means_and_other_scores_are_not() -> None:
    assert ONE.confidence(2.0, 4) == pytest.approx(0.5)  # 10 x 0.5 - 5
    assert ONE.model_copy(update={"per_query_token": False}).confidence(0.5, 4) == pytest.approx(0.5)


def test_a_falling_curve_or_another_version_is_refused() -> None:
    facts = ONE.model_dump()
    for wrong in ({"slope": -1}, {"slope": math.nan}, {"intercept": math.inf}, {"version": 2}, {"surprise": 1}):
        with pytest.raises(ValidationError):
            Calibration.model_validate(facts | wrong)


def test_files_without_a_calibration_are_as_they_were(tmp_path: Path) -> None:
    info = CheckpointInfo(interaction=InteractionConfig())
    assert "calibration" not in json.loads(info.model_dump_json())
    assert "calibration" not in info.model_dump()
    assert CheckpointInfo.model_validate_json(info.model_dump_json()) == info


def test_a_model_keeps_its_calibration_until_its_scores_are_others(tmp_path: Path) -> None:
    plain = UweModel.from_pretrained(save_tiny_model("bert", tmp_path / "plain"), device="cpu")
    assert plain.confidence("jobnorm", 2.0, 4) is None
    info = plain.info.model_copy(update={"calibration": {"jobnorm": ONE}})
    UweModel(plain.encoder, info).save_pretrained(tmp_path / "calibrated")
    loaded = UweModel.from_pretrained(tmp_path / "calibrated", device="cpu")
    assert loaded.fingerprint == plain.fingerprint
    assert loaded.confidence("jobnorm", 2.0, 4) == pytest.approx(0.5)
    assert loaded.confidence("skillsim", 2.0, 4) is None
    assert loaded.with_interaction(loaded.interaction).confidence("jobnorm", 2.0, 4) is not None
    assert loaded.with_interaction(InteractionConfig(kind="max_sim")).confidence("jobnorm", 2.0, 4) is None
