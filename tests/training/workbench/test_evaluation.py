"""Judging: chunks, exclusion, resuming, reports, and the oracle of theory for random scores."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from training.evaluate import data_candidates, judge_all, read_datasets, write_report
from training.workbench import evaluation
from training.workbench.baselines.chance import RandomRanking
from training.workbench.baselines.interface import RankingModel
from training.workbench.baselines.lexical import Bm25Ranking, EditDistanceRanking, TfIdfRanking
from training.workbench.dataset import AbsentDataset, DatasetEntry, RankingDataset
from training.workbench.evaluation import judge
from training.workbench.report import Report
from training.workbench.results import ResultStore
from training.workbench.worst import worst_queries
from uwe_core.errors import DataError, InputError
from uwe_core.types import Scores


class LengthRanking:
    """Ranks targets by how near their length is to the query's; counts its calls."""

    name = "length"
    fingerprint = "length-1"
    seen_spaces: frozenset[str] | None = None

    def __init__(self) -> None:
        self.calls = 0

    def scores(self, queries: Sequence[str], targets: Sequence[str], task: str) -> Scores:
        self.calls += 1
        lengths = torch.tensor([len(target) for target in targets])
        return torch.stack([-(lengths - len(query)).abs().float() for query in queries])


def dataset(queries: int = 10, *, exclude_query: bool = False) -> RankingDataset:
    targets = ["x" * (place + 1) for place in range(12)]
    return RankingDataset(
        "skillsim", "skillsim", "test", "space", targets[:queries], targets, [[place + 1] for place in range(queries)],
        exclude_query,
    )  # fmt: skip


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = judge(LengthRanking(), dataset())
    monkeypatch.setattr(evaluation, "QUERIES_PER_CHUNK", 3)
    steps: list[tuple[int, int]] = []
    chunked = judge(LengthRanking(), dataset(), lambda done, total: steps.append((done, total)))
    assert np.array_equal(whole.values("map"), chunked.values("map"))
    assert steps == [(3, 10), (6, 10), (9, 10), (10, 10)]


def test_the_query_itself_is_left_out_where_the_data_set_says_so() -> None:
    plain, excluding = judge(LengthRanking(), dataset()), judge(LengthRanking(), dataset(exclude_query=True))
    # the neighbours of equal distance tie and the shorter one wins; without the query itself everything moves up one
    assert plain.ranks.rank.tolist() == [2, *[3] * 9]
    assert excluding.ranks.rank.tolist() == [1, *[2] * 9]


def test_random_ranking_scores_what_theory_says() -> None:
    """Expected AP of one positive among n is the harmonic number over n; expected RP@10 is 10 over n."""
    targets = [str(place) for place in range(100)]
    queries = [f"query {place}" for place in range(4000)]
    positives = [[place % 100] for place in range(4000)]
    judged = judge(RandomRanking(), RankingDataset("t", "t", "test", "s", queries, targets, positives))
    assert judged.mean("map") == pytest.approx(sum(1 / rank for rank in range(1, 101)) / 100, abs=0.006)
    assert judged.mean("rp@10") == pytest.approx(0.1, abs=0.015)
    low, high = judged.interval("map")
    assert low < judged.mean("map") < high


def test_random_scores_do_not_depend_on_chunks() -> None:
    together = RandomRanking().scores(["a", "b"], ["x", "y", "z"], "t")
    assert torch.equal(together[1:], RandomRanking().scores(["b"], ["x", "y", "z"], "t"))


@pytest.mark.parametrize("ranking", [Bm25Ranking, TfIdfRanking, EditDistanceRanking])
def test_lexical_baselines_put_the_same_words_first(
    ranking: type[Bm25Ranking] | type[TfIdfRanking] | type[EditDistanceRanking],
) -> None:
    targets = ["measure vital signs", "bake bread", "repair car brakes"]
    scores = ranking().scores(["Bake bread", "repair car brakes", "brakes"], targets, "t")
    assert scores.shape == (3, 3)
    assert scores.argmax(dim=1)[:2].tolist() == [1, 2]
    assert torch.isfinite(ranking().scores(["zzz"], targets, "t")).all()


