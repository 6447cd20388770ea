"""What uvicorn leaves open of a connection: how many there are, how large headers are, how slowly a request arrives.

The application sees a request only once its headers are complete, so these limits cannot be kept there.
"""

from __future__ import annotations

import asyncio
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from service.ndjson import is_stream
from service.settings import Settings

# The application answers a slow body with 408 first; after that long the connection is closed without a word.
_GRACE_SECONDS = 1.0


class ServerConfig(uvicorn.Config):
    """Uvicorn's configuration, and ours beside it for the connections."""

    def __init__(self, settings: Settings, app: Any, **options: Any) -> None:
        super().__init__(app, http=Connection, **options)
        self.settings = settings


class Connection(HttpToolsProtocol):
    """One connection of HTTP/1.1 with limits. Those of uvicorn itself: five seconds of silence between requests."""

    def __init__(self, config: ServerConfig, **options: Any) -> None:
        super().__init__(config, **options)
        self._settings = config.settings
        self._timer: asyncio.TimerHandle | None = None
        self._in_headers = False
        self._header_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client is there; new ones are turned away so that those who are in can go on."""
        super().connection_made(transport)
        if len(self.connections) > self._settings.max_connections:
            transport.abort()
            return
        self._close_in(self._settings.header_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Some bytes came: of headers only so many, and only so slowly."""
        if self._in_headers:
            self._header_bytes += len(data)
        super().data_received(data)
        if self._in_headers and not self.transport.is_closing():
            if self._header_bytes > self._settings.max_header_bytes:
                self.send_400_response("The headers are too large.")
            elif self._timer is None:
                self._close_in(self._settings.header_seconds)

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._in_headers = True
        self._header_bytes = 0

    def on_headers_complete(self) -> None:
        """The body begins.

        Raises:
            ValueError: the headers are too large; uvicorn answers 400 and closes.
        """
        self._in_headers = False
        if len(self.url) + sum(len(name) + len(value) for name, value in self.headers) > (
            self._settings.max_header_bytes
        ):
            raise ValueError("headers too large")
        self._stop_timer()
        super().on_headers_complete()
        if not is_stream(self.scope["path"], self.scope["headers"]):  # its reader knows when it waits
            self._close_in(self._settings.body_seconds + _GRACE_SECONDS)

    def on_message_complete(self) -> None:
        """The request has arrived."""
        self._stop_timer()
        super().on_message_complete()

    def _close_in(self, seconds: float) -> None:
        self._stop_timer()
        self._timer = self.loop.call_later(seconds, self.transport.close)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
