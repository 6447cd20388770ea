"""Untrained bases on the real data: the figures that prove encoder, data and metrics against the paper."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from training.workbench.baselines.chance import RandomRanking
from training.workbench.baselines.uwe import TextEncodings, UweRanking
from training.workbench.dataset import RankingDataset
from training.workbench.evaluation import judge
from training.workbench.local_data import local_workbench
from uwe_core.interaction import InteractionConfig
from uwe_core.model import UweModel

pytestmark = pytest.mark.data


@pytest.fixture(scope="module")
def datasets(data_dir: Path) -> dict[str, RankingDataset]:
    read = [entry.read() for entry in local_workbench(data_dir, "test") if entry.name in ("job2skill", "skill2job")]
    return {dataset.name: dataset for dataset in read if isinstance(dataset, RankingDataset)}


def percent(model: UweModel, datasets: Iterable[RankingDataset]) -> dict[str, list[float]]:
    pooled = model.with_interaction(InteractionConfig(kind="pooled_cosine"))
    ranking = UweRanking(model.name, pooled, TextEncodings(model.encoder, keep_queries=False))
    judged = [judge(ranking, dataset) for dataset in datasets]
    return {
        judgement.dataset.name: [100 * judgement.mean(metric) for metric in ("map", "rp@10")] for judgement in judged
    }


def test_minilm_ranks_the_skills_of_a_job_as_measured_elsewhere(
    embedded_base: UweModel, datasets: dict[str, RankingDataset]
) -> None:
    assert percent(embedded_base, [datasets["job2skill"]])["job2skill"] == pytest.approx([12.4, 30.2], abs=0.1)


def test_chance_ranks_as_theory_says(datasets: dict[str, RankingDataset]) -> None:
    judged = judge(RandomRanking(), datasets["job2skill"])
    assert 100 * judged.mean("map") == pytest.approx(0.37, abs=0.03)
    assert 100 * judged.mean("rp@10") == pytest.approx(0.30, abs=0.06)


@pytest.mark.mpnet
def test_mpnet_is_the_papers_row(mpnet_dir: Path, datasets: dict[str, RankingDataset]) -> None:
    figures = percent(UweModel.from_pretrained(mpnet_dir, device="cpu"), datasets.values())
    assert figures["job2skill"] == pytest.approx([11.77, 28.99], abs=0.05)
    assert figures["skill2job"] == pytest.approx([28.97, 40.32], abs=0.05)
