"""API keys: made here, configured as digests, and found again by what a request presents.

A key is 256 random bits, so nobody can guess it from its digest: plain SHA-256 at rest is enough, and costs a request a
microsecond. Slow hashes are for passwords, which people choose.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable, Sequence
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

from uwe_core.errors import UnknownKeyError

Scope = Literal["rank", "admin"]
SCOPES: Final[tuple[Scope, ...]] = ("rank", "admin")
# What logs and metrics call requests without a key, and those whose key nobody configured.
ANONYMOUS: Final = "anonymous"
UNKNOWN: Final = "unknown"
# Lets scanners of repositories and logs tell a key of ours.
_PREFIX = "uwe_"
_RANDOM_BYTES = 32
_BEARER = b"bearer "
# With its beginning, or the random part alone.
_KEY_FORM = re.compile(rb"uwe_|\A[A-Za-z0-9_-]{43}\Z", re.IGNORECASE)


class ApiKey(BaseModel):
    """A key as it is configured: everything but the key."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    scopes: frozenset[Scope] = Field(default=frozenset({"rank"}), min_length=1)
    rate_per_minute: float | None = Field(default=None, gt=0, allow_inf_nan=False)

    @field_validator("name")
    @classmethod
    def _not_reserved(cls, name: str) -> str:
        if name in (ANONYMOUS, UNKNOWN):
            raise ValueError(f"'{name}' is what requests without a known key are called")
        return name


def new_key() -> str:
    """A key of 256 random bits, as text for a header."""
    return _PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)


def digest(key: bytes) -> bytes:
    """What is kept of a key, 32 bytes."""
    return hashlib.sha256(key).digest()


def looks_like_key(text: bytes) -> bool:
    """Whether something a caller sent may be one of our keys, known here or not, or hold one."""
    return _KEY_FORM.search(text) is not None


def presented_keys(headers: Iterable[tuple[bytes, bytes]]) -> set[bytes]:
    """The distinct keys in a request's headers (names in lower case): `X-API-Key` and `Authorization: Bearer`."""
    found = set()
    for name, value in headers:
        if name == b"x-api-key":
            found.add(value.strip())
        elif name == b"authorization" and value[: len(_BEARER)].lower() == _BEARER:
            found.add(value[len(_BEARER) :].strip())
    return found


class KeyRing:
    """The configured keys, searched in a time that tells nothing of them."""

    def __init__(self, keys: Sequence[ApiKey]) -> None:
        self._keys = [(bytes.fromhex(key.sha256), key) for key in keys]

    def knows(self, presented: bytes) -> bool:
        """Whether this is one of the configured keys."""
        try:
            self.find(presented)
        except UnknownKeyError:
            return False
        return True

    def find(self, presented: bytes) -> ApiKey:
        """The configured key that this is.

        Raises:
            UnknownKeyError: none.
        """
        given = digest(presented)
        found = None
        for known, key in self._keys:  # all of them, wherever the right one stands
            if hmac.compare_digest(known, given):
                found = key
        if found is None:
            raise UnknownKeyError("this key is not known here")
        return found
