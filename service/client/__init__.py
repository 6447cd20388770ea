"""A client of the ranking service. Needs httpx alone (the extra `client`), and nothing of the service itself."""

from __future__ import annotations

from service.client.asynchronous import AsyncUweClient
from service.client.blocking import UweClient
from service.client.errors import (
    ClientError,
    InvalidResponseError,
    NoAnswerError,
    RefusedError,
    ServerFaultError,
    TimedOutError,
    TooLargeError,
    UnauthorisedError,
    UnavailableError,
    UnknownTaskError,
)
from service.client.results import IndexSummary, ModelSummary, QueryResult, Rankings, Readiness, Target, Task, Truncated
from service.client.retries import Retries

__all__ = [
    "AsyncUweClient",
    "ClientError",
    "IndexSummary",
    "InvalidResponseError",
    "ModelSummary",
    "NoAnswerError",
    "QueryResult",
    "Rankings",
    "Readiness",
    "RefusedError",
    "Retries",
    "ServerFaultError",
    "Target",
    "Task",
    "TimedOutError",
    "TooLargeError",
    "Truncated",
    "UnauthorisedError",
    "UnavailableError",
    "UnknownTaskError",
    "UweClient",
]
