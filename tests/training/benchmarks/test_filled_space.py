"""Spaces filled up to a size: real lengths, real embeddings first, copies near them, and a ranker takes them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes import random_index, save_tiny_model
from training.benchmarks.filled_space import bytes_needed, filled_space
from training.benchmarks.scale import ScaleCell, ScalePlan, measure_cells, scale_report
from uwe_core.model import UweModel
from uwe_core.ranker import RankableSpace, Ranker
from uwe_core.target_space import SpaceInfo, TargetSpace
from uwe_core.tasks import RankingTask
from uwe_core.token_index import TokenIndex

TEXTS = ["nurse", "baker", "welder", "care for people", "bake bread", "take blood pressure", "weld metal"]
COUNTS = [3, 1, 4, 1, 5, 2, 6]


def space_of(texts: list[str]) -> TargetSpace:
    return TargetSpace(SpaceInfo(name="real"), [f"id-{text}" for text in texts], texts)


@given(st.integers(1, 60))
def test_every_size_has_the_lengths_of_the_real_targets_and_each_of_them_as_it_is(size: int) -> None:
    real = random_index(COUNTS)
    space, index = filled_space(space_of(TEXTS), real, size)
    assert len(space) == len(index) == size == index.manifest.targets
    assert index.manifest.tokens == len(index.embeddings) == int(index.offsets[-1])
    assert index.manifest.space_fingerprint == space.fingerprint
    counts = index.offsets.diff().tolist()
    assert counts == sorted(counts)  # groups of equal length stand together, as in every index
    times = Counter(counts)
    assert all(size // 7 <= times[count] / COUNTS.count(count) <= -(-size // 7) or size < 7 for count in COUNTS)
    starts = index.offsets.tolist()
    for target, text in enumerate(space.texts):
        if text in TEXTS:
            place = int((real.order == TEXTS.index(text)).nonzero())
            rows = real.embeddings[real.offsets[place] : real.offsets[place + 1]]
            assert torch.equal(index.embeddings[starts[target] : starts[target + 1]], rows)
    assert sum(text in TEXTS for text in space.texts) == min(size, 7)


def test_copies_lie_near_their_target_and_are_not_the_same() -> None:
    real = random_index([4] * 3, dim=64)
    _, index = filled_space(space_of(TEXTS[:3]), real, 30)
    tokens = index.embeddings.reshape(3, 10, 4, -1)
    distances = (tokens - tokens[:, :1]).norm(dim=-1) / tokens[:, :1].norm(dim=-1)
    assert torch.all(distances[:, 0] == 0)
    assert torch.all((distances[:, 1:] > 0.05) & (distances[:, 1:] < 0.2))


def test_the_memory_that_is_announced_covers_the_index() -> None:
    for dtype in ("float32", "bfloat16"):
        real = random_index(COUNTS, dim=64, dtype=dtype)
        _, index = filled_space(space_of(TEXTS), real, 700)
        assert index.nbytes < bytes_needed(real, 700) < 4 * index.nbytes


def tiny_ranker(folder: Path, size: int) -> Ranker:
    model = UweModel.from_pretrained(save_tiny_model("bert", folder), device="cpu")
    space, index = filled_space(space_of(TEXTS), TokenIndex.build(model.encoder, space_of(TEXTS)), size)
    task = RankingTask(name="t", description="d", queries="q", target_space="real")
    return Ranker(model, {"real": RankableSpace(model, space, index)}, {"t": task})


def test_cells_are_measured_skipped_with_a_reason_and_reported(tmp_path: Path) -> None:
    ranker = tiny_ranker(tmp_path / "tiny", 50)
    measured = measure_cells(ranker, "t", ["nurse", "baker"], ScalePlan([50], [1, 4], cell_seconds=5))
    assert [(cell.targets, cell.queries, cell.skipped) for cell in measured] == [(50, 1, ""), (50, 4, "")]
    assert all(cell.seconds and cell.peak_bytes > 2**20 and cell.index_bytes for cell in measured)
    hurried = measure_cells(ranker, "t", ["nurse"], ScalePlan([50], [1, 4, 16], cell_seconds=1e-9))
    assert hurried[0].seconds
    assert ["would take" in cell.skipped for cell in hurried] == [False, True, True]
    report = scale_report([*measured, ScaleCell(10**6, 1, skipped="no memory")], {"machine": "this"})
    assert "| 1,000,000 |  |  | 1 |  |  |  | skipped: no memory |" in report.markdown()
    assert [file.name for file in report.write(tmp_path / "out")] == ["scale.json", "scale.md", "scale-targets.png"]
