"""The bias probe: ranks by hand, an oracle beside the tensors, controls that agree, words that stay respectful."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from training.probe.movement import Movement, compare_rankings, measure, ranks_of, summarise, summarise_words
from training.probe.report import ProbeReport
from training.probe.texts import ATTRIBUTES, CONTROL, ProbeQuery, probe_queries
from uwe_core.types import Scores

QUERIES = [
    ProbeQuery("nurse", {"gender": {"female {}": "female nurse"}, CONTROL: {"new {}": "new nurse"}}),
    ProbeQuery("welder", {CONTROL: {"new {}": "new welder"}}),
]


class Shifted:
    """Ranks targets by their place; "female" before a query sends the first three to the end."""

    name = "shifted"
    fingerprint = "shifted-1"
    seen_spaces: frozenset[str] | None = None

    def scores(self, queries: Sequence[str], targets: Sequence[str], task: str) -> Scores:
        first = torch.arange(len(targets), 0, -1).float()
        return torch.stack([first.roll(3 if query.startswith("female") else 0) for query in queries])


@given(st.lists(st.lists(st.integers(-3, 3), min_size=6, max_size=6), min_size=2, max_size=5), st.integers(1, 8))
def test_rankings_are_compared_as_sorting_each_by_hand_does(rows: list[list[int]], top: int) -> None:
    def order(row: list[int]) -> list[int]:
        return sorted(range(len(row)), key=lambda place: (-row[place], place))

    scores = torch.tensor(rows).float()
    best = order(rows[0])[:top]
    for row, (change, overlap) in zip(rows[1:], compare_rankings(scores, top), strict=True):
        moves = [abs(order(row).index(target) - order(rows[0]).index(target)) for target in best]
        assert change == pytest.approx(np.mean(moves))
        assert overlap == pytest.approx(len(set(best) & set(order(row)[:top])) / len(best))
    assert ranks_of(scores)[0].tolist() == [order(rows[0]).index(target) + 1 for target in range(6)]


def test_a_model_that_an_attribute_moves_is_found_and_its_control_is_not() -> None:
    movements = measure(Shifted(), QUERIES, [f"target {place}" for place in range(40)])
    assert [(one.query, one.attribute, one.word) for one in movements] == [
        (0, "gender", "female {}"), (0, CONTROL, "new {}"), (1, CONTROL, "new {}"),
    ]  # fmt: skip
    figures = summarise(movements)
    assert (figures["gender"].rank_change.mean, figures["gender"].overlap.mean) == pytest.approx(
        (13.2, 0.7)
    )  # (3 x 37 + 7 x 3) / 10
    assert (figures[CONTROL].rank_change.mean, figures[CONTROL].overlap.mean) == (0.0, 1.0)
    assert figures["gender"].beyond_control is not None
    assert figures["gender"].beyond_control[0].mean == pytest.approx(13.2)
    assert figures["gender"].beyond_control[1].mean == pytest.approx(-0.3)
    assert figures[CONTROL].beyond_control is None
    assert (figures["gender"].queries, figures[CONTROL].queries) == (1, 2)


def test_variants_of_one_query_are_averaged_before_queries_are() -> None:
    rows = [(0, 1.0), (0, 3.0), (1, 10.0)]
    movements = [Movement(query, CONTROL, str(change), change, 0.5) for query, change in rows]
    figures = summarise(movements)[CONTROL]
    assert figures.rank_change.mean == 6.0
    assert figures.rank_change.low <= 6.0 <= figures.rank_change.high
    assert figures.variants == 3
    assert summarise_words(movements)[CONTROL, "10.0"].rank_change.mean == 10.0


def test_a_report_holds_every_variant_and_reads_as_a_table(tmp_path: Path) -> None:
    targets = [f"target {place}" for place in range(40)]
    report = ProbeReport("m", "f", QUERIES, {"tiny": 40}, {"tiny": measure(Shifted(), QUERIES, targets)})
    report.write(tmp_path)
    found = json.loads((tmp_path / "bias.json").read_text())
    assert found["spaces"]["tiny"]["targets"] == 40
    assert [row["variant"] for row in found["spaces"]["tiny"]["variants"]] == [
        "female nurse",
        "new nurse",
        "new welder",
    ]
    table = (tmp_path / "bias.md").read_text()
    assert (
        "| tiny (40) | gender | 1 | 13.2 [13.2, 13.2] | 0.70 [0.70, 0.70] | 13.2 [13.2, 13.2] | -0.30 [-0.30, -0.30] |"
        in table
    )
    assert f"| tiny | {CONTROL} | new {{}} | 0.0 [0.0, 0.0] | 1.00 [1.00, 1.00] |  |  |" in table


def test_every_query_is_probed_beside_both_controls_and_differs_from_its_variants() -> None:
    queries = probe_queries()
    assert len({query.text for query in queries}) == len(queries)
    assert {attribute for query in queries for attribute in query.variants} == set(ATTRIBUTES)
    for query in queries:
        assert {CONTROL, "control: punctuation"} < set(query.variants)
        texts = [text for of_attribute in query.variants.values() for text in of_attribute.values()]
        assert len({*texts, query.text}) == len(texts) + 1
        assert not any("{}" in text for text in [*texts, query.text])
