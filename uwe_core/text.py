"""What makes a text readable: one check for queries, targets and raw data."""

from __future__ import annotations

import re

# NUL cannot be stored by most databases and tokenizers drop it; a lone surrogate is not text at all.
_UNREADABLE = re.compile("[\x00\ud800-\udfff]")


def unreadable_reason(text: str) -> str | None:
    """Why `text` cannot be encoded, or None: NUL, a lone surrogate, or nothing but whitespace."""
    found = _UNREADABLE.search(text)
    if found is not None:
        return "holds NUL" if found.group() == "\x00" else "holds a lone surrogate"
    return None if text.strip() else "is empty"


def same_text_key(text: str) -> str:
    """Two texts with equal keys count as the same text: case and outer whitespace are ignored."""
    return text.strip().casefold()
