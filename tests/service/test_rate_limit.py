"""The bucket beside a slow oracle, under a clock of our own."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.rate_limit import TokenBucket
from uwe_core.errors import RateLimitError


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def passes(bucket: TokenBucket) -> bool:
    try:
        bucket.take()
    except RateLimitError:
        return False
    return True


# Powers of two and eighths of a minute, so that floats are exact and the oracle may be strict.
@given(st.sampled_from([1, 2, 4, 8]), st.lists(st.integers(0, 24), max_size=60))
def test_what_passes_is_what_the_oracle_lets_pass(rate: int, eighths: list[int]) -> None:
    clock = Clock()
    bucket = TokenBucket(rate, clock)
    tokens = Fraction(rate)
    for pause in eighths:
        clock.now += pause * 7.5
        tokens = min(Fraction(rate), tokens + Fraction(pause, 8) * rate)
        expected = tokens >= 1
        tokens -= expected
        assert passes(bucket) == expected


@given(st.floats(0.1, 600), st.lists(st.floats(0, 30), max_size=40))
def test_the_time_it_names_is_enough_and_not_much_too_long(rate: float, pauses: list[float]) -> None:
    clock = Clock()
    bucket = TokenBucket(rate, clock)
    for pause in pauses:
        clock.now += pause
        if not passes(bucket):
            with pytest.raises(RateLimitError) as refused:
                bucket.take()
            seconds = refused.value.retry_after
            assert 1 <= seconds <= 60 / rate + 1
            clock.now += seconds + 1e-6
            assert passes(bucket)


def test_below_one_a_minute_the_first_request_passes_too() -> None:
    clock = Clock()
    bucket = TokenBucket(0.5, clock)
    assert [passes(bucket), passes(bucket)] == [True, False]
    clock.now += 120
    assert passes(bucket)