def test_lexical_baselines_notice_other_targets() -> None:
    ranking = Bm25Ranking()
    ranking.scores(["bread"], ["bake bread", "sing"], "t")
    assert ranking.scores(["bread"], ["sing", "dance", "bake bread"], "t").argmax().item() == 2


def test_finished_pairs_are_reused_and_changed_ones_are_not(tmp_path: Path) -> None:
    store, model = ResultStore(tmp_path), LengthRanking()
    first = judge_all([model], [dataset()], store)
    calls = model.calls
    again = judge_all([model], [dataset()], store)
    assert model.calls == calls
    assert np.array_equal(
        first["length", "skillsim/test"].values("ndcg@10"), again["length", "skillsim/test"].values("ndcg@10")
    )
    judge_all([model], [dataset(9)], store)
    assert model.calls == calls + 1
    model.fingerprint = "length-2"
    judge_all([model], [dataset()], store)
    assert model.calls == calls + 2


def test_the_preferred_split_is_read_and_the_other_where_it_is_absent() -> None:
    there = dataset()
    gap = AbsentDataset("skillsim", "skillsim", "test", "not here")
    test = DatasetEntry("skillsim", "skillsim", "test", lambda: gap)
    validation = DatasetEntry("skillsim", "skillsim", "validation", lambda: there)
    present, absent = read_datasets([[test], [validation]], None)
    assert (present, absent) == ([there], [gap])
    with pytest.raises(DataError, match="not here"):
        read_datasets([[test]], None)
    with pytest.raises(InputError, match="there are: skillsim"):
        read_datasets([[test]], ["nonsense"])


def report_of(datasets: list[RankingDataset], absent: list[AbsentDataset]) -> Report:
    models: list[RankingModel] = [LengthRanking(), RandomRanking()]
    return Report(models, datasets, judge_all(models, datasets, None), absent, paper=True)


def test_a_report_with_gaps_calls_its_average_partial_and_names_them() -> None:
    report = report_of([dataset()], [AbsentDataset("jobnorm", "jobnorm", "test", "no file")])
    assert report.average_title == "partial average, 1 of 6 tasks"
    assert "Absent: jobnorm/test: no file." in report.markdown()
    assert "| paper: UWE | 10.4 / 33.8 | 10.4 / 33.8 |" in report.markdown()


def test_a_whole_sample_has_an_average_of_six(tmp_path: Path) -> None:
    datasets, absent = read_datasets(data_candidates("sample", "either"), None)
    models: list[RankingModel] = [RandomRanking(), Bm25Ranking()]
    report = Report(models, datasets, judge_all(models, datasets, None), absent, paper=False)
    assert report.average_title == "average"
    average = report.average("bm25", "map")
    assert average == pytest.approx(np.mean([report.judgements["bm25", data.title].mean("map") for data in datasets]))
    write_report(report, tmp_path)
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["average"]["bm25"]["map"] == pytest.approx(average)
    gain = next(row for row in results["results"] if row["model"] == "bm25" and row["dataset"] == "jobnorm")
    assert gain["metrics"]["map"]["gain"]["low"] > 0
    assert {path.name for path in tmp_path.iterdir()} == {
        "results.json", "report.md", "map.png", "recall.png", "precision_spread.png",
    }  # fmt: skip
    assert (tmp_path / "map.png").read_bytes().startswith(b"\x89PNG")


def test_skillextract_is_averaged_before_the_tasks() -> None:
    tech = RankingDataset("skillextract", "skillextract_tech", "test", "s", ["x"], ["x", "xx"], [[0]])
    house = RankingDataset("skillextract", "skillextract_house", "test", "s", ["xx"], ["x", "xx"], [[0]])
    other = RankingDataset("jobnorm", "jobnorm", "test", "s", ["x"], ["x", "xx"], [[0]])
    assert report_of([tech, house, other], []).average("length", "map") == pytest.approx(((1 + 0.5) / 2 + 1) / 2)


def test_unseen_target_spaces_are_named_where_training_is_known() -> None:
    lines = list(report_of([dataset()], []).unseen())
    assert lines == ["Target space unseen in training of random: skillsim/test."]


def test_the_worst_queries_are_shown_with_what_was_ranked_instead() -> None:
    model = LengthRanking()
    lines = list(worst_queries(model, judge(model, dataset()), 1))
    assert "right:" in lines[1]
    assert "ranked:" in lines[2]
