"""Lets a request in by its key, before anything of its body is read.

Every path needs the scope `rank` unless it is named here, so a route that somebody adds is closed until it is opened.
To change spaces, and to see how far that is, takes the scope `admin`.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as Connection

from service.errors import error_response
from service.keys import ANONYMOUS, UNKNOWN, KeyRing, Scope, presented_keys
from service.playground import is_playground
from service.rate_limit import Clock, TokenBucket
from service.settings import Settings, is_loopback
from uwe_core.errors import AccessError, ScopeError, UnknownKeyError

_OPEN_PATHS = frozenset({"/healthz", "/readyz", "/openapi.json", "/docs", "/docs/oauth2-redirect", "/redoc"})
_METRICS_PATH = "/metrics"
_SPACES = "/spaces"
_JOBS = "/jobs"
_READING = frozenset({"GET", "HEAD"})


def _names_loopback(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether the request was sent to a loopback address, by its header `Host`."""
    hosts = [value.decode("latin-1") for name, value in headers if name == b"host"]
    if len(hosts) != 1:
        return False
    try:
        name = urlsplit(f"//{hosts[0]}").hostname
    except ValueError:
        return False
    return name is not None and is_loopback(name)


def is_open(path: str) -> bool:
    """Whether a path needs no key, unless settings close it."""
    return path in _OPEN_PATHS or path == _METRICS_PATH or is_playground(path)


@dataclass(frozen=True)
class Caller:
    """Who sends a request, what they may, and how often."""

    name: str
    scopes: frozenset[Scope]
    bucket: TokenBucket | None


class Callers:
    """Everybody who may come in."""

    def __init__(self, settings: Settings, clock: Clock = time.monotonic) -> None:
        def bucket(rate: float | None) -> TokenBucket | None:
            return TokenBucket(rate, clock) if rate is not None else None

        self._ring = KeyRing(settings.api_keys) if settings.api_keys else None
        self._by_name = {
            key.name: Caller(key.name, key.scopes, bucket(key.rate_per_minute)) for key in settings.api_keys
        }
        self._anonymous = None
        if settings.admits_anonymous:
            self._anonymous = Caller(ANONYMOUS, settings.anonymous_scopes, bucket(settings.anonymous_rate_per_minute))

    def identify(self, presented: set[bytes]) -> Caller:
        """Who presents these keys; where none is configured nobody looks at them.

        Raises:
            UnknownKeyError: none is presented and one is needed, several are, or it is not known.
        """
        if self._ring is None or not presented:
            if self._anonymous is None:
                raise UnknownKeyError("a key is needed: 'Authorization: Bearer KEY', or 'X-API-Key: KEY'")
            return self._anonymous
        if len(presented) > 1:
            raise UnknownKeyError("several different keys; a request has one")
        return self._by_name[self._ring.find(*presented).name]


class AuthenticationMiddleware:
    """Identifies the caller, checks scope and rate, and leaves the caller's name (never the key) in the state."""

    def __init__(self, app: ASGIApp, callers: Callers, metrics_scope: Scope | None) -> None:
        self.app = app
        self.callers = callers
        self.metrics_scope = metrics_scope

    async def __call__(self, scope: Connection, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        needed = self._needed(scope["method"], scope["path"]) if scope["type"] == "http" else None
        if needed is not None:
            try:
                self._admit(scope, needed)
            except AccessError as error:
                await error_response(scope["state"]["request_id"], error)(scope, receive, send)
                return
        await self.app(scope, receive, send)

    def _needed(self, method: str, path: str) -> Scope | None:
        if path in _OPEN_PATHS or is_playground(path):
            return None
        if path == _METRICS_PATH:
            return self.metrics_scope
        changes_spaces = path.startswith(_SPACES) and method not in _READING
        return "admin" if changes_spaces or path == _JOBS or path.startswith(f"{_JOBS}/") else "rank"

    def _admit(self, scope: Connection, needed: Scope) -> None:
        state = scope["state"]
        state["key_name"] = UNKNOWN
        caller = self.callers.identify(presented_keys(scope["headers"]))
        state["key_name"] = caller.name
        if caller.bucket is not None:
            caller.bucket.take()
        if needed == "admin" and caller.name == ANONYMOUS and not _names_loopback(scope["headers"]):
            # A page in a browser can name this machine as its own, and then send what it likes: rebinding of names.
            raise ScopeError("without keys, spaces are changed at a loopback address alone, such as 127.0.0.1")
        if needed not in caller.scopes:
            raise ScopeError(f"this needs a key with the scope '{needed}'")
