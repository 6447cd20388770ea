"""Matching: every pair above the threshold and no other, whatever the blocks; what enrichment makes of them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from training.pipeline import matching
from training.pipeline.enrich import enriched_edges, match_curve
from training.pipeline.matching import MatchPart, is_match, match
from training.pipeline.parts import LocalRunner, run_parts

GOLDEN = json.loads((Path(__file__).parents[2] / "golden/formulas.json").read_text())["merge_threshold"]


def test_a_match_is_strictly_above_the_threshold() -> None:
    assert is_match(torch.tensor(GOLDEN["sims"], dtype=torch.float64), 0.7).tolist() == GOLDEN[">0.7"]


def units(count: int, seed: int) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(count, 4)).astype(np.float32)
    unit: np.ndarray = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit


@pytest.mark.parametrize("block", [1, 3, 100])
def test_matches_are_all_pairs_above_and_the_nearest_of_texts_without_one(
    block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(matching, "_OTHERS_PER_BLOCK", block)
    texts, others = units(17, seed=0), units(11, seed=1)
    cosines = texts @ others.T
    expected = set(zip(*np.nonzero(cosines > 0.8), strict=True))
    alone = [row for row in range(17) if cosines[row].max() <= 0.8]
    assert alone
    assert expected
    expected |= {(row, int(cosines[row].argmax())) for row in alone}
    table = match(texts, others, 0.8, torch.device("cpu"), first=100).to_pydict()
    found = list(zip(table["text"], table["match"], strict=True))
    assert found == sorted((row + 100, column) for row, column in expected)
    assert np.allclose(table["cosine"], [cosines[row - 100, column] for row, column in found])


def test_parts_together_are_the_whole(tmp_path: Path) -> None:
    for name, vectors in (("texts", units(10, 0)), ("others", units(6, 1))):
        np.save(tmp_path / f"{name}.npy", vectors)
    done: list[tuple[int, int]] = []

    def matches(size: int) -> pl.DataFrame:
        part = MatchPart(tmp_path / "texts.npy", tmp_path / "others.npy", 0.5, size, "cpu")
        paths = run_parts(
            tmp_path / f"parts {size}", part.sizes, part.factory(), LocalRunner(), lambda *now: done.append(now)
        )
        return pl.read_parquet(paths)

    assert matches(3).select("text", "match").rows() == matches(10).select("text", "match").rows()
    assert done == [(3, 10), (6, 10), (9, 10), (10, 10), (10, 10)]


def test_generated_titles_become_the_real_ones_they_match_or_new_ones() -> None:
    generated = pl.DataFrame({"title": ["care nurse", "metal welder", "care nurse"], "skill_id": [1, 2, 3]})
    real = pl.DataFrame({"title": ["nurse", "carer"], "group": ["g1", "g2"]})
    matches = pl.DataFrame(
        {"text": [0, 0, 1], "match": [0, 1, 0], "cosine": [0.9, 0.8, 0.2]},
        schema={"text": pl.Int32, "match": pl.Int32, "cosine": pl.Float32},
    )
    edges = enriched_edges(generated, ["care nurse", "metal welder"], real, matches, 0.7)
    assert set(edges.select("text", "skill_id", "source", "group").rows()) == {
        ("nurse", 1, "matched", "g1"), ("carer", 1, "matched", "g2"),
        ("nurse", 3, "matched", "g1"), ("carer", 3, "matched", "g2"),
        ("metal welder", 2, "generated", ""),
    }  # fmt: skip
    curve = dict(match_curve(matches, 2).iter_rows())
    assert (curve[0.5], curve[0.9], curve[0.3]) == (0.5, 0, 0.5)
