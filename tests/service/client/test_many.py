"""Many queries, in batches that are asked at once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service import client as uwe
from service.client import batches
from tests.service.client.servers import ranked

_QUERIES = ["bbb", "a", "long bbb", "cc", "dddd", "e", "ff"]


def test_many_queries_come_back_in_order(blocking: uwe.UweClient) -> None:
    results = list(blocking.rank_many("job2skill", iter(_QUERIES), top_k=1, batch_size=2, concurrency=3))
    assert [result.query for result in results] == _QUERIES
    assert [result.targets[0].id for result in results] == [f"T{len(query)}" for query in _QUERIES]


def test_no_more_queries_are_read_than_are_asked_at_once() -> None:
    read: list[str] = []
    most = 0

    def queries() -> Iterator[str]:
        for number in range(40):
            read.append(str(number))
            yield str(number)

    def handle(request: httpx.Request) -> httpx.Response:
        return ranked(*httpx.Response(200, content=request.content).json()["queries"])

    with uwe.UweClient(transport=httpx.MockTransport(handle)) as client:
        for number, result in enumerate(client.rank_many("t", queries(), batch_size=3, concurrency=4)):
            assert result.query == str(number)
            most = max(most, len(read) - number)
    assert most == 12


def test_requests_of_many_queries_are_sent_at_once() -> None:
    together = threading.Barrier(3, timeout=20)  # breaks unless three requests meet

    def handle(request: httpx.Request) -> httpx.Response:
        together.wait()
        return ranked(*httpx.Response(200, content=request.content).json()["queries"])

    with uwe.UweClient(transport=httpx.MockTransport(handle)) as client:
        assert len(list(client.rank_many("t", ["abcdef"] * 6, batch_size=2, concurrency=3))) == 6


def test_an_error_among_many_says_where_its_batch_began(blocking: uwe.UweClient) -> None:
    results = blocking.rank_many("job2skill", ["a", "b", "c", " "], batch_size=2)
    assert [next(results).query, next(results).query] == ["a", "b"]
    with pytest.raises(uwe.RefusedError, match="text 1 is empty") as raised:
        next(results)
    assert raised.value.__notes__ == ["positions of texts are counted from query 2"]


@pytest.mark.parametrize(("queries", "size", "error"), [("nurse", 2, TypeError), (["nurse"], 0, ValueError)])
def test_one_text_is_not_many_queries_and_no_batch_is_empty(queries: Any, size: int, error: Any) -> None:
    with pytest.raises(error):
        list(batches.batches(queries, size, 1))


@given(st.lists(st.text(max_size=3), max_size=20), st.integers(1, 7))
def test_batches_are_the_queries_in_parts(queries: list[str], size: int) -> None:
    parts = list(batches.batches(iter(queries), size, 1))
    assert [query for _, part in parts for query in part] == queries
    assert [start for start, _ in parts] == list(range(0, len(queries), size))
    assert all(0 < len(part) <= size for _, part in parts)
