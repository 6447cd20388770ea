"""Calibrating: counts as a loop counts, a known curve found again, errors as others define them, and the file."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss

from tests.fakes import save_tiny_model
from tests.training.test_validation import dataset
from training.calibration.calibrate import calibrate, write_calibration
from training.calibration.fit import confidences_of, fit, reliability
from training.calibration.plot import save_reliability
from training.calibration.score_counts import BIN_CENTRES, BINS, SHOWN, ScoreCounts, count_tasks
from training.validation import ValidationConfig, half_datasets
from training.workbench.baselines.uwe import TextEncodings, UweRanking
from training.workbench.dataset import half_of
from uwe_core.calibration import Calibration, logistic
from uwe_core.errors import DataError, InputError
from uwe_core.interaction import InteractionConfig
from uwe_core.model import CheckpointInfo, UweModel

pytestmark = pytest.mark.usefixtures("one_thread")
CURVE = Calibration(slope=12, intercept=-6, per_query_token=True, targets=30, queries=5)
DATASETS = [
    dataset("tech", "skillextract", [[0, 3], [1], [5]], targets=15),
    dataset("house", "skillextract", [[2]], targets=15),
    dataset("norm", "jobnorm", [[4], [5], [3]]),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    saved = save_tiny_model("bert", tmp_path_factory.mktemp("model"))
    info = CheckpointInfo(interaction=InteractionConfig(), metrics={"average/map": 1.0})
    (saved / "uwe.json").write_text(info.model_dump_json())
    return saved


def drawn_counts(pairs: int) -> ScoreCounts:
    """As many pairs in every bin, of which exactly the curve's share is relevant."""
    everywhere = np.full(BINS, float(pairs))
    return ScoreCounts(everywhere, everywhere * [logistic(12 * centre - 6) for centre in BIN_CENTRES], queries=5)


def test_a_known_curve_is_found_again_and_judged_perfect() -> None:
    found = fit(drawn_counts(1000), 30, per_query_token=True)
    assert (found.slope, found.intercept) == pytest.approx((12, -6), rel=1e-3)
    judged = reliability(CURVE, drawn_counts(1000))
    assert judged.calibration_error == pytest.approx(0, abs=1e-12)
    assert judged.brier < judged.brier_of_base_rate
    wrong = CURVE.model_copy(update={"intercept": -3.0})
    assert reliability(wrong, drawn_counts(1000)).calibration_error > 0.05


def test_scores_that_mislead_give_the_base_rate_and_never_a_falling_curve() -> None:
    counts = drawn_counts(10)
    upside_down = ScoreCounts(counts.pairs, counts.relevant[::-1], 5)
    found = fit(upside_down, 30, per_query_token=False)
    assert found.slope == 0
    assert found.confidence(0.7, 3) == pytest.approx(float(counts.relevant.sum() / counts.pairs.sum()))


def test_without_a_relevant_pair_there_is_nothing_to_fit() -> None:
    with pytest.raises(DataError, match="relevant"):
        fit(ScoreCounts(np.ones(BINS), np.zeros(BINS), 1), 30, per_query_token=True)


@settings(max_examples=25)
@given(st.lists(st.tuples(st.integers(0, BINS - 1), st.booleans()), min_size=1, max_size=40))
def test_errors_are_those_of_single_pairs(pairs: list[tuple[int, bool]]) -> None:
    counts = ScoreCounts(np.zeros(BINS), np.zeros(BINS), 1)
    for place, relevant in pairs:
        counts.pairs[place] += 1
        counts.relevant[place] += relevant
    confidences = confidences_of(CURVE)[[place for place, _ in pairs]]
    labels = np.array([relevant for _, relevant in pairs])
    judged = reliability(CURVE, counts)
    assert judged.brier == pytest.approx(brier_score_loss(labels, confidences, pos_label=True))
    error = 0.0
    for low in np.arange(10):
        inside = np.minimum((confidences * 10).astype(int), 9) == low
        if inside.any():
            error += inside.mean() * abs(confidences[inside].mean() - labels[inside].mean())
    assert judged.calibration_error == pytest.approx(error)


def test_pairs_are_counted_as_a_loop_over_queries_and_targets_does(folder: Path) -> None:
    model = UweModel.from_pretrained(folder, device="cpu")
    counts = count_tasks(model, DATASETS)
    assert set(counts) == {"skillextract", "jobnorm"}
    ranking = UweRanking("x", model, TextEncodings(model.encoder))
    pairs, relevant, shown = np.zeros(BINS), np.zeros(BINS), 0
    for one in DATASETS[:2]:
        for query, positives in zip(one.queries, one.positives, strict=True):
            tokens = len(model.encoder.tokenise([query]).token_ids[0])
            scores = (ranking.scores([query], one.targets, "")[0] / tokens).tolist()
            for target, score in enumerate(scores):
                place = min(int((score + 1) * BINS / 2), BINS - 1)  # 1 belongs to the last bin
                pairs[place] += 1
                relevant[place] += target in positives
            best = sorted(range(15), key=lambda target: -scores[target])[:SHOWN]
            shown += len(set(best) & set(positives))
    found = counts["skillextract"]
    # a score beside a bin's edge may be rounded into its neighbour
    assert np.abs(np.cumsum(found.every.pairs - pairs)).max() <= 1
    assert np.abs(np.cumsum(found.every.relevant - relevant)).max() <= 1
    assert (found.every.queries, found.every.pairs.sum(), found.every.relevant.sum()) == (4, 60, 5)
    assert (found.shown.pairs.sum(), found.shown.relevant.sum()) == (4 * SHOWN, shown)


def test_excluded_targets_are_no_pairs() -> None:
    scores = torch.tensor([[0.5, -torch.inf, -1.0, 1.0]])
    counts = ScoreCounts.of(scores, torch.tensor([[0.0, 0.0, 1.0, 0.0]]))
    assert (counts.pairs.sum(), counts.pairs[0], counts.pairs[-1], counts.relevant[0]) == (3, 1, 1, 1)


def test_a_folder_is_calibrated_and_keeps_what_it_had(folder: Path, tmp_path: Path) -> None:
    model = UweModel.from_pretrained(folder, device="cpu")
    done = calibrate(model, DATASETS, DATASETS[:2])
    assert set(done.by_task) == {"skillextract", "jobnorm"}
    assert set(done.shown) == set(done.every) == {"skillextract"}
    assert (done.by_task["skillextract"].targets, done.by_task["skillextract"].queries) == (15, 4)
    write_calibration(folder, done.by_task)
    assert json.loads((folder / "uwe.json").read_text())["metrics"] == {"average/map": 1.0}
    loaded = UweModel.from_pretrained(folder, device="cpu")
    assert loaded.info.calibration == done.by_task
    assert loaded.fingerprint == model.fingerprint
    assert loaded.confidence("skillsim", 1.0, 3) is None
    save_reliability(done.shown, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(InputError, match=r"uwe\.json"):
        write_calibration(tmp_path, done.by_task)


def test_the_half_that_fits_and_the_half_that_judges_share_no_query(tmp_path: Path) -> None:
    config = ValidationConfig(most_queries=20)
    selecting, reporting = (half_datasets(tmp_path, "sample", config, half) for half in ("selecting", "reporting"))
    for left, right in zip(selecting, reporting, strict=True):
        assert left.name == right.name
        assert {half_of(query) for query in left.queries} == {"selecting"}
        assert {half_of(query) for query in right.queries} == {"reporting"}
