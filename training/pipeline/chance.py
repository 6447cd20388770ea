"""Choices that look random and are fixed: a hash of the seed and the thing itself, so that no order matters."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence


def fraction_of(seed: int, key: str) -> float:
    """A number in [0, 1) that seed and key alone decide."""
    digest = hashlib.sha256(f"{seed} {key}".encode()).digest()
    return int.from_bytes(digest[:7], "big") / 2**56


def fixed_choice(keys: Sequence[str], limit: int | None, seed: int) -> list[int]:
    """The positions of so many keys, ascending; all of them where there is no limit."""
    if limit is None or limit >= len(keys):
        return list(range(len(keys)))
    return sorted(
        sorted(range(len(keys)), key=lambda place: (fraction_of(seed, f"chosen {keys[place]}"), place))[:limit]
    )
