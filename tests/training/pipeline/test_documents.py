"""Documents: every sentence and title of every source, in row groups of whole documents."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.pipeline.chance import fixed_choice, fraction_of
from training.pipeline.config import DocumentsConfig
from training.pipeline.documents import (
    SENTENCES_FILE,
    TITLES_FILE,
    Document,
    onet_documents,
    split_sentences,
    write_documents,
)
from training.pipeline.ingest import ingest_onet
from training.pipeline.tables import group_sizes


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("You weld. You grind.", ["You weld.", "You grind."]),
        ("Degree, e.g. a B.Sc. in nursing. Apply!", ["Degree, e.g. a B.Sc. in nursing.", "Apply!"]),
        ("Tasks:\n- weld parts\n\u2022 grind parts\n\n---\n 42 \n", ["Tasks:", "weld parts", "grind parts"]),
        ("", []),
    ],
)
def test_line_breaks_and_bullets_end_sentences(text: str, sentences: list[str]) -> None:
    assert split_sentences(text) == sentences


@given(st.text())
def test_no_letter_is_lost(text: str) -> None:
    def letters(part: str) -> Counter[str]:
        return Counter(character for character in part if character.isalpha())

    assert letters(" ".join(split_sentences(text))) == letters(text)


def test_row_groups_hold_whole_documents_and_empty_ones_are_counted(tmp_path: Path) -> None:
    documents = [
        Document("vacancy", f"group {number}", (f"Title {number}", f"TITLE {number}"), ("a b",) * (number % 4))
        for number in range(20)
    ]
    counts = write_documents(documents, tmp_path, sentences_per_part=5)
    assert counts["documents"] == 20
    assert counts["dropped: no sentence"] == 5
    assert counts["documents kept"] == 15
    sentences, titles = (pq.read_table(tmp_path / name).to_pylist() for name in (SENTENCES_FILE, TITLES_FILE))
    assert len(sentences) == counts["sentences"] == 30
    assert [row["position"] for row in sentences if row["document"] == 2] == [0, 1, 2]
    assert [(row["title"], row["key"]) for row in titles[:2]] == [("Title 1", "title 1"), ("TITLE 1", "title 1")]
    sizes, first = group_sizes(tmp_path / SENTENCES_FILE), 0
    assert len(sizes) > 1
    for size in sizes:
        if first:
            assert sentences[first]["document"] != sentences[first - 1]["document"]
        first += size


def test_a_fixed_choice_depends_on_the_keys_and_not_on_their_order() -> None:
    keys = [f"key {number}" for number in range(100)]
    chosen = {keys[place] for place in fixed_choice(keys, 10, seed=1)}
    backwards = keys[::-1]
    assert {backwards[place] for place in fixed_choice(backwards, 10, seed=1)} == chosen
    assert len(chosen) == 10
    assert chosen != {keys[place] for place in fixed_choice(keys, 10, seed=2)}
    fractions = [fraction_of(0, key) for key in keys]
    assert all(0 <= fraction < 1 for fraction in fractions)
    assert 0.4 < sum(fractions) / len(fractions) < 0.6


@pytest.mark.data
def test_an_occupation_is_a_document_with_all_its_titles(data_dir: Path, tmp_path: Path) -> None:
    ingest_onet(data_dir / "onet-29.2", tmp_path / "onet")
    plain, with_products = (
        list(onet_documents(tmp_path / "onet", DocumentsConfig(technologies=on, limit_occupations=30), seed=0))
        for on in (False, True)
    )
    assert len(plain) == 30
    assert all(document.titles and document.sentences for document in plain)
    assert sum(len(document.sentences) for document in with_products) > sum(len(doc.sentences) for doc in plain)
    assert [document.group for document in plain] == [document.group for document in with_products]
