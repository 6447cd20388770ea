"""The scoring benchmark: the plain version that it compares with is right, and its figures fit each other."""

from __future__ import annotations

import json
from typing import get_args

import pytest
import torch

from training import benchmark_scoring
from training.benchmark_scoring import GROUPED, PADDED, PaddedScorer, made_up_index, made_up_queries, measure_scoring
from uwe_core.interaction import InteractionConfig
from uwe_core.scoring.grouped import GroupedScorer
from uwe_core.token_index import StorageType


@pytest.fixture(autouse=True)
def few_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark_scoring, "LABELS_BY_TOKENS", {3: 5, 4: 7, 9: 2})
    monkeypatch.setattr(benchmark_scoring, "_COPIED_BYTES", 1 << 16)


def test_the_padded_version_scores_alike() -> None:
    index, queries = made_up_index(16, "float32"), made_up_queries(3, 5, 16, torch.device("cpu"))
    interaction = InteractionConfig(interaction_temperature=20.0)
    expected = GroupedScorer(index, interaction).score(queries)
    torch.testing.assert_close(PaddedScorer(index, interaction).score(queries), expected)


def test_every_storage_is_timed_and_ratios_are_of_the_same_batch() -> None:
    report = measure_scoring(16, 4, [1, 3], get_args(StorageType), 2, torch.device("cpu"))
    own = [cost for cost in report.costs if cost.scorer not in (PADDED, GROUPED)]
    assert [(cost.queries, cost.storage) for cost in own] == [
        (queries, storage) for queries in (1, 3) for storage in get_args(StorageType)
    ]
    assert {cost.storage: cost.index_bytes for cost in own} == {
        "float32": 61 * 16 * 4, "bfloat16": 61 * 16 * 2, "float16": 61 * 16 * 2, "int8": 61 * 16
    }  # fmt: skip
    padded = report.cost(PADDED, 3)
    assert padded.queries == 3
    assert report.speed_up(padded, PADDED) == 1.0
    written = json.loads(json.dumps(report.as_json()))
    assert written["costs"][0]["times_faster_than"][PADDED] == 1.0
    assert written["copy_bytes_per_second"] > 0
