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
from service.client.exchange import ExtractOptions, RankItem, RankOptions
from service.client.results import (
    BatchResult,
    BatchResults,
    Contribution,
    Evidence,
    ExtractedSkill,
    Extraction,
    IndexSummary,
    ItemError,
    ModelSummary,
    QueryResult,
    Rankings,
    Readiness,
    ScoreExplanation,
    Target,
    Task,
    Token,
    Truncated,
    Word,
)
from service.client.retries import Retries

__all__ = [
    "AsyncUweClient",
    "BatchResult",
    "BatchResults",
    "ClientError",
    "Contribution",
    "Evidence",
    "ExtractOptions",
    "ExtractedSkill",
    "Extraction",
    "IndexSummary",
    "InvalidResponseError",
    "ItemError",
    "ModelSummary",
    "NoAnswerError",
    "QueryResult",
    "RankItem",
    "RankOptions",
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
    "Word",
]
