"""The words of a text, put together of the places of its tokens.

The playground does the same in `playground/evidence.js`, for words of queries and of targets; one table holds both to
it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeAlias

# First character and the character after the last; None of a token that is not in the text.
Place: TypeAlias = tuple[int, int] | None

_MARKS = frozenset(".,;:!?…)]")


@dataclass
class TokenWord:
    """A word: its place in the text, without spaces around it, and the positions of its tokens."""

    start: int
    end: int
    tokens: list[int] = field(default_factory=list)


def words_of(text: str, places: Iterable[Place]) -> list[TokenWord]:
    """The words in the order of the tokens; special tokens and those of mere spaces are of none.

    Tokens of one word touch, whatever they are ("C++", "and/or"); but a mark that ends a word is no part of it.

    Args:
        text: of the tokens.
        places: of the tokens, in code points.
    """
    words: list[TokenWord] = []
    for position, place in enumerate(places):
        start, end = (0, 0) if place is None else _trimmed(text, *place)
        if start == end:
            continue
        if words and words[-1].end >= start and not _is_mark(text, start, end):
            words[-1].end = max(end, words[-1].end)
        else:
            words.append(TokenWord(start, end))
        words[-1].tokens.append(position)
    return words


def _is_mark(text: str, start: int, end: int) -> bool:
    return text[start:end] in _MARKS and not text[end : end + 1].strip()


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    """A place without the spaces that some tokenizers count to a token."""
    while start < end and text[start].isspace():
        start += 1
    while start < end and text[end - 1].isspace():
        end -= 1
    return start, end
