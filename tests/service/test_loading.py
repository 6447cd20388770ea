"""From settings to a ranker: spaces whose targets are proposed by candidates, with a tiny model over small spaces."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from service.loading import load_ranker
from service.schemas.spaces import Space
from service.settings import Settings
from service.space_status import SpaceStatus
from tests.fakes import save_tiny_model
from uwe_core.catalogue import SpaceSource
from uwe_core.errors import ConfigurationError, DataError
from uwe_core.scoring.candidates import CandidateConfig
from uwe_core.tasks import standard_tasks


@pytest.fixture(autouse=True)
def same_threads_afterwards() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def settings_of(folder: Path, **news: object) -> Settings:
    """Six tasks over two small spaces, whose texts and examples a tiny model can read."""
    words = ("weld metal", "bake bread", "care for people", "take blood pressure")
    texts = [f"{first} {word} {last}" for first in "abc" for word in words for last in ("nurse", "welder", "baker")]
    rows = "".join(f"{number},{text}\n" for number, text in enumerate(texts))
    (folder / "texts.csv").write_text(f"id,text\n{rows}")
    tasks = {name: task.model_copy(update={"example": "nurse"}) for name, task in standard_tasks("tiny").items()}
    spaces = {f"tiny-{kind}": {"path": folder / "texts.csv"} for kind in ("skills", "jobs")}
    own = {"taxonomy": "tiny", "spaces": spaces, "tasks": tasks, "candidates": {"tiny-skills": 10}}
    return Settings.load(home=folder, backend="torch", precision="float32", **{**own, **news})


def test_a_space_with_candidates_is_ranked_by_them_and_the_others_are_not(tmp_path: Path) -> None:
    pytest.importorskip("faiss", reason="the extra [ann] is not installed")
    model = str(save_tiny_model("bert", tmp_path / "model"))
    with pytest.raises(ConfigurationError, match="no token index"):
        load_ranker(settings_of(tmp_path, model=model, precompute=False), lambda _: None)
    told: list[str] = []
    exact = load_ranker(settings_of(tmp_path, model=model, candidates={}), told.append)
    assert not any("candidate index" in line for line in told)
    with pytest.raises(ConfigurationError, match="uwe precompute tiny-skills --candidates hnsw"):
        load_ranker(settings_of(tmp_path, model=model, precompute=False), lambda _: None)
    ranker = load_ranker(settings_of(tmp_path, model=model), told.append)
    assert "opening the candidate index of 'tiny-skills'" in told
    spaces = {
        name: Space.of(summary, SpaceStatus(editable=False, warnings=()))
        for name, summary in ranker.space_summaries().items()
    }
    assert spaces["tiny-skills"].candidates == CandidateConfig(count=10)
    assert spaces["tiny-jobs"].candidates is None
    assert len(ranker.rank("job2skill", ["nurse"], 20).rankings[0]) == 20
    (best,), (found,) = (each.rank("job2skill", ["nurse"], 36).rankings for each in (exact, ranker))
    assert [target.id for target in found] == [target.id for target in best]


def test_a_space_is_matched_by_the_aliases_that_settings_name(tmp_path: Path) -> None:
    model = str(save_tiny_model("bert", tmp_path / "model"))
    (tmp_path / "jobs.csv").write_text("id,text,aliases\n1,nurse,care for people|take blood\n2,baker,\n")
    own = {"path": tmp_path / "jobs.csv", "alias_column": "aliases"}
    settings = settings_of(tmp_path, model=model, candidates={})
    settings = settings.model_copy(update={"spaces": {**settings.spaces, "tiny-jobs": SpaceSource(**own)}})
    ranker = load_ranker(settings, lambda _: None)
    space = Space.of(ranker.space_summaries()["tiny-jobs"], SpaceStatus(editable=False, warnings=()))
    assert (space.targets, space.aliases, space.alias_column) == (2, 2, "aliases")
    (best,) = ranker.rank("skill2job", ["take blood"], 1).rankings[0]
    assert (best.text, best.matched_alias) == ("nurse", "take blood")
    assert best.metadata == {"aliases": ["care for people", "take blood"]}
    named = settings_of(tmp_path, model=model, candidates={}, aliases={"tiny-jobs": "aliases"})
    with pytest.raises(DataError, match="no column 'aliases'"):
        load_ranker(named, lambda _: None)
    with pytest.raises(ConfigurationError, match="aliases are set for 'nonsense', a space that no task ranks"):
        load_ranker(settings_of(tmp_path, model=model, aliases={"nonsense": "aliases"}, candidates={}), lambda _: None)


def test_candidates_of_a_space_that_no_task_ranks_stop_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="'nonsense', a space that no task ranks"):
        load_ranker(settings_of(tmp_path, candidates={"nonsense": 10}), lambda _: None)


def test_candidates_without_faiss_stop_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(ConfigurationError, match=r"\[ann\]"):
        load_ranker(settings_of(tmp_path), lambda _: None)
