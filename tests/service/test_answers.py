"""Answers are written by hand for speed; here they are held to the schema that describes them."""

from __future__ import annotations

import datetime
import json
from dataclasses import asdict
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.answers import AnswerSource, query_json, response_parts
from service.schemas.rank import RankResponse
from tests.service.conftest import ENCODING, FakeRanker, FakeSpace, numbered
from uwe_core.encoder import Truncation
from uwe_core.explanation import Pair, TargetExplanation
from uwe_core.metadata_filter import Condition, MetadataFilter
from uwe_core.narrowing import Narrowing
from uwe_core.ranker import RankedTarget, RankerDescription
from uwe_core.token_span import TokenSpan

_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=9)
_FLOAT = st.floats(width=32, allow_nan=False, allow_infinity=False)
_TOKENS = [TokenSpan("[CLS]", None, None), TokenSpan("nurse", 0, 5)]
# Made beforehand: checked as they are made, lists draw random numbers, which no strategy may.
_EXPLANATION = TargetExplanation(_TOKENS, [Pair(1, 1, 0.5), Pair(0, 1, -0.25)], [0.125, 0.0])
_TARGET = st.builds(
    RankedTarget, _TEXT, _TEXT, _FLOAT, _FLOAT, st.integers(1, 9), st.dictionaries(_TEXT, _TEXT),
    st.none() | st.floats(0, 1), st.sampled_from([None, _EXPLANATION]),
)  # fmt: skip
_TRUNCATION = st.none() | st.builds(Truncation, st.just(0), st.integers(513, 999), st.just(512))


def source(ranker: FakeRanker) -> AnswerSource:
    return AnswerSource.of(ranker, ranker.tasks["skillsim"])


_RESULT = st.tuples(_TEXT, st.lists(_TARGET, max_size=3), _TRUNCATION, st.sampled_from([None, _TOKENS]))


@given(st.lists(_RESULT, min_size=1, max_size=3))
def test_what_is_written_is_what_the_schema_says(
    results: list[tuple[str, list[RankedTarget], Truncation | None, list[TokenSpan] | None]],
) -> None:
    written = b"".join(response_parts(source(FakeRanker()), [query_json(*result) for result in results]))
    read = RankResponse.model_validate_json(written)
    assert json.loads(written) == json.loads(read.model_dump_json())  # no field less, none more
    assert (read.task, read.index.space, read.model.name) == ("skillsim", "sample-skills", "fake")
    for result, (query, targets, truncation, query_tokens) in zip(read.results, results, strict=True):
        assert result.query == query
        assert [target.model_dump() for target in result.targets] == [asdict(target) for target in targets]
        tokens = None if query_tokens is None else [asdict(token) for token in query_tokens]
        assert result.model_dump()["query_tokens"] == tokens
        kept = result.truncated and (result.truncated.tokens, result.truncated.kept_tokens)
        assert kept == (truncation and (truncation.tokens, truncation.kept_tokens))


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (datetime.date(2026, 1, 2), "2026-01-02"),
        (datetime.datetime(2026, 1, 2, 3, 4), "2026-01-02T03:04:00"),
        (datetime.timedelta(seconds=90), "PT1M30S"),
        (Decimal("1.50"), "1.50"),
        (float("nan"), None),
    ],
)
def test_metadata_that_json_has_no_form_for_are_written(value: Any, written: str | None) -> None:
    (target,) = json.loads(query_json("a", [RankedTarget("1", "a", 1.0, 1.0, 1, {"x": value})], None))["targets"]
    assert target["metadata"] == {"x": written}


def test_the_key_of_an_answer_holds_everything_that_decides_it() -> None:
    ranker = FakeRanker()
    key = source(ranker).key("nurse", 10)
    assert key == source(FakeRanker()).key("nurse", 10)
    ranker.description = RankerDescription("fake", "e" * 64, "cpu", ENCODING)
    another_index: Any = FakeSpace(numbered("sample-skills"))
    another_index.fingerprint = "c" * 64
    others = [
        source(ranker).key("nurse", 10),  # another model
        AnswerSource.of(FakeRanker(), ranker.tasks["skillsim"], another_index).key("nurse", 10),
        AnswerSource.of(FakeRanker(), ranker.tasks["skillnorm"]).key("nurse", 10),
        source(FakeRanker()).key("Nurse", 10),
        source(FakeRanker()).key("nurse", 9),
        source(FakeRanker()).key("nurse", 10, explain=True),
        source(FakeRanker()).key("nurse", 10, Narrowing(offset=1)),
        source(FakeRanker()).key("nurse", 10, Narrowing(min_score=0.0)),
        source(FakeRanker()).key("nurse", 10, Narrowing(min_confidence=0.0)),
        source(FakeRanker()).key("nurse", 10, Narrowing(exclude=frozenset({"1"}))),
        source(FakeRanker()).key(
            "nurse", 10, Narrowing(filter=MetadataFilter(frozenset({Condition("a", prefix="b")})))
        ),
    ]
    assert len({key, *others}) == 12
