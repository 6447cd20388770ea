"""A client of the ranking service. Needs httpx alone (the extra `client`), and nothing of the service itself."""

from __future__ import annotations

from service.client.asynchronous import AsyncUweClient
from service.client.blocking import UweClient
from service.client.errors import (
    ClientError,
    ConflictError,
    InvalidResponseError,
    JobFailedError,
    NoAnswerError,
    RefusedError,
    ServerFaultError,
    TimedOutError,
    TooLargeError,
    UnauthorisedError,
    UnavailableError,
    UnknownSpaceError,
    UnknownTaskError,
)
from service.client.exchange import RankOptions
from service.client.results import (
    Contribution,
    EmbeddedText,
    Embeddings,
    IndexSummary,
    Job,
    ModelSummary,
    QueryResult,
    RankedText,
    Rankings,
    Readiness,
    ScoreExplanation,
    Space,
    Target,
    Task,
    Token,
    Truncated,
)
from service.client.retries import Retries
from service.client.space_calls import SpaceFacts, Targets

__all__ = [
    "AsyncUweClient",
    "ClientError",
    "ConflictError",
    "Contribution",
    "EmbeddedText",
    "Embeddings",
    "IndexSummary",
    "InvalidResponseError",
    "Job",
    "JobFailedError",
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
    "Space",
    "SpaceFacts",
    "Target",
    "Targets",
    "Task",
    "TimedOutError",
    "Token",
    "TooLargeError",
    "Truncated",
    "UnauthorisedError",
    "UnavailableError",
    "UnknownSpaceError",
    "UnknownTaskError",
    "UweClient",
]
