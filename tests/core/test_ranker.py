"""The ranker: order, exclusions, limits, metadata and notices, with a tiny model over small spaces."""

from __future__ import annotations

import pytest
import torch

from tests.fakes import TINY_LIMIT, save_tiny_model
from uwe_core.calibration import Calibration
from uwe_core.errors import ConfigurationError, EmptyTextError, FingerprintError, UnknownTaskError
from uwe_core.interaction import InteractionConfig
from uwe_core.model import CheckpointInfo, UweModel
from uwe_core.narrowing import WHOLE, Narrowing
from uwe_core.ranker import GIVEN_TASK, STAGES, Candidates, RankableSpace, RankedTarget, Ranker
from uwe_core.scoring.candidates import CandidateConfig, CandidateIndex
from uwe_core.target_space import SpaceInfo, TargetSpace
from uwe_core.tasks import RankingTask, standard_tasks
from uwe_core.token_index import TokenIndex

SPACE = TargetSpace.from_columns(
    SpaceInfo(name="jobs", kind="job"),
    {
        "id": ["1", "2", "3", "4"],
        "text": ["nurse", "weld metal", "NURSE ", "bake bread"],
        "level": [1, None, 2, 3],
        "tags": [[], ["hot"], [], ["early"]],
    },
)
TASKS = {
    "find": RankingTask(name="find", description="", queries="", target_space="jobs", default_top_k=2),
    "alike": RankingTask(name="alike", description="", queries="", target_space="jobs", exclude_query=True),
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> UweModel:
    folder = save_tiny_model("bert", tmp_path_factory.mktemp("model") / "bert")
    return UweModel.from_pretrained(folder, device="cpu").with_interaction(InteractionConfig(interaction_temperature=1))


@pytest.fixture(scope="module")
def ranker(model: UweModel) -> Ranker:
    return Ranker(model, {"jobs": RankableSpace(model, SPACE, TokenIndex.build(model.encoder, SPACE))}, TASKS)


def test_answers_come_in_the_order_of_the_queries_and_twice_for_the_same(ranker: Ranker) -> None:
    queries = ["bake bread", "nurse", "bake bread"]
    rankings = ranker.rank("find", queries, 4).rankings
    assert rankings[0] == rankings[2]
    for query, ranking in zip(queries, rankings, strict=True):
        (alone,) = ranker.rank("find", [query], 4).rankings
        assert [target.id for target in ranking] == [target.id for target in alone]
        assert [target.score for target in ranking] == pytest.approx([target.score for target in alone], abs=1e-5)


def test_a_text_finds_itself_first_and_equal_texts_tie_in_order(ranker: Ranker) -> None:
    (ranking,) = ranker.rank("find", ["nurse"], 4).rankings
    assert [target.id for target in ranking[:2]] == ["1", "3"]  # the encoder is uncased: both are "nurse"
    assert ranking[0].score == ranking[1].score
    assert [target.rank for target in ranking] == [1, 2, 3, 4]
    assert all(-1 <= target.normalised_score <= 1 for target in ranking)
    assert ranking[0].score == pytest.approx(3 * ranking[0].normalised_score)  # [CLS] nurse [SEP]


@pytest.mark.parametrize("query", ["nurse", " Nurse", "NURSE"])
def test_the_query_itself_is_left_out_whatever_its_case_and_nothing_else(ranker: Ranker, query: str) -> None:
    (ranking,) = ranker.rank("alike", [query], 10).rankings
    assert {target.id for target in ranking} == {"2", "4"}
    (other,) = ranker.rank("alike", ["nurse, nurse"], 10).rankings
    assert len(other) == 4


def test_a_space_of_nothing_but_the_query_has_an_empty_ranking(model: UweModel) -> None:
    alone = TargetSpace(SPACE.info, ["1", "2"], ["nurse", "Nurse"])
    ranker = Ranker(model, {"jobs": RankableSpace(model, alone, TokenIndex.build(model.encoder, alone))}, TASKS)
    assert ranker.rank("alike", ["nurse"]).rankings == [[]]


def test_top_k_has_a_default_and_is_bounded_by_the_space(ranker: Ranker) -> None:
    assert [len(ranking) for ranking in ranker.rank("find", ["nurse"]).rankings] == [2]
    assert [len(ranking) for ranking in ranker.rank("find", ["nurse"], 99).rankings] == [4]


def test_pages_are_the_ranking_in_pieces_and_what_is_excluded_is_as_if_absent(ranker: Ranker) -> None:
    task = ranker.task("find")
    tokens = ranker.encode(ranker.tokenise(["nurse"]))
    (scores,) = ranker.score(ranker.spaces["jobs"], tokens)
    assert isinstance(scores, torch.Tensor)

    def select(top_k: int, narrowing: Narrowing) -> list[RankedTarget]:
        return ranker.select(ranker.spaces["jobs"], task, "nurse", scores, 3, top_k, narrowing)

    before = scores.clone()
    whole = select(9, WHOLE)
    assert [target.id for target in whole[:2]] == ["1", "3"]  # equal scores
    for size in (1, 2, 3):
        pages = [select(size, Narrowing(offset=offset)) for offset in range(0, 9, size)]
        assert [target for page in pages for target in page] == whole
    left = select(9, Narrowing(exclude=frozenset({"1", "absent"})))
    assert [(target.id, target.score) for target in left] == [(target.id, target.score) for target in whole[1:]]
    assert [target.rank for target in left] == [1, 2, 3]
    assert select(9, Narrowing(exclude=frozenset("1234"))) == []
    for target in whole:
        assert select(9, Narrowing(min_score=target.score)) == [each for each in whole if each.score >= target.score]
    assert select(9, Narrowing(min_confidence=0.0)) == []  # without a calibration there is none
    assert scores.equal(before)


def test_metadata_come_without_empty_values(ranker: Ranker) -> None:
    (ranking,) = ranker.rank("find", ["nurse"], 4).rankings
    by_id = {target.id: target.metadata for target in ranking}
    assert by_id == {"1": {"level": 1}, "2": {"tags": ["hot"]}, "3": {"level": 2}, "4": {"level": 3, "tags": ["early"]}}


def test_truncation_is_reported_and_stages_are_timed(ranker: Ranker) -> None:
    rankings = ranker.rank("find", ["nurse", "a " * TINY_LIMIT])
    assert [(cut.position, cut.kept_tokens) for cut in rankings.truncations] == [(1, TINY_LIMIT)]
    assert tuple(rankings.seconds) == STAGES
    assert all(seconds >= 0 for seconds in rankings.seconds.values())


def test_stages_one_by_one_rank_as_all_at_once_and_tasks_may_share_scores(ranker: Ranker) -> None:
    queries = ["nurse", "bake bread"]
    tokens = ranker.encode(ranker.tokenise(queries))
    scores = ranker.score(ranker.spaces["jobs"], tokens)
    assert isinstance(scores, torch.Tensor)
    before = scores.clone()
    for name in ("alike", "find"):  # the first leaves the query out, and must not leave it out of the shared scores
        task = ranker.task(name)
        rankings = [
            ranker.select(ranker.spaces["jobs"], task, query, row, int(count), 4)
            for query, row, count in zip(queries, scores, tokens.token_counts, strict=True)
        ]
        assert rankings == ranker.rank(name, queries, 4).rankings
        assert scores.equal(before)


def test_over_targets_of_the_moment_it_ranks_as_over_a_space_of_them(ranker: Ranker) -> None:
    texts = ["bake bread", "NURSE", "weld metal", "nurse"]
    space = TargetSpace.from_columns(
        SpaceInfo(name="moment"), {"id": list("abcd"), "text": texts, "level": [3, 2, 0, 1]}
    )
    given = ranker.given(space, list(ranker.encode(ranker.tokenise(texts))))
    of_space = RankableSpace(ranker.model, space, TokenIndex.build(ranker.model.encoder, space))
    queries = ["nurse", "bake"]
    tokens = ranker.encode(ranker.tokenise(queries))

    def rankings(rankable: RankableSpace) -> list[list[RankedTarget]]:
        rows = zip(queries, ranker.score(rankable, tokens), tokens.token_counts, strict=True)
        return [ranker.select(rankable, GIVEN_TASK, query, row, int(count), 10) for query, row, count in rows]

    for found, expected in zip(rankings(given), rankings(of_space), strict=True):
        assert [(target.id, target.metadata, target.rank) for target in found] == [
            (target.id, target.metadata, target.rank) for target in expected
        ]
        assert [target.score for target in found] == pytest.approx([target.score for target in expected], abs=1e-5)
    assert list(ranker.spaces) == ["jobs"]


def test_a_standard_task_has_confidences_where_the_model_is_calibrated_and_no_other_task_has(model: UweModel) -> None:
    curve = Calibration(slope=4, intercept=-1, per_query_token=True, targets=9, queries=9)
    info = CheckpointInfo(
        interaction=model.interaction, calibration={"jobnorm": curve, "find": curve, "skillsim": curve}
    )
    calibrated = UweModel(model.encoder, info)
    space = TargetSpace(SPACE.info.model_copy(update={"name": "x-jobs"}), SPACE.ids, SPACE.texts)
    skills = TargetSpace(SPACE.info.model_copy(update={"name": "x-skills"}), SPACE.ids, SPACE.texts)
    spaces = {
        each.info.name: RankableSpace(calibrated, each, TokenIndex.build(model.encoder, each))
        for each in (space, skills)
    }
    own = TASKS["find"].model_copy(update={"target_space": "x-jobs"})
    named_alike = own.model_copy(update={"name": "skillsim"})
    ranker = Ranker(calibrated, spaces, standard_tasks("x") | {"find": own, "skillsim": named_alike})
    assert ranker.calibrated_tasks == {"jobnorm"}
    (ranking,) = ranker.rank("jobnorm", ["nurse"], 4).rankings
    for target in ranking:
        assert target.confidence == pytest.approx(curve.confidence(target.score, 3))
    for task in ("find", "skillsim", "skill2job"):
        assert {target.confidence for target in ranker.rank(task, ["nurse"], 4).rankings[0]} == {None}


def test_candidates_rank_as_all_targets_do_where_the_space_is_small(model: UweModel, ranker: Ranker) -> None:
    pytest.importorskip("faiss", reason="the extra [ann] is not installed")
    index = TokenIndex.build(model.encoder, SPACE)
    candidates = Candidates(CandidateIndex.build(index), CandidateConfig(count=2))
    by_candidates = Ranker(model, {"jobs": RankableSpace(model, SPACE, index, candidates)}, TASKS)
    for task, top_k in (("find", 2), ("find", 4), ("alike", 2), ("alike", 9)):  # more than two are proposed where asked
        expected = ranker.rank(task, ["nurse"], top_k).rankings[0]
        (found,) = by_candidates.rank(task, ["nurse"], top_k).rankings
        assert {target.id for target in found} == {target.id for target in expected}
        assert [target.score for target in found] == pytest.approx([target.score for target in expected], abs=1e-5)
    (all_scored,), (proposed,) = ranker.space_summaries().values(), by_candidates.space_summaries().values()
    assert (all_scored.candidates, proposed.candidates) == (None, CandidateConfig(count=2))
    assert len({all_scored.index_fingerprint, index.fingerprint, proposed.index_fingerprint}) == 3


def test_whatever_decides_an_answer_beside_the_model_is_in_the_fingerprint(model: UweModel) -> None:
    index = TokenIndex.build(model.encoder, SPACE)
    plain = TargetSpace(SPACE.info, SPACE.ids, SPACE.texts)
    assert RankableSpace(model, plain, index).fingerprint == index.fingerprint
    changed = SPACE.metadata.set_column(0, "level", [[1, 2, 2, 4]])
    spaces = [SPACE, plain, TargetSpace(SPACE.info, SPACE.ids, SPACE.texts, changed)]
    assert len({RankableSpace(model, space, index).fingerprint for space in spaces}) == 3


def test_candidates_of_another_token_index_stop_the_start(model: UweModel) -> None:
    pytest.importorskip("faiss", reason="the extra [ann] is not installed")
    other = CandidateIndex.build(TokenIndex.build(model.encoder, SPACE, "bfloat16"))
    with pytest.raises(FingerprintError, match="candidate index of 'jobs'"):
        RankableSpace(model, SPACE, TokenIndex.build(model.encoder, SPACE), Candidates(other, CandidateConfig(count=2)))


def test_what_cannot_be_ranked_is_refused(ranker: Ranker) -> None:
    with pytest.raises(UnknownTaskError, match="alike, find"):
        ranker.rank("nonsense", ["nurse"])
    with pytest.raises(EmptyTextError, match="text 1"):
        ranker.rank("find", ["nurse", " "])


def test_a_task_without_its_space_stops_the_start(model: UweModel) -> None:
    with pytest.raises(ConfigurationError, match="sample-skills"):
        Ranker(model, {}, standard_tasks("sample"))


def test_an_index_of_other_texts_stops_the_start(model: UweModel) -> None:
    other = TargetSpace(SPACE.info, ["1"], ["baker"])
    with pytest.raises(FingerprintError):
        RankableSpace(model, SPACE, TokenIndex.build(model.encoder, other))


def test_there_are_six_tasks_and_both_directions_of_a_pair() -> None:
    tasks = standard_tasks("esco")
    assert set(tasks) == {"job2skill", "skill2job", "skillnorm", "skillextract", "skillsim", "jobnorm"}
    assert (tasks["job2skill"].target_space, tasks["skill2job"].target_space) == ("esco-skills", "esco-jobs")
    assert [task.name for task in tasks.values() if task.exclude_query] == ["skillsim"]
