"""A ranker without weights behind the real application."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from fastapi.testclient import TestClient

from service.app import create_app
from service.settings import Settings
from uwe_core.backends.choosing import EncodingSummary, Trial
from uwe_core.encoder import Truncation
from uwe_core.errors import EmptyTextError, InvalidTextError, UnknownTaskError
from uwe_core.ranker import STAGES, RankedTarget, RankerDescription, Rankings, SpaceSummary
from uwe_core.target_space import SpaceInfo
from uwe_core.tasks import standard_tasks
from uwe_core.text import unreadable_reason

TARGETS = 30
ENCODING = EncodingSummary(
    "onnx", "int8", 3, ("avx2", "avx512f"), (Trial("onnx", "int8", {"1x8": 2.0, "16": 30.0}, 1.5, 0.25),)
)


class FakeRanker:
    """Ranks 30 targets by how near their number is to the length of the query.

    Attributes:
        fails: raised by the next ranking, once.
        release: rankings wait until it is set.
        ranked: every query that was computed.
    """

    tasks = standard_tasks("sample")
    description = RankerDescription("fake", "f" * 64, "cpu", ENCODING)

    def __init__(self) -> None:
        self.fails: Exception | None = None
        self.release = threading.Event()
        self.release.set()
        self.started = threading.Event()
        self.ranked: list[str] = []

    def task(self, name: str) -> Any:
        if name not in self.tasks:
            raise UnknownTaskError(name, sorted(self.tasks))
        return self.tasks[name]

    def space_summaries(self) -> dict[str, SpaceSummary]:
        summaries = {}
        for name in ("sample-skills", "sample-jobs"):
            info = SpaceInfo(name=name, licence="CC0-1.0", attribution="by us")
            summaries[name] = SpaceSummary(info, "a" * 64, "b" * 64, "float32", TARGETS, 90, 999)
        return summaries

    def rank(self, task_name: str, queries: Sequence[str], top_k: int | None) -> Rankings:
        self.started.set()
        assert self.release.wait(timeout=20)
        if self.fails is not None:
            error, self.fails = self.fails, None
            raise error
        for position, query in enumerate(queries):
            reason = unreadable_reason(query)
            if reason is not None:
                raise (InvalidTextError if query.strip() else EmptyTextError)(position, reason)
        self.ranked += queries
        cuts = [Truncation(position, 600, 512) for position, query in enumerate(queries) if "long" in query]
        return Rankings([self._best(query, top_k or 10) for query in queries], cuts, dict.fromkeys(STAGES, 0.001))

    @staticmethod
    def _best(query: str, top_k: int) -> list[RankedTarget]:
        order = sorted(range(TARGETS), key=lambda number: (abs(number - len(query)), number))
        return [
            RankedTarget(f"T{number}", f"target {number}", 1.0 / rank, 0.5 / rank, rank, {"number": number})
            for rank, number in enumerate(order[:top_k], start=1)
        ]


@pytest.fixture
def ranker() -> FakeRanker:
    return FakeRanker()


@pytest.fixture
def settings() -> Settings:
    return Settings(max_queries=5, max_query_chars=50, max_top_k=100, max_body_bytes=2000, max_waiting=2)


@pytest.fixture
def client(ranker: FakeRanker, settings: Settings) -> Iterator[TestClient]:
    """The application as a server runs it; faults are answered, not raised."""
    with TestClient(create_app(settings, ranker), raise_server_exceptions=False) as client:
        yield client
