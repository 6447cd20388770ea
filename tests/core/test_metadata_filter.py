"""Filters on metadata: masks against a plain reading of the rows, and rankings against filtering the whole ranking."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.core.candidates.clustered import clustered_index, clustered_queries
from tests.fakes import save_tiny_model
from uwe_core.errors import InputError
from uwe_core.interaction import InteractionConfig
from uwe_core.metadata_filter import Condition, MetadataFilter, value_text
from uwe_core.model import UweModel
from uwe_core.narrowing import Narrowing
from uwe_core.ranker import RankableSpace, Ranker
from uwe_core.scoring import make_scorer
from uwe_core.scoring.candidates import CandidateIndex, CandidateScorer, CandidateScores
from uwe_core.target_space import SpaceInfo, TargetSpace
from uwe_core.tasks import RankingTask
from uwe_core.token_index import TokenIndex
from uwe_core.top_k import top_k

_CODE = st.none() | st.sampled_from(["", "2", "25", "251", "2512", "é", "3"])
_LEVEL = st.none() | st.integers(0, 30)
_SHARE = st.none() | st.sampled_from([0.5, 2.0, 25.0])
_OPEN = st.none() | st.booleans()
_TAGS = st.none() | st.lists(_CODE, max_size=3)
_ROW = st.fixed_dictionaries({"code": _CODE, "level": _LEVEL, "share": _SHARE, "open": _OPEN, "tags": _TAGS})
_SCHEMA = pa.schema(
    {
        "code": pa.string(),
        "level": pa.int64(),
        "share": pa.float64(),
        "open": pa.bool_(),
        "tags": pa.list_(pa.string()),
    }
)
_WORDS = ["2", "25", "2512", "true", "é", "0.5", ""]
_CONDITION = st.builds(
    Condition, st.sampled_from(_SCHEMA.names), st.frozensets(st.sampled_from(_WORDS), min_size=1)
) | st.builds(Condition, st.sampled_from(_SCHEMA.names), prefix=st.sampled_from(["2", "25", "t", "é"]))
_FILTER = st.builds(MetadataFilter, st.frozensets(_CONDITION, min_size=1, max_size=3))


def plainly(wanted: MetadataFilter, row: dict[str, Any]) -> bool:
    """Whether a row meets a filter, written down as it is said."""
    for condition in wanted.conditions:
        value = row[condition.column]
        texts = [value_text(each) for each in (value if isinstance(value, list) else [value]) if each is not None]
        if condition.prefix is None:
            found = any(text in condition.values for text in texts)
        else:
            found = any(text.startswith(condition.prefix) for text in texts)
        if not found:
            return False
    return True


@given(st.lists(_ROW, min_size=1, max_size=12), _FILTER, st.booleans())
def test_a_mask_says_which_rows_meet_the_filter(rows: list[Any], wanted: MetadataFilter, in_pieces: bool) -> None:
    table = pa.Table.from_pylist(rows, schema=_SCHEMA)
    if in_pieces:
        table = pa.concat_tables([table.slice(0, 1), table.slice(1)])
    assert wanted.mask(table).tolist() == [plainly(wanted, row) for row in rows]


def test_values_are_compared_as_texts() -> None:
    assert [value_text(value) for value in ("a", 7, 7.0, 7.5, True, False)] == ["a", "7", "7", "7.5", "true", "false"]


def test_a_dictionary_column_is_read_and_a_table_in_a_table_meets_nothing() -> None:
    table = pa.table({"kind": pa.array(["a", "b", None]).dictionary_encode(), "more": [{"x": 1}, {"x": 2}, {"x": 3}]})
    assert MetadataFilter(frozenset({Condition("kind", frozenset("b"))})).mask(table).tolist() == [False, True, False]
    assert not MetadataFilter(frozenset({Condition("more", prefix="1")})).mask(table).any()


def test_an_unknown_column_is_refused_with_those_that_are_there() -> None:
    wanted = MetadataFilter(frozenset({Condition("colour", frozenset({"red"}))}))
    with pytest.raises(InputError, match="no metadata 'colour'; it has code, level"):
        wanted.mask(pa.table({"level": [1], "code": ["a"]}))
    with pytest.raises(InputError, match="it has none"):
        wanted.mask(pa.table({}))
    with pytest.raises(InputError, match="needs a condition"):
        MetadataFilter(frozenset())


@pytest.fixture(scope="module")
def ranker(tmp_path_factory: pytest.TempPathFactory) -> Ranker:
    folder = save_tiny_model("bert", tmp_path_factory.mktemp("model") / "bert")
    model = UweModel.from_pretrained(folder, device="cpu").with_interaction(
        InteractionConfig(interaction_temperature=1)
    )
    texts = ["nurse", "weld metal", "take blood", "bake bread", "baker", "care for people", "welder", "nurse a"]
    columns: dict[str, list[Any]] = {
        "id": [str(number) for number in range(len(texts))],
        "text": texts,
        "code": ["22", "25", "25", None, "251", "3", "2", "é"],
        "tags": [["2", "x"], [], None, ["25"], ["x", "true"], ["25", "2512"], ["é"], ["2"]],
    }
    space = TargetSpace.from_columns(SpaceInfo(name="jobs"), columns)
    task = RankingTask(name="alike", description="", queries="", target_space="jobs", exclude_query=True)
    return Ranker(model, {"jobs": RankableSpace(model, space, TokenIndex.build(model.encoder, space))}, {"alike": task})


@given(
    st.builds(
        MetadataFilter,
        st.frozensets(_CONDITION.filter(lambda condition: condition.column in ("code", "tags")), min_size=1),
    ),
    st.integers(0, 4),
    st.integers(1, 9),
    st.frozensets(st.sampled_from("0123")),
)
def test_a_filtered_ranking_is_the_whole_one_without_the_others(
    ranker: Ranker, wanted: MetadataFilter, offset: int, count: int, exclude: frozenset[str]
) -> None:
    task, space = ranker.task("alike"), ranker.spaces["jobs"]
    (scores,) = ranker.score(space, ranker.encode(ranker.tokenise(["Nurse"])))
    rows = space.space.metadata.to_pylist()
    whole = [target.id for target in ranker.select(space, task, "Nurse", scores, 3, 99)]
    assert "0" not in whole
    expected = [number for number in whole if plainly(wanted, rows[int(number)]) and number not in exclude]
    narrowing = Narrowing(offset=offset, exclude=exclude, filter=wanted)
    page = ranker.select(space, task, "Nurse", scores, 3, count, narrowing)
    assert [target.id for target in page] == expected[offset : offset + count]
    assert [target.rank for target in page] == list(range(offset + 1, offset + 1 + len(page)))


def test_a_mask_is_made_once_and_kept(ranker: Ranker) -> None:
    space = ranker.spaces["jobs"]
    one, same = (MetadataFilter(frozenset({Condition("code", prefix="25")})) for _ in range(2))
    assert space.mask(one) is space.mask(same)
    assert space.summary().columns == ("code", "tags")


@pytest.fixture(scope="module")
def proposed() -> tuple[torch.Tensor, CandidateScores]:
    """The exact scores of a query, and those of ten candidates."""
    pytest.importorskip("faiss")
    index, interaction = clustered_index(120), InteractionConfig(interaction_temperature=5.0)
    queries = clustered_queries([3])
    (exact,) = make_scorer(index, interaction).score(queries)
    (scores,) = CandidateScorer(index, interaction, CandidateIndex.build(index, "hnsw"), 10).score(queries)
    return exact, scores


@given(st.sets(st.integers(0, 119), max_size=119), st.integers(1, 130), st.lists(st.integers(0, 119), max_size=5))
def test_candidates_fill_a_page_with_allowed_targets_and_few_of_them_are_all_scored(
    proposed: tuple[torch.Tensor, CandidateScores], allowed: set[int], k: int, excluded: list[int]
) -> None:
    exact, scores = proposed
    mask = torch.tensor([target in allowed for target in range(120)])
    targets, values = scores.best(k, excluded, mask)
    left = allowed - set(excluded)
    assert len(targets) == min(k, len(left))
    assert set(targets.tolist()) <= left
    torch.testing.assert_close(values, exact[targets])
    if k >= len(left):
        expected = exact.masked_fill(~mask, -torch.inf)
        expected[excluded] = -torch.inf
        torch.testing.assert_close(values, top_k(expected, k)[1])
