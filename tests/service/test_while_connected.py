"""A client that goes away: what it asked for is dropped, and nobody else notices."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.requests import ClientDisconnect, Request

from service.app import create_app
from service.settings import Settings
from service.while_connected import while_connected
from tests.service.conftest import FakeRanker


class Client:
    """One connection to the application, by hand, so that it can be closed before the answer."""

    def __init__(
        self, application: FastAPI, query: str, path: str = "/rank/job2skill", body: dict[str, Any] | None = None
    ) -> None:
        self.gone = asyncio.Event()
        self.sent: list[Any] = []
        self._body = [json.dumps(body or {"query": query}).encode()]
        headers = [(b"content-type", b"application/json")]
        scope = {
            "type": "http", "method": "POST", "path": path, "raw_path": path.encode(),
            "query_string": b"", "headers": headers, "http_version": "1.1", "scheme": "http",
        }  # fmt: skip
        self.answered = asyncio.create_task(application(scope, self._receive, self._send))

    @property
    def status(self) -> int:
        status: int = self.sent[0]["status"]
        return status

    async def _receive(self) -> dict[str, Any]:
        if self._body:
            return {"type": "http.request", "body": self._body.pop(), "more_body": False}
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        self.sent.append(message)


def test_what_a_client_no_longer_waits_for_is_not_computed(ranker: FakeRanker) -> None:
    application = create_app(Settings(), ranker)
    state = application.state.service

    async def main() -> None:
        async with application.router.lifespan_context(application):
            ranker.release.clear()
            first = Client(application, "first")
            assert await asyncio.to_thread(ranker.started.wait, 20)
            gone, last = Client(application, "gone"), Client(application, "last")
            while state.metrics.waiting._value.get() < 3:
                await asyncio.sleep(0.001)
            gone.gone.set()
            await asyncio.wait_for(gone.answered, 20)
            assert state.metrics.waiting._value.get() == 2
            ranker.release.set()
            await first.answered
            await last.answered
            assert [client.status for client in (first, gone, last)] == [200, 499, 200]
            assert ranker.ranked == ["first", "last"]
            labels = {"task": "job2skill", "status": "499"}
            assert state.metrics.registry.get_sample_value("uwe_request_seconds_count", labels) == 1

    asyncio.run(main())


@pytest.mark.parametrize(
    ("path", "label", "body"),
    [
        ("/embed", "/embed", {"texts": ["gone", "too"]}),
        ("/embed", "/embed", {"inputs": "gone"}),
        ("/rank", "zero-shot", {"query": "gone", "targets": ["too"]}),
        ("/rerank", "/rerank", {"query": "gone", "texts": ["too"]}),
        ("/v2/rerank", "/rerank", {"model": "uwe", "query": "gone", "documents": ["too"]}),
    ],
)
def test_texts_of_a_client_that_is_gone_are_not_encoded(
    ranker: FakeRanker, path: str, label: str, body: dict[str, Any]
) -> None:
    application = create_app(Settings(), ranker)
    state = application.state.service

    async def main() -> None:
        async with application.router.lifespan_context(application):
            ranker.release.clear()
            first = Client(application, "first")
            assert await asyncio.to_thread(ranker.started.wait, 20)
            gone = Client(application, "", path, body)
            while state.loaded.batcher._queue.texts < 1:
                await asyncio.sleep(0.001)
            gone.gone.set()
            await asyncio.wait_for(gone.answered, 20)
            ranker.release.set()
            await first.answered
            assert (gone.status, ranker.ranked) == (499, ["first"])
            labels = {"task": label, "status": "499"}
            assert state.metrics.registry.get_sample_value("uwe_request_seconds_count", labels) == 1

    asyncio.run(main())


def test_a_cancellation_from_elsewhere_stays_one() -> None:
    async def main() -> None:
        gone = asyncio.Event()

        async def receive() -> dict[str, Any]:
            await gone.wait()
            return {"type": "http.disconnect"}

        async def wait() -> None:
            async with while_connected(Request({"type": "http"}, receive)):
                await asyncio.sleep(20)

        cancelled, left = asyncio.create_task(wait()), asyncio.create_task(wait())
        await asyncio.sleep(0)
        cancelled.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cancelled
        gone.set()
        with pytest.raises(ClientDisconnect):
            await left
        assert left.cancelling() == 0

    asyncio.run(main())
