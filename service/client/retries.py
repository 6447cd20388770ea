"""How often a request is sent again, and how long before: exponential, spread by chance, never before Retry-After."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


@dataclass(frozen=True)
class Retries:
    """The bounds of repeating.

    Attributes:
        attempts: times one request is sent at most; 1 repeats nothing.
        first_wait: seconds before the second attempt, about; each later wait is twice as long.
        longest_wait: seconds no wait grows beyond; a server that asks for more is not waited for.
    """

    attempts: int = 5
    first_wait: float = 0.25
    longest_wait: float = 30.0

    def __post_init__(self) -> None:
        if self.attempts < 1 or self.first_wait < 0 or self.longest_wait < 0:
            raise ValueError("retries need at least one attempt, and waits that are not negative")

    def wait(self, attempt: int, retry_after: float | None, luck: float) -> float | None:
        """Seconds to wait after a failed attempt, or None where it was the last.

        Args:
            attempt: the one that failed, counted from 1.
            retry_after: seconds that the server asked for.
            luck: drawn from [0, 1), so that clients which failed together do not come back together.
        """
        if attempt >= self.attempts or (retry_after is not None and retry_after > self.longest_wait):
            return None
        # The exponent is bounded before the power is: 2.0 ** 1024 is an error.
        backoff = min(self.longest_wait, self.first_wait * 2.0 ** min(attempt - 1, 64))
        spread = backoff * (0.5 + luck / 2)
        return spread if retry_after is None else min(self.longest_wait, retry_after + spread)


def retry_after_seconds(value: str | None, now: datetime) -> float | None:
    """What a `Retry-After` header asks for: seconds or a date (RFC 9110, 10.2.3); None where it is neither."""
    if value is None:
        return None
    if value.strip().isdecimal():
        return float(value)
    try:
        date = parsedate_to_datetime(value)
    except ValueError:
        return None
    # A date that says "-0000" comes without a zone, and means UTC.
    aware = date if date.tzinfo is not None else date.replace(tzinfo=UTC)
    return max(0.0, (aware - now).total_seconds())
