"""Servers for clients: the real application, and ones whose answers are written beforehand."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from fastapi import FastAPI
from fastapi.testclient import TestClient

from service import client as uwe


def forwarded(app: TestClient) -> httpx.MockTransport:
    """Requests of a blocking client to the real application."""

    def handle(request: httpx.Request) -> httpx.Response:
        answer = app.request(
            request.method, str(request.url), content=request.content, headers=dict(request.headers.items())
        )
        return httpx.Response(answer.status_code, headers=dict(answer.headers.items()), content=answer.content)

    return httpx.MockTransport(handle)


@asynccontextmanager
async def asynchronous(app: FastAPI) -> AsyncIterator[uwe.AsyncUweClient]:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        uwe.AsyncUweClient("http://testserver", transport=transport, retries=uwe.Retries(1)) as client,
    ):
        yield client


def failing(*answers: httpx.Response | Exception, **options: Any) -> tuple[uwe.UweClient, list[float], list[Any]]:
    """A client of a server that gives these answers in turn, the waits between attempts, and the requests."""
    waits: list[float] = []
    requests: list[httpx.Request] = []
    rest = iter(answers)

    def handle(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        answer = next(rest)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return uwe.UweClient(transport=httpx.MockTransport(handle), sleep=waits.append, **options), waits, requests


def ranked(*queries: str) -> httpx.Response:
    results: list[dict[str, Any]] = [{"query": query, "targets": [], "truncated": None} for query in queries]
    named = {"name": "m", "fingerprint": "f"}
    body = {"task": "t", "model": named, "index": {"space": "s", "fingerprint": "g"}, "results": results}
    return httpx.Response(200, json=body)


def refused(status: int, code: str = "a_code", **headers: str) -> httpx.Response:
    error = {"code": code, "message": "because", "request_id": "r1"}
    return httpx.Response(status, json={"error": error}, headers=headers)
