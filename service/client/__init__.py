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
from service.client.exchange import RankOptions
from service.client.results import (
    Contribution,
    EmbeddedText,
    Embeddings,
    IndexSummary,
    ModelSummary,
    QueryResult,
    RankedText,
    Rankings,
    Readiness,
    ScoreExplanation,
    Target,
    Task,
    Token,
    Truncated,
)
from service.client.retries import Retries

__all__ = [
    "AsyncUweClient",
    "ClientError",
    "Contribution",
    "EmbeddedText",
    "Embeddings",
    "IndexSummary",
    "InvalidResponseError",
    "ModelSummary",
    "NoAnswerError",
    "QueryResult",
    "RankOptions",
    "RankedText",
    "Rankings",
    "Readiness",
    "RefusedError",
    "Retries",
    "ScoreExplanation",
    "ServerFaultError",
    "Target",
    "Task",
    "TimedOutError",
    "Token",
    "TooLargeError",
    "Truncated",
    "UnauthorisedError",
    "UnavailableError",
    "UnknownTaskError",
    "UweClient",
]
