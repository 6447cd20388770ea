"""The body of every error."""

from __future__ import annotations

from service.schemas.body import Body


class ErrorDetail(Body):
    """What went wrong."""

    code: str
    message: str
    request_id: str


class ErrorResponse(Body):
    """The body of every error."""

    error: ErrorDetail
