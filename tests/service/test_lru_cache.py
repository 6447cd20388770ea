"""The cache, against the plainest one there is."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from service.lru_cache import LruCache

_STEPS = st.lists(st.tuples(st.integers(0, 5), st.none() | st.text(min_size=1, max_size=6)), max_size=40)


@given(st.integers(0, 12), _STEPS)
def test_it_keeps_what_was_used_last_within_its_bound(limit: int, steps: list[tuple[int, str | None]]) -> None:
    cache: LruCache[int, str] = LruCache(limit, len)
    kept: list[tuple[int, str]] = []  # what was used last stands last
    for key, value in steps:
        before = [entry for entry in kept if entry[0] == key]
        if value is None:
            assert cache.get(key) == (before[0][1] if before else None)
            kept = [entry for entry in kept if entry[0] != key] + before
        else:
            cache.put(key, value)
            kept = [entry for entry in kept if entry[0] != key]
            if len(value) <= limit:
                kept.append((key, value))
            while sum(len(text) for _, text in kept) > limit:
                kept.pop(0)
        assert cache.weight == sum(len(text) for _, text in kept) <= limit
        assert len(cache) == len(kept)
    assert {key: cache.get(key) for key, _ in kept} == dict(kept)
