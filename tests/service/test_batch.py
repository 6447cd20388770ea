"""`POST /rank/{task}/batch`: an answer or an error for each item, in JSON, and line by line while they arrive."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import ClientDisconnect

from service.app import create_app
from service.ndjson import NDJSON, ArrivingBody, lines, relay
from service.schemas.batch import BatchResponse
from service.settings import Settings
from tests.service.conftest import FakeRanker
from uwe_core.errors import SlowBodyError

ITEMS: list[Any] = [
    {"id": "a", "query": "nurse", "top_k": 1},
    {"id": 2, "query": ""},
    {"query": "weld", "top_k": 1, "filter": {"parity": "odd"}},
    {"id": "z", "query": "weld", "topk": 3},
    "nurse",
    {"id": "y", "query": "a" * 51},
    {"id": "x", "query": "nurse", "filter": {"colour": "red"}},
    {"id": "\ud800", "query": "nul\x00"},
    {"id": 10**30, "query": "nurse", "top_k": 1, "exclude": ["T5"]},
    {"id": ["list"], "query": "nurse"},
]
EXPECTED: list[tuple[Any, Any]] = [
    ("a", ["T5"]), (2, "empty_text"), (None, ["T3"]), ("z", "invalid_request"), (None, "invalid_request"),
    ("y", "too_large"), ("x", "invalid_input"), (None, "invalid_request"), (None, ["T4"]), (None, "invalid_request"),
]  # fmt: skip


def told(results: list[Any]) -> list[tuple[Any, Any]]:
    """Ids with targets or the code of the error."""
    return [
        (each["id"], each["error"]["code"] if each["error"] else [target["id"] for target in each["result"]["targets"]])
        for each in results
    ]


@pytest.fixture
def client(ranker: FakeRanker) -> Iterator[TestClient]:
    settings = Settings(max_query_chars=50, max_batch_items=12, batch_in_flight=3, max_body_bytes=2000, max_waiting=2)
    with TestClient(create_app(settings, ranker), raise_server_exceptions=False) as client:
        yield client


def test_each_item_of_a_batch_has_an_answer_or_an_error_of_its_own(client: TestClient) -> None:
    response = client.post(
        "/rank/job2skill/batch", content=json.dumps({"items": ITEMS}), headers={"Content-Type": "application/json"}
    )
    assert response.status_code == 200
    assert told(response.json()["results"]) == EXPECTED
    BatchResponse.model_validate(response.json())
    alone = client.post("/rank/job2skill", json={"query": "nurse", "top_k": 1}).json()
    assert response.json()["results"][0]["result"] == alone["results"][0]
    assert (response.json()["model"], response.json()["index"]) == (alone["model"], alone["index"])


def test_lines_are_answered_in_order_with_their_numbers(client: TestClient) -> None:
    written = [json.dumps(item).encode() for item in ITEMS]
    body = b"\n".join([*written[:3], b"  ", b"{nonsense", b'{"query": "\xff"}', b"x" * 2001, *written[3:]])
    pieces = [body[place : place + 700] for place in range(0, len(body), 700)]
    response = client.post("/rank/job2skill/batch", content=iter(pieces), headers={"Content-Type": NDJSON})
    assert (response.status_code, response.headers["content-type"]) == (200, NDJSON)
    assert response.headers["x-index-fingerprint"] == "b" * 64
    answers = [json.loads(line) for line in response.content.splitlines()]
    assert [answer["line"] for answer in answers] == [1, 2, 3, 5, 6, *range(7, 15)]
    bad = [(None, "invalid_input"), (None, "invalid_input"), (None, "too_large")]
    strict = [(None, "invalid_input"), (None, "invalid_request")]  # surrogates and numbers beyond 64 bits
    assert told(answers) == [*EXPECTED[:3], *bad, *EXPECTED[3:7], *strict, *EXPECTED[9:]]
    assert "not JSON" in answers[3]["error"]["message"]


def test_more_items_than_may_wait_are_answered_all_the_same(client: TestClient) -> None:
    body = "".join(json.dumps({"id": number, "query": "a" * (number % 40 + 1)}) + "\n" for number in range(200))
    response = client.post("/rank/job2skill/batch", content=iter([body.encode()]), headers={"Content-Type": NDJSON})
    answers = [json.loads(line) for line in response.content.splitlines()]
    assert [(answer["id"], answer["error"]) for answer in answers] == [(number, None) for number in range(200)]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [({}, 422, "invalid_request"), ({"items": []}, 422, "invalid_request"), ({"items": ITEMS * 2}, 413, "too_large")],
)
def test_what_is_no_batch_is_refused(client: TestClient, body: Any, status: int, code: str) -> None:
    content = json.dumps(body)
    response = client.post("/rank/job2skill/batch", content=content, headers={"Content-Type": "application/json"})
    assert (response.status_code, response.json()["error"]["code"]) == (status, code)


@pytest.mark.parametrize("kind", ["application/json", NDJSON])
def test_an_unknown_task_is_refused_whole(client: TestClient, kind: str) -> None:
    content = b'{"items": [{"query": "a"}]}'
    response = client.post("/rank/nonsense/batch", content=content, headers={"Content-Type": kind})
    assert (response.status_code, response.json()["error"]["code"]) == (404, "unknown_task")


def test_only_a_batch_may_be_a_stream(client: TestClient) -> None:
    response = client.post("/rank/job2skill", content=b"x" * 3000, headers={"Content-Type": NDJSON})
    assert response.status_code == 413


def test_a_fault_of_one_item_is_its_own_and_says_nothing_of_the_inside(client: TestClient, ranker: FakeRanker) -> None:
    ranker.poison = "poison"
    body = {"items": [{"query": "poison"}, {"query": "nurse", "top_k": 1}]}
    first, second = client.post("/rank/job2skill/batch", json=body).json()["results"]
    assert (first["error"]["code"], "poisoned" in first["error"]["message"]) == ("internal_error", False)
    assert second["result"]["query"] == "nurse"


async def chunked(chunks: list[bytes]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


@given(
    st.lists(st.binary(max_size=6) | st.sampled_from([b"\n", b"ab\n", b"abcdefgh\n"]), max_size=9), st.integers(1, 9)
)
def test_lines_are_those_of_the_whole_body(chunks: list[bytes], longest: int) -> None:
    async def read() -> list[tuple[int, bytes, bool]]:
        return [(line.number, line.content, line.error is not None) async for line in lines(chunked(chunks), longest)]

    whole = b"".join(chunks).split(b"\n")
    assert asyncio.run(read()) == [
        (number, b"" if len(line) > longest else line.strip(), len(line) > longest)
        for number, line in enumerate(whole, start=1)
        if line.strip() or len(line) > longest
    ]


def test_a_body_that_stops_coming_ends_with_an_error_of_its_line() -> None:
    async def stops() -> AsyncIterator[bytes]:
        yield b"1\n2"
        raise SlowBodyError("the body did not arrive")

    async def read() -> list[Any]:
        return [line async for line in lines(stops(), 9)]

    first, last = asyncio.run(read())
    assert (first.content, first.error, last.number, type(last.error)) == (b"1", None, 2, SlowBodyError)


def test_no_more_is_read_than_may_be_under_way_and_answers_keep_their_order() -> None:
    read: list[int] = []
    sent: list[bytes] = []

    async def main() -> None:
        taken = asyncio.Semaphore(0)

        async def items() -> AsyncIterator[int]:
            for number in range(10):
                read.append(number)
                yield number

        async def answer(item: int) -> bytes:
            await asyncio.sleep(0.001 * (10 - item))  # later ones are done sooner
            return b"%d" % item

        async def send(line: bytes) -> None:
            await taken.acquire()
            sent.append(line)

        relaying = asyncio.create_task(relay(items(), answer, send, 3))
        await asyncio.sleep(0.1)
        assert read == [0, 1, 2, 3]  # the fourth waits for room
        assert sent == []
        for number in range(10):
            taken.release()
            await asyncio.sleep(0.02)
            assert len(read) <= number + 6
        await relaying

    asyncio.run(main())
    assert sent == [b"%d" % number for number in range(10)]


def test_a_client_that_goes_away_cancels_what_is_under_way() -> None:
    cancelled: list[int] = []

    async def items() -> AsyncIterator[int]:
        for number in range(2):
            yield number
        await asyncio.sleep(60)

    async def answer(item: int) -> bytes:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.append(item)
            raise
        return b""

    async def send(_: bytes) -> None:
        raise AssertionError

    async def leaves() -> None:
        await asyncio.sleep(0.01)
        raise ClientDisconnect

    with pytest.raises(ClientDisconnect):
        asyncio.run(relay(items(), answer, send, 5, leaves()))
    assert sorted(cancelled) == [0, 1]


def test_a_body_is_read_ahead_within_bounds_and_its_end_is_noticed_before_it_is_used() -> None:
    async def main() -> tuple[int, int]:
        messages = [{"type": "http.request", "body": b"1234\n", "more_body": True}] * 50
        received = 0

        async def receive() -> Any:
            nonlocal received
            received += 1
            return messages[received - 1] if received <= len(messages) else {"type": "http.disconnect"}

        body = ArrivingBody(receive, 5, ahead=20)
        reading = asyncio.create_task(body.read())
        await asyncio.sleep(0.01)
        before = received
        chunks = body.chunks()
        for _ in range(47):
            assert await anext(chunks) == b"1234\n"
        with pytest.raises(ClientDisconnect):  # three chunks were not used
            await reading
        return before, received

    assert asyncio.run(main()) == (4, 51)


def test_a_body_that_does_not_come_is_too_slow() -> None:
    async def main() -> None:
        async def receive() -> Any:
            await asyncio.sleep(60)

        with pytest.raises(SlowBodyError, match=r"within 0\.01 seconds"):
            await ArrivingBody(receive, 0.01).begin()
        with pytest.raises(SlowBodyError):
            await anext(ArrivingBody(receive, 0.01).chunks())

    asyncio.run(main())


def test_lines_are_answered_while_others_are_still_to_come_and_a_client_may_leave(ranker: FakeRanker) -> None:
    """The application by hand: the second line is sent when the answer to the first is there."""
    application = create_app(Settings(body_seconds=5), ranker)
    state = application.state.service
    scope = {
        "type": "http", "method": "POST", "path": "/rank/job2skill/batch", "raw_path": b"", "query_string": b"",
        "headers": [(b"content-type", NDJSON.encode())], "http_version": "1.1", "scheme": "http",
    }  # fmt: skip

    async def main() -> list[Any]:
        arriving: asyncio.Queue[Any] = asyncio.Queue()
        sent: list[Any] = []
        answered = asyncio.Event()

        async def send(message: Any) -> None:
            sent.append(message)
            if message.get("body"):
                answered.set()

        async with application.router.lifespan_context(application):
            serving = asyncio.create_task(application(scope, arriving.get, send))
            for query in ("nurse", "weld"):
                answered.clear()
                line = json.dumps({"query": query, "top_k": 1}).encode() + b"\n"
                arriving.put_nowait({"type": "http.request", "body": line, "more_body": True})
                await asyncio.wait_for(answered.wait(), 10)
            ranker.release.clear()
            body = b'{"query": "left"}\n'
            arriving.put_nowait({"type": "http.request", "body": body, "more_body": True})
            while state.metrics.waiting._value.get() < 1:
                await asyncio.sleep(0.001)
            arriving.put_nowait({"type": "http.disconnect"})
            await asyncio.wait_for(serving, 10)
            assert state.metrics.waiting._value.get() == 0
            ranker.release.set()
        return sent

    start, *bodies = asyncio.run(main())
    assert start["status"] == 200
    assert [json.loads(message["body"])["result"]["query"] for message in bodies] == ["nurse", "weld"]
