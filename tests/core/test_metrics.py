"""The metrics: hand-checked cases, a brute-force oracle, ties, exclusions, chunks, and the paper's own average."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from uwe_core import metrics
from uwe_core.errors import JudgementError
from uwe_core.metrics import (
    PositiveRanks,
    bootstrap_interval,
    bootstrap_intervals,
    per_query,
    positive_ranks,
    task_average,
)

GOLDEN = Path(__file__).parent.parent / "golden"
CASES: list[dict[str, Any]] = json.loads((GOLDEN / "metrics.json").read_text())["cases"]
GRADED: dict[str, Any] = json.loads((GOLDEN / "metrics.json").read_text())["graded"]
PAPER: dict[str, Any] = json.loads((GOLDEN / "paper_results.json").read_text())["table2_workbench_results"]
NAMES = ("map", "mrr", "ndcg", "ndcg@3", "rp@1", "rp@3", "recall@2", "hit@2")


def scores_of(case: dict[str, Any]) -> torch.Tensor:
    return torch.tensor([[float(score) for score in row] for row in case["scores"]], dtype=torch.float64)


@pytest.mark.parametrize("case", [case for case in CASES if "expected" in case], ids=lambda case: case["id"])
def test_metrics_equal_the_hand_checked_numbers(case: dict[str, Any]) -> None:
    ranks = positive_ranks(scores_of(case), case["positives"])
    for name, expected in case["expected"].items():
        assert per_query(ranks, name).mean() == pytest.approx(expected, abs=1e-12), name


@pytest.mark.parametrize("case", [case for case in CASES if "expected" not in case], ids=lambda case: case["id"])
def test_what_cannot_be_judged_is_refused(case: dict[str, Any]) -> None:
    with pytest.raises(JudgementError):
        per_query(positive_ranks(scores_of(case), case["positives"]), "map")


def test_graded_relevance_equals_the_hand_checked_numbers() -> None:
    ranks = positive_ranks(scores_of(GRADED), GRADED["positives"], GRADED["relevance"])
    for name, expected in GRADED["expected"].items():
        assert per_query(ranks, name).mean() == pytest.approx(expected, abs=1e-12)


def brute_force(scores: list[float], positives: set[int], name: str) -> float:
    """By sorting, one target after the other."""
    order = sorted(range(len(scores)), key=lambda place: (-scores[place], place))
    found = [place in positives for place in order]
    metric, _, depth = name.partition("@")
    k = int(depth or len(order))
    hits = sum(found[:k])
    match metric:
        case "map":
            return sum(sum(found[: rank + 1]) / (rank + 1) for rank in range(len(found)) if found[rank]) / len(
                positives
            )
        case "mrr":
            return 1 / (found.index(True) + 1)
        case "ndcg":
            gained = sum(1 / math.log2(rank + 2) for rank in range(min(k, len(found))) if found[rank])
            return gained / sum(1 / math.log2(rank + 2) for rank in range(min(k, len(positives))))
        case "rp":
            return hits / min(k, len(positives))
        case "recall":
            return hits / len(positives)
        case _:
            return float(hits > 0)


@st.composite
def judged(draw: st.DrawFn) -> tuple[list[list[float]], list[list[int]]]:
    targets = draw(st.integers(1, 8))
    # few distinct values, so that ties are the rule
    rows = draw(
        st.lists(
            st.lists(st.sampled_from([-1.0, 0.0, 0.25, 2.0]), min_size=targets, max_size=targets),
            min_size=1,
            max_size=5,
        )
    )
    subsets = st.lists(st.integers(0, targets - 1), unique=True)
    return rows, [draw(subsets) for _ in rows]


@given(judged())
def test_metrics_equal_brute_force_and_chunks_change_nothing(case: tuple[list[list[float]], list[list[int]]]) -> None:
    rows, positives = case
    ranks = positive_ranks(torch.tensor(rows), positives)
    assert ranks.left_out == sum(not row for row in positives)
    if ranks.left_out == len(rows):
        with pytest.raises(JudgementError, match="no query"):
            per_query(ranks, "map")
        return
    for name in NAMES:
        expected = [brute_force(row, set(right), name) for row, right in zip(rows, positives, strict=True) if right]
        assert per_query(ranks, name) == pytest.approx(expected), name
    parts = [positive_ranks(torch.tensor([row]), [right]) for row, right in zip(rows, positives, strict=True)]
    whole = PositiveRanks.concatenate(parts)
    assert (whole.query.tolist(), whole.rank.tolist(), whole.queries) == (
        ranks.query.tolist(),
        ranks.rank.tolist(),
        ranks.queries,
    )


def test_counting_in_small_pieces_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = torch.randn(20, 30, generator=torch.Generator().manual_seed(0)).round(decimals=1)
    positives = [[place, (place + 7) % 30, 29 - place] if place != 29 - place else [place] for place in range(20)]
    positives = [sorted(set(row)) for row in positives]
    whole = positive_ranks(scores, positives)
    monkeypatch.setattr(metrics, "_CHUNK_ELEMENTS", 1)
    assert np.array_equal(positive_ranks(scores, positives).rank, whole.rank)


def test_a_positive_that_is_excluded_is_an_error() -> None:
    with pytest.raises(JudgementError, match="excluded"):
        positive_ranks(torch.tensor([[-math.inf, 1.0]]), [[0]])


@pytest.mark.parametrize("name", ["precision@10", "map@10", "rp", "rp@0", "rp@", "MAP"])
def test_a_metric_that_is_not_there_is_an_error(name: str) -> None:
    with pytest.raises(JudgementError, match="no metric"):
        per_query(positive_ranks(torch.tensor([[1.0]]), [[0]]), name)


def test_the_interval_holds_the_mean_and_is_the_same_for_the_same_seed() -> None:
    values = np.random.default_rng(1).random(200)
    low, high = bootstrap_interval(values)
    assert low < values.mean() < high
    assert (low, high) == bootstrap_interval(values)
    assert high - low == pytest.approx(2 * 1.96 * values.std() / math.sqrt(200), rel=0.15)


def test_intervals_of_several_columns_are_those_of_each() -> None:
    values = np.random.default_rng(2).random((50, 3))
    alone = [bootstrap_interval(column) for column in values.T]
    np.testing.assert_allclose(bootstrap_intervals(values), alone)


@pytest.mark.parametrize("model", PAPER["models"])
@pytest.mark.parametrize("metric", ["MAP", "RP@10"])
def test_the_average_over_tasks_is_the_papers(model: str, metric: str) -> None:
    values = {task: figures[metric] for task, figures in PAPER["models"][model].items() if task != "TaskAvg"}
    average = task_average(values, {"SkillExtr-T": "SkillExtract", "SkillExtr-H": "SkillExtract"})
    # the paper rounds each figure before printing it
    assert average == pytest.approx(PAPER["models"][model]["TaskAvg"][metric], abs=0.061)
    assert average == pytest.approx(PAPER["check"][model][f"{metric}_recomputed"], abs=5e-4)
