"""TokenSpan: a token, and where in its text it stands."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TokenSpan:
    """A token as the tokenizer writes it, and the characters of the text that it was made of.

    Attributes:
        token: may differ from those characters in case, accents and marks such as `##`.
        start, end: `text[start:end]`, counted in Unicode code points; None for a special token, which no text holds.
    """

    token: str
    start: int | None
    end: int | None
