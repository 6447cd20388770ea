"""Refuses bodies that are too large while they arrive, before they fill memory.

Starlette has such a limit too, but answers in plain text whatever the application's form of errors is.
"""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from uwe_core.errors import LimitError


class BodyLimitMiddleware:
    """Raises where the application reads the body, so that its own handlers answer."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self.app = app
        self.max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        received = 0

        async def receive_some() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self.max_bytes:
                raise LimitError(f"the body is larger than {self.max_bytes} bytes")
            return message

        await self.app(scope, receive_some if scope["type"] == "http" else receive, send)
