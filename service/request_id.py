"""The id of a request: the caller's own where it is harmless, else a random one; known to whatever runs for it."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable
from contextvars import ContextVar
from typing import Final

from service.keys import KeyRing, looks_like_key, presented_keys

REQUEST_ID_HEADER: Final = "X-Request-ID"
# Of the request that the running task or thread works for; None outside of any.
current_request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
_NAME = REQUEST_ID_HEADER.lower().encode()
_HARMLESS = re.compile(rb"[A-Za-z0-9._-]{1,64}")


def request_id_of(headers: Iterable[tuple[bytes, bytes]], ring: KeyRing) -> str:
    """The id of a request with these headers (names in lower case).

    A caller's own is written into logs and answers, so one that could be a key, or could not stand in a line, is not
    taken.
    """
    headers = list(headers)
    given = next((value for name, value in headers if name == _NAME and _HARMLESS.fullmatch(value)), None)
    if given is None or looks_like_key(given) or given in presented_keys(headers) or ring.knows(given):
        return uuid.uuid4().hex
    return given.decode()
