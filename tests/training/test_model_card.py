"""Model cards: a pure function of facts whose front matter the hub can read, with every figure in it."""

from __future__ import annotations

from typing import Any

import pytest
from huggingface_hub import ModelCard
from hypothesis import given
from hypothesis import strategies as st

from training.data_credits import data_credits, edges_by_graph, edges_by_source
from training.model_card import CardFacts, model_card
from training.recipes import recipe_of
from training.run_config import RunConfig
from training.run_record import RunRecord
from training.sources import esco, onet
from uwe_core.interaction import InteractionConfig
from uwe_core.model import CheckpointInfo
from uwe_core.trainer.run_folder import CheckpointFacts
from uwe_core.trainer.step_plan import StepPlan
from uwe_core.trainer.train_config import TrainConfig

COUNTS = {
    "dropped: skillskape labels that are no skill here": 7,
    "job: edges": 5000,
    "job: edges from generated": 1000,
    "job: edges from onet": 3999,
    "job: edges from vacancy": 1,
    "sentence: edges": 30,
    "sentence: edges from composed": 9,
    "sentence: edges from generated": 1,
    "sentence: edges from skillskape": 20,
}
WORDS = st.text(st.characters(min_codepoint=33, max_codepoint=0x24F, exclude_characters="/"), min_size=1, max_size=8)
NAMES = st.one_of(WORDS, st.builds("{}/{}".format, WORDS, WORDS), st.builds("{}/{}/{}".format, WORDS, WORDS, WORDS))


def facts(config: RunConfig | None = None, data: str = "sample", step: int = 12, **info: Any) -> CardFacts:
    chosen = config or recipe_of("smoke")
    checkpoint = {"interaction": InteractionConfig(interaction_temperature=20.0), "base": "embedded-base", **info}
    plan = None if step == 0 else StepPlan(steps=16, precision="bfloat16")
    run = RunRecord(
        graphs="/somewhere/graphs", graphs_fingerprint="f00d", data=data, config=chosen, recipe="smoke",
        machine="a machine with avx2", versions={"python": "3.14.1", "torch": "9.9"},
    )  # fmt: skip
    return CardFacts(CheckpointFacts(CheckpointInfo(**checkpoint), step, plan), run, COUNTS)


def table_below(card: str, head: str) -> list[list[str]]:
    """The rows of the table whose first heading this is, that of the headings first."""
    lines = card[card.index(f"| {head} |") :].split("\n\n", maxsplit=1)[0].splitlines()
    rows = [line.removeprefix("| ").removesuffix(" |").split(" | ") for line in lines]
    return [rows[0], *rows[2:]]


def escaped(text: str) -> str:
    return " ".join(text.replace("\\", "\\\\").replace("|", "\\|").split())


@given(st.dictionaries(NAMES, st.floats(0, 100), max_size=8))
def test_every_metric_stands_in_its_row_and_column(metrics: dict[str, float]) -> None:
    card = model_card(facts(metrics=metrics))
    if not metrics:
        assert "no figures" in card
        return
    head, *rows = table_below(card, "data set")
    shown = {(row[0].strip(), measure.strip()): value for row in rows for measure, value in zip(head, row, strict=True)}
    for name, value in metrics.items():
        dataset, _, measure = name.rpartition("/")
        assert shown[escaped(dataset), escaped(measure)] == f"{value:.1f}"


@given(st.text(), st.dictionaries(NAMES, st.floats(0, 100), max_size=3), st.lists(st.text(), max_size=2))
def test_the_front_matter_is_yaml_whatever_the_names(base: str, metrics: dict[str, float], seen: list[str]) -> None:
    read = ModelCard(model_card(facts(base=base, metrics=metrics, seen_spaces=tuple(seen)))).data.to_dict()
    assert (read["language"], read["library_name"]) == ("en", "unified-work-embeddings")
    assert {"labour-market", "skills"} <= set(read["tags"])


@pytest.mark.parametrize(
    ("base", "hub_id", "licence", "shown"),
    [
        ("embedded-base", "sentence-transformers/all-MiniLM-L6-v2", "apache-2.0", "all-MiniLM-L6-v2"),
        ("mpnet-base", "sentence-transformers/all-mpnet-base-v2", "apache-2.0", "all-mpnet-base-v2"),
        ("someone/model", "someone/model", None, "someone/model"),
        ("/home/me/secret/encoder", None, None, "over encoder"),
        (None, None, None, "an unnamed base"),
    ],
)
def test_the_base_is_named_as_far_as_it_is_known(
    base: str | None, hub_id: str | None, licence: str | None, shown: str
) -> None:
    card = model_card(facts(base=base))
    read = ModelCard(card).data.to_dict()
    assert (read.get("base_model"), read.get("license")) == (hub_id, licence)
    assert shown in card
    assert "secret" not in card


def test_a_card_says_what_it_is_how_it_was_made_and_for_what() -> None:
    card = model_card(facts(seen_spaces=("sample-skills",), metrics={"jobnorm/map": 41.25}))
    for wanted in (
        "Not for automated decisions about people", "UweModel.from_pretrained", "`soft_late_interaction`",
        "temperature 20", "`f00d`", "| recipe | smoke |", "| steps | 12 of 16 |", "| seed | 0 |",
        "| precision | bfloat16 |", "| machine | a machine with avx2 |", "| torch | 9.9 |", "`sample-skills`",
        "zero-shot", "adapters of rank 16, alpha 32; frozen: embeddings", "| job | 5,000 | 1 | 0.05 |", "41.2",
    ):  # fmt: skip
        assert wanted in card, wanted
    assert "/somewhere" not in card
    untrained = model_card(facts(step=0))
    assert "this is the base itself" in untrained
    assert "| steps | 0 |" in untrained
    whole = model_card(facts(RunConfig(train=TrainConfig(freeze_lowest_layers=2))))
    assert "all; frozen: the lowest 2 layers" in whole
    assert "The folder holds all weights." in whole


def test_sources_are_added_up_and_their_owners_credited() -> None:
    assert edges_by_graph(COUNTS) == {"job": 5000, "sentence": 30}
    assert edges_by_source(COUNTS) == {"onet": 3999, "generated": 1001, "skillskape": 20, "composed": 9, "vacancy": 1}
    licences = {credit.name: credit.licence for credit in data_credits(COUNTS, "folder")}
    assert licences == {
        "ESCO: skills and their descriptions": esco.LICENCE, "O*NET": "CC BY 4.0", "synthetic texts": "CC0",
        "SkillSkape": "MIT", "vacancies": "that of their owners",
    }  # fmt: skip
    assert [credit.licence for credit in data_credits({}, "sample")] == ["CC0"]
    card = model_card(facts(data="folder"))
    assert esco.ATTRIBUTION in card
    assert onet.ATTRIBUTION in card
