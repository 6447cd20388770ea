"""The noise of real vacancy titles: case, seniority, place, contract and gender tags."""

from __future__ import annotations

import random
from collections.abc import Callable

_SENIORITY = ("Senior ", "Sr. ", "Junior ", "Jr. ", "Lead ", "Experienced ")
_PLACES = (
    " - London", ", Manchester", " | Dublin", " (Remote)", " - Austin, TX", " Berlin", " / Amsterdam area",
    ", Brussels", " - Night Shift", " Toronto", " (Hybrid)", " - Sydney NSW", " @ Paris office", " - Leeds",
)  # fmt: skip
_TAGS = (" (m/f/d)", " (m/w/d)", " (f/m/x)", " m/f", " (all genders)", " H/F")
_CONTRACTS = (
    " - full-time", " (part-time)", " - 32 hrs/wk", " FT", " - temporary", " (12 month FTC)", " - $22/hr",
    " | immediate start", " 80-100%", " - permanent",
)  # fmt: skip
_CASES: tuple[Callable[[str], str], ...] = (str.upper, str.lower, str.title)


def noisy_title(title: str, choose: random.Random) -> str:
    """A title as a vacancy might write it; nothing that says what the work is gets lost."""
    text = choose.choice(_SENIORITY) + title if choose.random() < 0.25 else title
    for endings, share in ((_TAGS, 0.2), (_PLACES, 0.3), (_CONTRACTS, 0.2)):
        if choose.random() < share:
            text += choose.choice(endings)
    return choose.choice(_CASES)(text) if choose.random() < 0.35 else text
