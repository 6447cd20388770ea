"""Every error a client raises, as one tree.

ClientError
├── NoAnswerError          no connection, or it broke before the answer was there
│   └── TimedOutError      the answer took longer than the client waits
├── InvalidResponseError   what answered is not this service, or of another version
├── RefusedError           the request will not be answered as it stands (4xx)
│   ├── UnauthorisedError  the key is missing, unknown, or may not do this (401, 403)
│   ├── UnknownTaskError   no task of that name (404)
│   ├── UnknownSpaceError  no target space of that name (404)
│   ├── ConflictError      another version is live than the one named, or a space cannot be changed (409)
│   └── TooLargeError      more queries, or longer ones, than one request may hold (413)
├── JobFailedError         a change of a space was accepted, and could not be made
├── UnavailableError       not now: try again later (429, 502, 503, 504)
└── ServerFaultError       a fault of the server; its log has it under the request id (other 5xx)

A tree apart from `uwe_core.errors`: this one tells what came over the wire.
"""

from __future__ import annotations


class ClientError(Exception):
    """Root of the tree; never raised itself.

    Attributes:
        message: what went wrong, in the server's words where it answered.
        status: of HTTP; None where there was no answer.
        code: of docs/service.md where the service answered, else the client's own word.
        request_id: under which the server's log knows the request.
        retry_after: seconds after which the server asked to come again, where it did.
    """

    def __init__(
        self, message: str, status: int | None, code: str, request_id: str, retry_after: float | None = None
    ) -> None:
        super().__init__(message, status, code, request_id, retry_after)  # all of it, so that copies can be pickled
        self.message = message
        self.status = status
        self.code = code
        self.request_id = request_id
        self.retry_after = retry_after

    def __str__(self) -> str:
        answer = f"{self.status} {self.code}" if self.status is not None else self.code
        return f"{self.message} ({answer}, request {self.request_id})"


class NoAnswerError(ClientError):
    """There was no connection, or it broke before the answer was there."""


class TimedOutError(NoAnswerError):
    """The answer took longer than the client waits."""


class InvalidResponseError(ClientError):
    """What answered is not this service, or another version of it."""


class RefusedError(ClientError):
    """The request will not be answered as it stands."""


class UnauthorisedError(RefusedError):
    """The key is missing, unknown, or may not do this."""


class UnknownTaskError(RefusedError):
    """There is no task of that name."""


class UnknownSpaceError(RefusedError):
    """There is no target space of that name."""


class ConflictError(RefusedError):
    """What is there now does not fit what was asked for; the message says what is there."""


class JobFailedError(ClientError):
    """A change of a space was accepted, and could not be made; the space is as it was."""


class TooLargeError(RefusedError):
    """More queries, or longer ones, than one request may hold."""


class UnavailableError(ClientError):
    """The server, or what stands before it, cannot take the work now."""


class ServerFaultError(ClientError):
    """A fault of the server."""
