"""Extract: exactly the skills whose confidence is high enough, and a threshold that annotations decide."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes import save_tiny_model
from training.pipeline.documents import Document, write_documents
from training.pipeline.extract import ExtractPart, SkillExtractor, best_of_documents
from training.pipeline.parts import LocalRunner, run_parts
from training.pipeline.threshold import JudgedPredictions, ThresholdChoice, choose_threshold, threshold_curve
from training.workbench.dataset import assemble
from uwe_core.interaction import InteractionConfig, InteractionKind
from uwe_core.model import UweModel
from uwe_core.scoring import make_scorer
from uwe_core.target_space import SpaceInfo, TargetSpace
from uwe_core.token_index import TokenIndex

SKILLS = ("weld metal", "nurse", "care for people", "bake")
SENTENCES = ("nurse", "weld metal metal", "care", "bake for people nurse")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model("bert", tmp_path_factory.mktemp("models") / "tiny")


@pytest.mark.parametrize("kind", ["context_match", "soft_late_interaction"])
def test_skills_are_those_above_the_threshold_best_first(kind: InteractionKind, folder: Path, tmp_path: Path) -> None:
    model = UweModel.from_pretrained(folder, device="cpu")
    model = model.with_interaction(InteractionConfig(kind=kind, interaction_temperature=2.0))
    space = TargetSpace(SpaceInfo(name="s"), list(SKILLS), list(SKILLS))
    queries = model.encoder.encode(model.encoder.tokenise(SENTENCES))
    scores = make_scorer(TokenIndex.build(model.encoder, space), model.interaction).score(queries).numpy()
    if kind == "soft_late_interaction":
        scores = scores / queries.token_counts.numpy()[:, None]
    threshold = float(np.median(scores))
    found = SkillExtractor(model, SKILLS, tmp_path, threshold, most_per_sentence=3).extract(SENTENCES)
    assert any(len(predictions) == 0 for predictions in found) or any(len(predictions) < 3 for predictions in found)
    for row, predictions in zip(scores, found, strict=True):
        expected = [skill for skill in np.argsort(-row, kind="stable") if row[skill] >= threshold][:3]
        assert [prediction.skill for prediction in predictions] == expected
        assert np.allclose([prediction.confidence for prediction in predictions], row[expected], atol=1e-4)


ROWS = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 4).map(lambda n: n / 4), st.integers(0, 5))
)


@given(ROWS)
def test_a_document_keeps_the_highest_confidence_of_each_skill_and_where_it_first_was(
    rows: list[tuple[int, int, float, int]],
) -> None:
    table = best_of_documents(rows).to_pylist()
    assert [(row["document"], row["skill_id"]) for row in table] == sorted({row[:2] for row in rows})
    for row in table:
        same = [other for other in rows if other[:2] == (row["document"], row["skill_id"])]
        highest = max(other[2] for other in same)
        assert row["confidence"] == highest
        assert row["position"] == min(other[3] for other in same if other[2] == highest)


def test_parts_of_any_size_give_the_same_predictions(folder: Path, tmp_path: Path) -> None:
    documents = [Document("vacancy", str(number), ("t",), SENTENCES[: number + 1]) for number in range(4)]
    found = []
    for size in (1, 100):
        root = tmp_path / str(size)
        root.mkdir()
        write_documents(documents, root, size)
        part = ExtractPart(root, SKILLS, f"{folder}:context_match@2", "cpu", tmp_path / "indexes", 0.0, 2)
        paths = run_parts(root / "parts", part.sizes, part.factory(), LocalRunner(), lambda *_: None)
        found.append([row for path in paths for row in pq.read_table(path).to_pylist()])
    keys = ("document", "skill_id", "position")
    assert [[row[key] for key in keys] for row in found[0]] == [[row[key] for key in keys] for row in found[1]]
    one, other = ([row["confidence"] for row in rows] for rows in found)
    assert np.allclose(one, other, atol=2e-4)


JUDGED = st.lists(st.tuples(st.integers(0, 20).map(lambda n: n / 20), st.booleans()), min_size=1, max_size=30)


@given(JUDGED, st.integers(1, 5), st.floats(0.5, 4))
def test_the_curve_is_precision_recall_and_f_of_each_threshold(
    judged: list[tuple[float, bool]], missed: int, weight: float
) -> None:
    annotated = sum(right for _, right in judged) + missed
    confidences, right = (np.array(column) for column in zip(*judged, strict=True))
    for point in threshold_curve(JudgedPredictions(confidences, right, annotated), weight):
        kept = [hit for value, hit in judged if value >= point.threshold]
        assert point.recall == pytest.approx(sum(kept) / annotated)
        assert point.precision == pytest.approx(sum(kept) / max(1, len(kept)))
        if point.f_score:
            by_definition = (1 + weight**-2) / (1 / point.precision + weight**-2 / point.recall)
            assert point.f_score == pytest.approx(by_definition)


def test_the_threshold_is_the_best_of_its_curve_and_is_kept(folder: Path, tmp_path: Path) -> None:
    model = UweModel.from_pretrained(folder, device="cpu").with_interaction(
        InteractionConfig(kind="context_match", interaction_temperature=2.0)
    )
    dataset = assemble(
        task="skillextract", name="skillextract_tiny", split="validation", target_space="s",
        targets={skill: skill for skill in SKILLS}, pairs=[("weld metal metal", "weld metal"), ("nurse", "nurse")],
    )  # fmt: skip
    choice = choose_threshold(model, [dataset], tmp_path, most_per_sentence=2, precision_weight=2.0)
    assert choice.chosen_on == ("skillextract_tiny/validation",)
    best = max(point.f_score for point in choice.curve)
    assert choice.threshold == max(point.threshold for point in choice.curve if point.f_score == best)
    (tmp_path / "threshold.json").write_text(choice.model_dump_json())
    assert ThresholdChoice.read(tmp_path) == choice
