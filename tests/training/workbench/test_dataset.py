"""Data sets: what assembling raw pairs merges, drops and counts, and how validation is halved."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.workbench.dataset import RankingDataset, assemble, half_of
from uwe_core.errors import DataError


def assembled(targets: dict[str, str], pairs: list[tuple[str, str]], *, merge_queries: bool = True) -> RankingDataset:
    return assemble(
        task="t", name="n", split="test", target_space="s", targets=targets, pairs=pairs, merge_queries=merge_queries
    )


def test_texts_are_stripped_and_equal_ones_merged_with_their_positives() -> None:
    dataset = assembled(
        {"1": "welding", "2": " welding ", "3": "baking"},
        [("weld ", "1"), (" weld", "2"), ("weld", "3"), ("bake", "3")],
    )
    assert dataset.targets == ["welding", "baking"]
    assert dataset.queries == ["weld", "bake"]
    assert dataset.positives == [[0, 1], [1]]
    assert dataset.counts == {"equal targets merged": 1, "equal pairs merged": 1}


def test_one_query_per_row_where_queries_are_not_merged() -> None:
    dataset = assembled({"1": "nurse"}, [("RN", "1"), ("RN", "1")], merge_queries=False)
    assert dataset.queries == ["RN", "RN"]
    assert dataset.positives == [[0], [0]]


def test_what_cannot_be_judged_is_dropped_and_counted() -> None:
    dataset = assembled({"1": "nurse"}, [("  ", "1"), ("RN", "no such id"), ("RN", "1")])
    assert dataset.queries == ["RN"]
    assert dataset.counts == {"pairs with an empty query dropped": 1, "pairs with an unknown target dropped": 1}


def test_a_data_set_without_queries_is_an_error() -> None:
    with pytest.raises(DataError, match="no query"):
        assembled({"1": "nurse"}, [("RN", "2")])


@given(st.lists(st.text(min_size=1), min_size=1, max_size=30))
def test_the_halves_part_the_queries_and_keep_equal_texts_together(texts: list[str]) -> None:
    dataset = RankingDataset("t", "n", "validation", "s", texts, ["a"], [[0]] * len(texts))
    halves = [dataset.take("selecting"), dataset.take("reporting")]
    assert sorted([*halves[0].queries, *halves[1].queries]) == sorted(texts)
    assert not set(halves[0].queries) & set(halves[1].queries)
    assert dataset.take("all") is dataset


def test_the_half_of_a_text_never_changes() -> None:
    assert [half_of(text) for text in ("nurse", "welder", "", "Python developer")] == [
        "selecting", "selecting", "reporting", "selecting",
    ]  # fmt: skip


def test_the_fingerprint_is_of_the_content() -> None:
    one, same = (assembled({"1": "nurse"}, [("RN", "1")]) for _ in range(2))
    other = assembled({"1": "nurse"}, [("R.N.", "1")])
    assert one.fingerprint == same.fingerprint != other.fingerprint
