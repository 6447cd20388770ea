"""Sentences: what they give back of any text, and what they make of the ways in which vacancies are written."""

# ruff: noqa: RUF001 - marks of several languages look alike, and are meant

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from uwe_core.sentences import LONGEST, sentences

_PIECES = st.sampled_from(
    [
        *("nurse", "Dr.", "e.g.", "3", "a", "B", ".", "!", "?", ",", ":", ";", " ", " ", "\n", "\r\n", "\t", "•", "- "),
        *("1. ", "é", "e\u0301", "👩\u200d⚕\ufe0f", "👍🏽", "你好", "。", "\u2028", "(", ")", "–", "x" * 50, "\u200d"),
    ]
)
_TEXT = st.lists(_PIECES, max_size=40).map("".join) | st.text(max_size=80)
_MARKS = re.compile(r"(?:[^\w]|_|\(?(?:\d{1,3}|[A-Za-z])[.)])*")


@given(_TEXT, st.integers(1, 60))
@example("1. a 2) b", 60)
@example("e\u0301" * 40, 7)
def test_pieces_are_the_text_again_and_only_marks_of_lists_are_lost(text: str, longest: int) -> None:
    found = sentences(text, longest)
    end = 0
    for piece in found:
        assert piece.text == text[piece.start : piece.end] == piece.text.strip()
        assert 0 < len(piece.text) <= longest
        assert any(map(str.isalnum, piece.text))
        assert _MARKS.fullmatch(text[end : piece.start])
        assert piece.start >= end
        end = piece.end
    assert _MARKS.fullmatch(text[end:])


@given(st.lists(st.sampled_from(["e\u0301", "👩\u200d⚕\ufe0f", "👍🏽", "n\u0303", "x"]), min_size=1, max_size=30))
def test_what_is_drawn_as_one_character_is_not_cut(characters: list[str]) -> None:
    text = "".join(characters)
    starts = {sum(map(len, characters[:number])) for number in range(len(characters) + 1)}
    assert {piece.start for piece in sentences(text, 5)} <= starts


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("You weld. You cut steel!", ["You weld.", "You cut steel!"]),
        ("Is it you? (We hope so.) Apply…", ["Is it you?", "(We hope so.)", "Apply…"]),
        ("Use tools, e.g. Git and Docker. Ask Dr. Smith.", ["Use tools, e.g. Git and Docker.", "Ask Dr. Smith."]),
        ("Report to J. Smith in the U.S. You will travel.", ["Report to J. Smith in the U.S.", "You will travel."]),
        ("Python 3.12, Node.js and .NET are used", ["Python 3.12, Node.js and .NET are used"]),
        ("Pay of approx. 40.000 EUR p.a. and more", ["Pay of approx. 40.000 EUR p.a. and more"]),
        ("Tasks:\n- weld metal\n* bake bread\n• care", ["Tasks:", "weld metal", "bake bread", "care"]),
        ("1. weld\n2) bake\n(3) care\na) cut", ["weld", "bake", "care", "cut"]),
        ("You will: • weld • bake bread ✓ care", ["You will:", "weld", "bake bread", "care"]),
        ("weld\r\n\r\nbake\u2028care", ["weld", "bake", "care"]),
        ("C++\nC#\nR", ["C++", "C#", "R"]),
        ("--- \n***\n🎉🎉\n!!!", []),
        ("你会写代码。你喜欢团队合作！", ["你会写代码。", "你喜欢团队合作！"]),
        (
            "You will be responsible for the care of people who live at home,\nfor their families and for notes.",
            ["You will be responsible for the care of people who live at home,\nfor their families and for notes."],
        ),
        ("experience with Python\nexperience with Java", ["experience with Python", "experience with Java"]),
        ("", []),
    ],
)
def test_texts_are_split_as_people_would(text: str, pieces: list[str]) -> None:
    assert [piece.text for piece in sentences(text)] == pieces


def test_a_heading_announces_and_a_long_line_with_a_colon_does_not() -> None:
    text = "What you bring:\nYou know one of these languages and are ready to learn another:\nRust"
    assert [piece.heading for piece in sentences(text)] == [True, False, False]


def test_a_long_sentence_is_cut_at_a_pause_else_between_words_else_anywhere() -> None:
    clauses = "you weld metal in small series, " * 30
    pieces = sentences(clauses)
    assert all(piece.text.endswith("series,") for piece in pieces)
    assert all(LONGEST / 2 < len(piece.text) <= LONGEST for piece in pieces[:-1])
    words = "weld " * 200
    assert all(set(piece.text.split()) == {"weld"} for piece in sentences(words))
    assert [len(piece.text) for piece in sentences("x" * 1000)] == [400, 400, 200]
