"""Words put together of tokens; the playground's test holds its script to the same table."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.words import words_of

TABLE: list[dict[str, Any]] = json.loads((Path(__file__).parent / "words.json").read_text())


@pytest.mark.parametrize("row", TABLE, ids=lambda row: repr(row["text"]))
def test_words_are_those_of_the_table(row: dict[str, Any]) -> None:
    found = words_of(row["text"], [place and tuple(place) for place in row["tokens"]])
    assert [[row["text"][word.start : word.end], word.tokens] for word in found] == row["words"]


@given(st.text("ab ,.", max_size=12), st.data())
def test_every_token_that_can_be_seen_is_of_one_word(text: str, data: st.DataObject) -> None:
    cuts = sorted({0, len(text), *data.draw(st.sets(st.integers(0, len(text))))})
    places = list(pairwise(cuts))
    words = words_of(text, places)
    seen = [position for position, (start, end) in enumerate(places) if text[start:end].strip()]
    assert [position for word in words for position in word.tokens] == seen
    for word in words:
        assert text[word.start : word.end] == text[word.start : word.end].strip() != ""
