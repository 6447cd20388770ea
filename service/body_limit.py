"""Refuses bodies that are too large, or too slow, while they arrive, before they fill memory or hold a place for long.

Starlette has a limit of size too, but answers in plain text whatever the application's form of errors is.
"""

from __future__ import annotations

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from uwe_core.errors import LimitError, SlowBodyError

# The methods of whole target spaces, and of many targets at once; the door lets only admins use them.
_UPLOADS = frozenset({"PUT", "PATCH"})


class BodyLimitMiddleware:
    """Raises where the application reads the body, so that its own handlers answer."""

    def __init__(self, app: ASGIApp, max_bytes: int, max_upload_bytes: int, seconds: float) -> None:
        self.app = app
        self.max_bytes = max_bytes
        self.max_upload_bytes = max_upload_bytes
        self.seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        most = self.max_upload_bytes if scope["method"] in _UPLOADS else self.max_bytes
        received = 0
        complete = False
        deadline = asyncio.get_running_loop().time() + self.seconds

        async def receive_some() -> Message:
            nonlocal received, complete
            if complete:  # what comes now is that the client goes away, however late
                return await receive()
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
            except TimeoutError:
                raise SlowBodyError(f"the body did not arrive within {self.seconds:g} seconds") from None
            received += len(message.get("body", b""))
            if received > most:
                raise LimitError(f"the body is larger than {most} bytes")
            complete = not message.get("more_body", False)
            return message

        await self.app(scope, receive_some, send)
