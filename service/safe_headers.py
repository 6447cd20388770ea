"""Headers that tell browsers to do little with an answer."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.playground import is_playground

_ALWAYS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),  # answers belong to one caller's key
)
_JSON_POLICY = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")
# FastAPI's pages load their viewers from these hosts, start them by a script in the page, and read /openapi.json.
_PAGE_POLICY = (
    b"content-security-policy",
    b"default-src 'none'; frame-ancestors 'none'; connect-src 'self'; worker-src blob:; "
    b"script-src 'unsafe-inline' https://cdn.jsdelivr.net; "
    b"style-src 'unsafe-inline' https://cdn.jsdelivr.net https://fonts.googleapis.com; "
    b"font-src https://fonts.gstatic.com; img-src data: https://fastapi.tiangolo.com https://cdn.redoc.ly",
)
_PAGES = frozenset({"/docs", "/docs/oauth2-redirect", "/redoc"})
# The playground loads nothing from elsewhere, and no script or style stands in its page.
_PLAYGROUND_POLICY = (
    b"content-security-policy",
    b"default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'; connect-src 'self'; "
    b"script-src 'self'; style-src 'self'; img-src 'self'",
)


class SafeHeadersMiddleware:
    """Adds them to every answer; only the pages for people may run scripts."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        policy = _policy(scope["path"])

        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *_ALWAYS, policy]
            await send(message)

        await self.app(scope, receive, send_safely)


def _policy(path: str) -> tuple[bytes, bytes]:
    if is_playground(path):
        return _PLAYGROUND_POLICY
    return _PAGE_POLICY if path in _PAGES else _JSON_POLICY
