"""The validation sets: found, thinned by a fixed hash, and averaged by task."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes import save_tiny_model
from training.validation import ValidationConfig, thinned, title_datasets, validate, validation_datasets
from training.workbench.dataset import RankingDataset
from uwe_core.errors import DataError
from uwe_core.model import UweModel


def dataset(name: str, task: str, positives: list[list[int]], targets: int = 6) -> RankingDataset:
    words = ["nurse", "welder", "baker", "metal", "bread", "people"]
    return RankingDataset(
        task=task, name=name, split="validation", target_space="tiny",
        queries=[f"{words[row[0] % 6]} {'a ' * place}" for place, row in enumerate(positives)],
        targets=[f"{words[place % 6]} {'b ' * (place // 6)}".strip() for place in range(targets)], positives=positives,
    )  # fmt: skip


def graphs_folder(folder: Path, titles: list[tuple[str, int]]) -> Path:
    (folder / "validation").mkdir(parents=True)
    labels = ["weld metal", "bake bread", "care for people"]
    pl.DataFrame({"skill_id": range(3), "label": labels}).write_parquet(folder / "skills.parquet")
    frame = pl.DataFrame(titles, schema={"title": pl.String, "skill_id": pl.Int32}, orient="row")
    frame.write_parquet(folder / "validation/titles.parquet")
    return folder


@given(
    rows=st.lists(st.lists(st.integers(0, 29), min_size=1, max_size=4, unique=True).map(sorted), min_size=1),
    queries=st.none() | st.integers(1, 10),
    targets=st.none() | st.integers(1, 40),
)
def test_thinning_keeps_what_the_chosen_queries_need(
    rows: list[list[int]], queries: int | None, targets: int | None
) -> None:
    whole = dataset("x", "x", rows, targets=30)
    config = ValidationConfig(most_queries=queries, most_targets=targets)
    less = thinned(whole, config)
    assert less == thinned(whole, config)
    assert len(less.queries) == min(len(rows), queries or len(rows))
    needed = {whole.targets[target] for query in less.queries for target in rows[whole.queries.index(query)]}
    assert needed <= set(less.targets)
    assert len(less.targets) == min(30, max(targets or 30, len(needed)))
    for query, row in zip(less.queries, less.positives, strict=True):
        wanted = [whole.targets[target] for target in rows[whole.queries.index(query)]]
        assert [less.targets[target] for target in row] == wanted


def test_titles_kept_from_the_graphs_validate_both_directions(tmp_path: Path) -> None:
    folder = graphs_folder(tmp_path, [("nurse", 2), ("welder", 0), ("welder", 2)])
    forward, backward = title_datasets(folder)
    assert (forward.task, forward.queries, forward.positives) == ("job2skill", ["nurse", "welder"], [[2], [0, 2]])
    assert forward.targets == ["weld metal", "bake bread", "care for people"]
    assert (backward.task, backward.queries) == ("skill2job", ["care for people", "weld metal"])
    assert backward.positives == [[0, 1], [1]]


def test_a_folder_of_graphs_without_titles_has_no_such_sets(tmp_path: Path) -> None:
    assert title_datasets(tmp_path) == []
    assert title_datasets(graphs_folder(tmp_path / "empty", [])) == []


def test_the_sample_validates_on_its_own_tasks(tmp_path: Path) -> None:
    found = validation_datasets(tmp_path, "sample", ValidationConfig(most_queries=5))
    assert {entry.task for entry in found} == {
        "job2skill", "skill2job", "skillnorm", "skillextract", "skillsim", "jobnorm",
    }  # fmt: skip
    assert all(len(entry.queries) == 5 for entry in found)


def test_a_folder_without_validation_data_needs_titles(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    found = validation_datasets(graphs_folder(tmp_path / "graphs", [("nurse", 2)]), str(data), ValidationConfig())
    assert [entry.name for entry in found] == ["job2skill", "skill2job"]
    with pytest.raises(DataError, match="no titles for validation"):
        validation_datasets(tmp_path, str(data), ValidationConfig())


def test_data_sets_of_one_task_are_averaged_first(tmp_path: Path) -> None:
    model = UweModel.from_pretrained(save_tiny_model("bert", tmp_path), device="cpu")
    tech, house = dataset("tech", "skillextract", [[0], [1]]), dataset("house", "skillextract", [[2]])
    norm = dataset("norm", "norm", [[4], [5], [3]])
    result = validate(model, [tech, house, norm])
    figures = result.metrics
    extract = (figures["tech/map"] + figures["house/map"]) / 2
    assert result.average == pytest.approx((extract + figures["norm/map"]) / 2)
    assert figures["average/map"] == result.average
    assert 0 < result.average <= 100
    assert figures.keys() == {f"{name}/{m}" for name in ("tech", "house", "norm", "average") for m in ("map", "rp@10")}


@pytest.mark.data
def test_the_evaluation_data_gives_the_halves_that_select(data_dir: Path, tmp_path: Path) -> None:
    found = validation_datasets(tmp_path, str(data_dir), ValidationConfig(most_queries=50))
    assert sorted((entry.name, entry.split, entry.half) for entry in found) == [
        ("jobnorm", "validation", "selecting"),
        ("skillextract_house", "validation", "selecting"),
        ("skillextract_tech", "validation", "selecting"),
        ("skillnorm", "validation", "all"),
    ]
