"""Aliases: a target's score is the best of its texts, whatever else is asked for, against ranking each text alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fakes import save_tiny_model
from uwe_core.calibration import Calibration
from uwe_core.catalogue import SpaceCatalogue, SpaceSource
from uwe_core.errors import DataError
from uwe_core.interaction import InteractionConfig
from uwe_core.metadata_filter import Condition, MetadataFilter
from uwe_core.model import CheckpointInfo, UweModel
from uwe_core.narrowing import Narrowing
from uwe_core.ranker import Candidates, RankableSpace, RankedTarget, Ranker
from uwe_core.scoring.candidates import CandidateConfig, CandidateIndex
from uwe_core.target_space import SPACE_FILE, SpaceInfo, TargetSpace
from uwe_core.tasks import RankingTask, standard_tasks
from uwe_core.text import same_text_key
from uwe_core.token_index import TokenIndex

_WORDS = "nurse welder baker weld metal bake bread care for people take blood pressure".split()  # noqa: SIM905
_TEXT = st.lists(st.sampled_from(_WORDS), min_size=1, max_size=3).map(" ".join)
_TARGETS = st.lists(st.tuples(_TEXT, st.lists(_TEXT, max_size=3), st.sampled_from("ab")), min_size=1, max_size=7)


def space_of(targets: Sequence[tuple[str, list[str], str]], alias_column: str | None = "aliases") -> TargetSpace:
    aliases = pa.array([aliases for _, aliases, _ in targets], pa.list_(pa.string()))
    table = pa.table({"aliases": aliases, "kind": [kind for _, _, kind in targets]})
    ids, texts = [str(number) for number in range(len(targets))], [text for text, _, _ in targets]
    return TargetSpace(SpaceInfo(name="jobs", alias_column=alias_column), ids, texts, table)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> UweModel:
    folder = save_tiny_model("bert", tmp_path_factory.mktemp("model") / "bert")
    return UweModel.from_pretrained(folder, device="cpu").with_interaction(InteractionConfig(interaction_temperature=1))


def ranker_of(model: UweModel, space: TargetSpace, candidates: int | None = None) -> Ranker:
    tasks = {
        "find": RankingTask(name="find", description="", queries="", target_space="jobs"),
        "alike": RankingTask(name="alike", description="", queries="", target_space="jobs", exclude_query=True),
    }
    index = TokenIndex.build(model.encoder, space)
    proposing = None
    if candidates is not None:
        proposing = Candidates(CandidateIndex.build(index), CandidateConfig(count=candidates))
    return Ranker(model, {"jobs": RankableSpace(model, space, index, proposing)}, tasks)


def each_alone(model: UweModel, space: TargetSpace, query: str) -> list[list[tuple[float, str | None]]]:
    """Of each target, the score of its own text and that of each alias, by an index of texts without aliases."""
    texts = [[text, *aliases] for text, aliases in zip(space.texts, space.aliases, strict=True)]
    places = [f"{number} {place}" for number, own in enumerate(texts) for place in range(len(own))]
    alone = TargetSpace(SpaceInfo(name="jobs"), places, [text for own in texts for text in own])
    scores = {target.id: target.score for target in ranker_of(model, alone).rank("find", [query], 99).rankings[0]}
    return [
        [(scores[f"{number} {place}"], text if place else None) for place, text in enumerate(own)]
        for number, own in enumerate(texts)
    ]


def select(ranker: Ranker, task: str, query: str, top_k: int, narrowing: Narrowing) -> list[RankedTarget]:
    tokenised, space = ranker.tokenise([query]), ranker.spaces["jobs"]
    (scores,) = ranker.score(space, ranker.encode(tokenised))
    return ranker.select(space, ranker.task(task), query, scores, len(tokenised.token_ids[0]), top_k, narrowing)


@settings(max_examples=30)
@given(
    _TARGETS,
    _TEXT,
    st.sampled_from(["find", "alike"]),
    st.integers(0, 3),
    st.integers(1, 8),
    st.frozensets(st.sampled_from("0123")),
    st.none() | st.sampled_from("ab"),
    st.none() | st.integers(1, 4),
)
def test_a_target_is_ranked_once_by_the_best_of_its_texts(
    model: UweModel,
    targets: list[tuple[str, list[str], str]],
    query: str,
    task: str,
    offset: int,
    top_k: int,
    exclude: frozenset[str],
    kind: str | None,
    candidates: int | None,
) -> None:
    space = space_of(targets)
    wanted = None if kind is None else MetadataFilter(frozenset({Condition("kind", frozenset(kind))}))
    narrowing = Narrowing(offset=offset, exclude=exclude, filter=wanted)
    if candidates is not None:
        pytest.importorskip("faiss")
        top_k, narrowing = len(targets), Narrowing(exclude=exclude, filter=wanted)  # all of them: none is missed
    found = select(ranker_of(model, space, candidates), task, query, top_k, narrowing)
    scored = each_alone(model, space, query)
    left = [
        number
        for number, (_, _, own) in enumerate(targets)
        if str(number) not in exclude
        and kind in (None, own)
        and not (task == "alike" and is_query(space, number, query))
    ]
    order = sorted(left, key=lambda number: (-round(max(scored[number])[0], 4), number))
    best = [max(score for score, _ in scored[number]) for number in order]
    page = slice(narrowing.offset, narrowing.offset + top_k)
    assert [target.score for target in found] == pytest.approx(best[page], abs=1e-4)
    assert len({target.id for target in found}) == len(found)
    for target in found:
        number = int(target.id)
        assert number in left
        scores = {text: score for score, text in scored[number]}
        assert scores[target.matched_alias] == pytest.approx(max(scores.values()), abs=1e-4)
        assert target.text == targets[number][0]


def is_query(space: TargetSpace, number: int, query: str) -> bool:
    """Whether a target is the query itself: by its own text or, where no target has that text, by an alias."""
    key = same_text_key(query)
    labels = [same_text_key(text) for text in space.texts]
    return labels[number] == key or (key not in labels and key in map(same_text_key, space.aliases[number]))


def test_the_explanation_is_of_the_text_that_matched(model: UweModel) -> None:
    ranker = ranker_of(model, space_of([("nurse", ["take blood", "bake bread"], "a"), ("take metal", [], "b")]))
    query = "bake bread"
    tokenised = ranker.tokenise([query])
    tokens = ranker.encode(tokenised)
    (best, other) = select(ranker, "find", query, 2, Narrowing())
    assert (best.text, best.matched_alias, other.matched_alias) == ("nurse", "bake bread", None)
    explanation = ranker.explain(ranker.spaces["jobs"], query, next(iter(tokens)), [best, other])
    for target, why in zip((best, other), explanation.targets, strict=True):
        assert sum(pair.contribution for pair in why.pairs) + sum(why.rest) == pytest.approx(target.score, abs=1e-4)
    assert [token.token for token in explanation.targets[0].tokens] == ["[CLS]", "bake", "bread", "[SEP]"]


def test_an_own_text_as_good_as_an_alias_is_what_matched(model: UweModel) -> None:
    space = space_of([("bread", ["Nurse", "NURSE", " nurse ", "BREAD", ""], "a"), ("nurse", ["bake"], "b")])
    assert space.aliases == [["Nurse"], ["bake"]]
    first, second = select(ranker_of(model, space), "find", "nurse", 2, Narrowing())
    assert (first.id, first.matched_alias) == ("0", "Nurse")  # equal scores: in the order of the space
    assert (second.id, second.matched_alias) == ("1", None)
    assert [target.id for target in select(ranker_of(model, space), "alike", "nurse", 2, Narrowing())] == ["0"]


def test_without_aliases_fingerprints_and_files_are_as_before_and_with_them_they_cover_them(tmp_path: Path) -> None:
    targets = [("nurse", ["carer"], "a"), ("baker", [], "b")]
    plain, matched = space_of(targets, None), space_of(targets)
    assert plain.fingerprint == TargetSpace(SpaceInfo(name="x"), ["0", "1"], ["nurse", "baker"]).fingerprint
    assert plain.matched_texts == ["nurse", "baker"]
    changed = space_of([("nurse", [], "a"), ("baker", ["carer"], "b")])
    assert len({plain.fingerprint, matched.fingerprint, changed.fingerprint}) == 3
    plain.save(tmp_path / "plain")
    assert "alias_column" not in (tmp_path / "plain" / SPACE_FILE).read_text()
    matched.save(tmp_path / "matched")
    opened = TargetSpace.open(tmp_path / "matched")
    assert (opened.info, opened.aliases, opened.fingerprint) == (matched.info, [["carer"], []], matched.fingerprint)
    assert opened.matching(None).fingerprint == plain.fingerprint


def test_aliases_of_a_csv_file_are_parts_of_a_cell(tmp_path: Path) -> None:
    path = tmp_path / "jobs.csv"
    path.write_text("id,text,also\n1,nurse,carer | RN|nurse\n2,baker,\n")
    space = SpaceCatalogue(tmp_path, {"jobs": SpaceSource(path=path, alias_column="also")}).open("jobs")
    assert space.aliases == [["carer", "RN"], []]
    assert space.metadata_of([0, 1]) == [{"also": ["carer", "RN", "nurse"]}, {}]
    plain = SpaceCatalogue(tmp_path, {"jobs": SpaceSource(path=path)}, {"jobs": "also"})
    assert plain.open("jobs").aliases == space.aliases
    space.save(tmp_path / "folder")
    folder = SpaceCatalogue(tmp_path, {"jobs": SpaceSource(path=tmp_path / "folder")}).open("jobs")
    assert folder.aliases == space.aliases


def test_aliases_that_cannot_be_matched_are_refused() -> None:
    with pytest.raises(DataError, match="no column 'nothing'"):
        space_of([("nurse", [], "a")], "nothing")
    with pytest.raises(DataError, match="an alias of '0' holds NUL"):
        space_of([("nurse", ["a\x00"], "a")])
    numbers = TargetSpace.from_columns(SpaceInfo(name="jobs"), {"id": ["1"], "text": ["nurse"], "level": [3]})
    with pytest.raises(DataError, match="the aliases in 'level' are no texts, but int64"):
        numbers.matching("level")


def test_a_calibration_is_of_targets_own_texts(model: UweModel) -> None:
    curve = Calibration(slope=4, intercept=-1, per_query_token=True, targets=9, queries=9)
    info = CheckpointInfo(interaction=model.interaction, calibration={"jobnorm": curve, "skillsim": curve})
    calibrated = UweModel(model.encoder, info)
    spaces = {}
    for name, column in (("x-jobs", "aliases"), ("x-skills", None)):
        space = space_of([("nurse", ["baker"], "a")], column)
        space = TargetSpace(space.info.model_copy(update={"name": name}), space.ids, space.texts, space.metadata)
        spaces[name] = RankableSpace(calibrated, space, TokenIndex.build(model.encoder, space))
    assert Ranker(calibrated, spaces, standard_tasks("x")).calibrated_tasks == {"skillsim"}
