"""The clients: against the real application, and against servers that fail in every way."""

from __future__ import annotations

import asyncio
import pickle
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st

from service import client as uwe
from service.app import create_app
from service.client import batches
from service.client.retries import retry_after_seconds
from service.schemas import batch, embed, explanation, extract, origin, rank, rerank, tokens
from service.settings import Settings
from tests.service.conftest import TARGETS, FakeRanker
from uwe_core.tasks import RankingTask

Handler = Callable[[httpx.Request], httpx.Response]
_QUERIES = ["bbb", "a", "long bbb", "cc", "dddd", "e", "ff"]


def forwarded(app: TestClient) -> httpx.MockTransport:
    """Requests of a blocking client to the real application."""

    def handle(request: httpx.Request) -> httpx.Response:
        answer = app.request(
            request.method, str(request.url), content=request.content, headers=dict(request.headers.items())
        )
        return httpx.Response(answer.status_code, headers=dict(answer.headers.items()), content=answer.content)

    return httpx.MockTransport(handle)


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Room for as many requests as a client sends at once."""
    return settings.model_copy(update={"max_waiting": 16})


@pytest.fixture
def blocking(client: TestClient) -> Iterator[uwe.UweClient]:
    with uwe.UweClient("http://testserver", transport=forwarded(client), retries=uwe.Retries(1)) as blocking:
        yield blocking


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
    results = [{"query": query, "targets": [], "truncated": None} for query in queries]
    named = {"name": "m", "fingerprint": "f"}
    body = {"task": "t", "model": named, "index": {"space": "s", "fingerprint": "g"}, "results": results}
    return httpx.Response(200, json=body)


def refused(status: int, code: str = "a_code", **headers: str) -> httpx.Response:
    error = {"code": code, "message": "because", "request_id": "r1"}
    return httpx.Response(status, json={"error": error}, headers=headers)


def test_rankings_are_what_the_service_says(client: TestClient, blocking: uwe.UweClient) -> None:
    answer = client.post("/rank/job2skill", json={"queries": ["nurse", "long nurse"], "top_k": 2}).json()
    rankings = blocking.rank("job2skill", ["nurse", "long nurse"], top_k=2)
    assert rankings.task == "job2skill"
    assert rankings.model == uwe.ModelSummary(**answer["model"])
    assert rankings.index == uwe.IndexSummary(**answer["index"])
    for result, said in zip(rankings.results, answer["results"], strict=True):
        assert result.query == said["query"]
        assert result.targets == tuple(uwe.Target(**target) for target in said["targets"])
    assert [result.truncated for result in rankings.results] == [None, uwe.Truncated(600, 512)]


def test_explanations_and_parts_of_a_ranking_are_what_the_service_says(
    client: TestClient, blocking: uwe.UweClient
) -> None:
    asked: uwe.RankOptions = {"top_k": 2, "offset": 1, "exclude": ["3"], "explain": True, "filter": {"parity": "odd"}}
    (said,) = client.post("/rank/job2skill", json={"query": "nurse", **asked}).json()["results"]
    (result,) = blocking.rank("job2skill", "nurse", **asked).results
    assert result.query_tokens == tuple(uwe.Token(**token) for token in said["query_tokens"])
    assert [target.id for target in result.targets] == [target["id"] for target in said["targets"]]
    for target, told in zip(result.targets, said["targets"], strict=True):
        assert target.explanation is not None
        assert target.explanation.pairs == tuple(uwe.Contribution(**pair) for pair in told["explanation"]["pairs"])
        assert list(target.explanation.rest) == told["explanation"]["rest"]


def test_targets_that_are_sent_along_are_ranked(words_client: TestClient) -> None:
    targets: list[Any] = ["weld metal", {"id": "n", "text": "nurse", "metadata": {"level": 2}}]
    with uwe.UweClient("http://testserver", transport=forwarded(words_client)) as client:
        rankings = client.rank_targets(["nurse", "weld"], targets, top_k=1)
        assert (rankings.task, rankings.index.space) == ("zero-shot", None)
        assert [result.query for result in rankings.results] == ["nurse", "weld"]
        best = rankings.results[0].targets[0]
        assert (best.id, best.text, best.metadata) == ("n", "nurse", {"level": 2})
        reranked = client.rerank("nurse", ["weld metal", "nurse"])
        assert (reranked[0].index, reranked[0].text) == (1, "nurse")
        assert reranked[0].score == pytest.approx(best.normalised_score, abs=1e-5)
        raw = client.rerank("nurse", ["weld metal", "nurse"], raw_scores=True)
        assert raw[0].score == pytest.approx(best.score, abs=1e-5)
        with pytest.raises(uwe.RefusedError, match=r"texts\[1\] is empty"):
            client.rerank("nurse", ["weld", ""])


def test_embeddings_are_what_the_service_says(words_client: TestClient) -> None:
    with uwe.UweClient("http://testserver", transport=forwarded(words_client)) as client:
        means, tokens = (client.embed(["nurse", "a " * 23], tokens=which) for which in (False, True))
    said = words_client.post("/embed", json={"texts": ["nurse", "a " * 23]}).json()
    assert means.model == uwe.ModelSummary(**said["model"])
    assert (means.dimension, means.normalised) == (said["dimension"], False)
    for mean, of_tokens, result in zip(means.results, tokens.results, said["results"], strict=True):
        assert list(mean.embedding or ()) == pytest.approx(result["embedding"])
        vectors = of_tokens.token_embeddings or ()
        assert len(vectors) == len(of_tokens.tokens or ())
        assert [sum(components) / len(vectors) for components in zip(*vectors, strict=True)] == pytest.approx(
            result["embedding"], abs=1e-5
        )
        assert (mean.tokens, mean.token_embeddings, of_tokens.embedding) == (None, None, None)
    assert [result.truncated for result in means.results] == [None, uwe.Truncated(25, 24)]


@pytest.mark.parametrize(
    ("call", "answer"),
    [
        (lambda client: client.rerank("a", ["b", "c"]), [{"index": 0, "score": 1}, {"index": 0, "score": 0}]),
        (lambda client: client.rerank("a", ["b"]), [{"index": 1, "score": 1}]),
        (lambda client: client.embed("a"), {"model": {}, "dimension": 2, "normalised": False, "results": []}),
    ],
)
def test_answers_about_other_texts_are_none(call: Any, answer: Any) -> None:
    client, _, _ = failing(httpx.Response(200, json=answer))
    with pytest.raises(uwe.InvalidResponseError):
        call(client)


@pytest.mark.parametrize("embedding", ["AAAA", "AACAPwAAgD8AAIA_", "AACAPwAAgD8AAIA/", ""])
def test_vectors_of_another_length_are_refused(embedding: str) -> None:
    result = {"text": "a", "embedding": embedding, "tokens": None, "token_embeddings": None}
    body = {"model": {"name": "m", "fingerprint": "f"}, "dimension": 2, "normalised": False, "results": [result]}
    client, _, _ = failing(httpx.Response(200, json=body))
    with pytest.raises(uwe.InvalidResponseError):
        client.embed("a")


def test_every_option_of_the_service_can_be_asked_for() -> None:
    assert uwe.RankOptions.__annotations__.keys() | {"query", "queries"} == rank.RankRequest.model_fields.keys()
    assert uwe.RankItem.__annotations__.keys() == batch.RankItem.model_fields.keys()
    assert {"text", *uwe.ExtractOptions.__annotations__} == set(extract.ExtractRequest.model_fields)


def test_items_have_answers_or_errors_and_ids_of_their_own(blocking: uwe.UweClient, ranker: FakeRanker) -> None:
    items: list[str | uwe.RankItem] = [
        {"id": "a", "query": "nurse", "top_k": 1},
        "\ud800",
        {"id": 7, "query": "weld", "top_k": 1, "exclude": ("T4",), "filter": {"parity": "odd"}},
        {"query": " "},
        "cc",
    ]
    results = list(blocking.rank_items("job2skill", iter(items), batch_size=2, concurrency=2))
    assert [result.id for result in results] == ["a", None, 7, None, None]
    codes = [result.error and result.error.code for result in results]
    assert codes == [None, "invalid_text", None, "empty_text", None]
    assert [target.id for result in (results[0], results[2]) if result.result for target in result.result.targets] == [
        "T5",
        "T3",
    ]

    async def main() -> list[uwe.BatchResult]:
        async with asynchronous(create_app(Settings(), ranker)) as client:
            return [result async for result in client.rank_items("job2skill", items, batch_size=2)]

    assert asyncio.run(main()) == results
    with pytest.raises(uwe.UnknownTaskError):
        list(blocking.rank_items("nonsense", ["a"]))


def test_the_skills_of_a_vacancy_are_what_the_service_says(
    client: TestClient, blocking: uwe.UweClient, ranker: FakeRanker
) -> None:
    asked: uwe.ExtractOptions = {"top_k": 2, "explain": True, "filter": {"parity": "even"}, "exclude": ["T0"]}
    text = "- weld\n- bake bread"
    said = client.post("/extract", json={"text": text, **asked}).json()
    extraction = blocking.extract(text, **asked)
    assert (extraction.task, extraction.sentences) == (said["task"], said["sentences"])
    for skill, told in zip(extraction.skills, said["skills"], strict=True):
        assert (skill.id, skill.rank, skill.metadata) == (told["id"], told["rank"], told["metadata"])
        for found, evidence in zip(skill.evidence, told["evidence"], strict=True):
            assert text[found.start : found.end] == found.text == evidence["text"]
            assert found.words == tuple(uwe.Word(**word) for word in evidence["words"])

    async def main() -> uwe.Extraction:
        async with asynchronous(create_app(Settings(), ranker)) as asynchronous_client:
            return await asynchronous_client.extract(text, **asked)

    assert asyncio.run(main()) == extraction


def test_a_single_query_has_the_tasks_own_number_of_targets(blocking: uwe.UweClient) -> None:
    (result,) = blocking.rank("skill2job", "weld").results
    assert (result.query, len(result.targets)) == ("weld", 10)


def test_tasks_and_readiness(client: TestClient, blocking: uwe.UweClient) -> None:
    assert [vars(task) for task in blocking.tasks()] == client.get("/tasks").json()["tasks"]
    ready = blocking.ready()
    assert (ready.model.name, ready.device, ready.backend, ready.threads) == ("fake", "cpu", "onnx", 3)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (uwe.Target, rank.Target),
        (uwe.Truncated, tokens.Truncated),
        (uwe.Token, tokens.Token),
        (uwe.Contribution, explanation.Contribution),
        (uwe.ScoreExplanation, explanation.ScoreExplanation),
        (uwe.QueryResult, rank.QueryResult),
        (uwe.BatchResult, batch.BatchResult),
        (uwe.BatchResults, batch.BatchResponse),
        (uwe.ItemError, batch.ItemError),
        (uwe.Extraction, extract.ExtractResponse),
        (uwe.ExtractedSkill, extract.ExtractedSkill),
        (uwe.Evidence, extract.Evidence),
        (uwe.Word, extract.Word),
        (uwe.ModelSummary, origin.ModelSummary),
        (uwe.IndexSummary, origin.IndexSummary),
        (uwe.Task, RankingTask),
        (uwe.EmbeddedText, embed.EmbeddedText),
        (uwe.Embeddings, embed.EmbedResponse),
        (uwe.RankedText, rerank.RankedText),
    ],
)
def test_no_field_of_the_service_is_missing(ours: Any, theirs: Any) -> None:
    assert set(ours.__dataclass_fields__) == set(theirs.model_fields)


@pytest.mark.parametrize(
    ("task", "queries", "top_k", "error", "status", "code"),
    [
        ("nonsense", "nurse", None, uwe.UnknownTaskError, 404, "unknown_task"),
        ("a/../b", "nurse", None, uwe.RefusedError, 404, "not_found"),
        ("job2skill", ["a"] * 6, None, uwe.TooLargeError, 413, "too_large"),
        ("job2skill", ["a", " "], None, uwe.RefusedError, 422, "empty_text"),
        ("job2skill", "\ud800", None, uwe.RefusedError, 422, "invalid_text"),
        ("job2skill", [], None, uwe.RefusedError, 422, "invalid_request"),
        ("job2skill", "nurse", 101, uwe.RefusedError, 422, "invalid_input"),
    ],
)
def test_what_the_service_refuses_is_told_in_its_words(
    blocking: uwe.UweClient, task: str, queries: Any, top_k: int | None, error: Any, status: int, code: str
) -> None:
    with pytest.raises(error) as raised:
        blocking.rank(task, queries, top_k=top_k)
    assert type(raised.value) is error
    assert (raised.value.status, raised.value.code) == (status, code)
    assert raised.value.request_id in str(raised.value)


def test_a_fault_of_the_server_is_not_repeated(client: TestClient, ranker: FakeRanker) -> None:
    ranker.poison = "nurse"
    waits: list[float] = []
    with (
        uwe.UweClient("http://testserver", transport=forwarded(client), sleep=waits.append) as blocking,
        pytest.raises(uwe.ServerFaultError, match="something went wrong"),
    ):
        blocking.rank("job2skill", "nurse")
    assert waits == []


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


def test_the_asynchronous_client_says_the_same(blocking: uwe.UweClient, settings: Settings) -> None:
    async def answers() -> tuple[Any, ...]:
        async with asynchronous(create_app(settings, FakeRanker())) as client:
            many = [result async for result in client.rank_many("job2skill", _QUERIES, batch_size=2, concurrency=2)]
            with pytest.raises(uwe.UnknownTaskError):
                await client.rank("nonsense", "nurse")
            return await client.rank("job2skill", "nurse"), await client.tasks(), await client.ready(), many

    many = list(blocking.rank_many("job2skill", _QUERIES, batch_size=2))
    expected = blocking.rank("job2skill", "nurse"), blocking.tasks(), blocking.ready(), many
    assert asyncio.run(answers()) == expected


def test_the_asynchronous_client_sends_texts_along_too(words_client: TestClient) -> None:
    async def answers(app: Any) -> tuple[Any, ...]:
        async with uwe.AsyncUweClient("http://testserver", transport=httpx.ASGITransport(app)) as client:
            return (
                await client.embed("nurse"),
                await client.rerank("nurse", ["weld", "nurse"]),
                await client.rank_targets("nurse", ["weld", "nurse"]),
            )

    with uwe.UweClient("http://testserver", transport=forwarded(words_client)) as client:
        expected = (
            client.embed("nurse"),
            client.rerank("nurse", ["weld", "nurse"]),
            client.rank_targets("nurse", ["weld", "nurse"]),
        )
    assert asyncio.run(answers(words_client.app)) == expected


def test_an_asynchronous_list_that_ends_early_leaves_no_request_behind() -> None:
    async def left_after_one() -> tuple[int, str]:
        async def handle(request: httpx.Request) -> httpx.Response:
            queries = httpx.Response(200, content=request.content).json()["queries"]
            if queries != ["a"]:
                await asyncio.Event().wait()  # never answered
            return ranked(*queries)

        async with uwe.AsyncUweClient(transport=httpx.MockTransport(handle)) as client:
            results = client.rank_many("t", ["a", "b", "c"], batch_size=1, concurrency=3)
            first = await anext(results)
            await results.aclose()  # type: ignore[attr-defined]
            return len(asyncio.all_tasks()), first.query

    assert asyncio.run(left_after_one()) == (1, "a")


def test_asynchronous_attempts_are_repeated_too() -> None:
    async def waits_of() -> list[float]:
        waits: list[float] = []
        answers = iter([refused(503, **{"Retry-After": "2"}), ranked("nurse")])

        async def sleep(seconds: float) -> None:
            waits.append(seconds)

        transport = httpx.MockTransport(lambda _: next(answers))
        async with uwe.AsyncUweClient(transport=transport, sleep=sleep) as client:
            await client.rank("t", "nurse")
        return waits

    (wait,) = asyncio.run(waits_of())
    assert 2 < wait <= 2.25


@pytest.mark.parametrize("status", [429, 503])
def test_a_server_that_names_a_time_is_given_it(status: int) -> None:
    client, waits, requests = failing(refused(status, **{"Retry-After": "3"}), ranked("nurse"))
    assert client.rank("t", "nurse").results[0].query == "nurse"
    assert 3 < waits[0] <= 3.25
    assert len({request.headers["X-Request-ID"] for request in requests}) == 1


@pytest.mark.parametrize(
    "failure",
    [
        httpx.ConnectError("refused"),
        httpx.ConnectTimeout("slow"),
        httpx.ReadError("reset"),
        httpx.RemoteProtocolError("server disconnected"),
        refused(502),
        httpx.Response(504, text="<html>a gateway's page</html>"),
    ],
)
def test_what_may_pass_is_tried_again_more_and_more_slowly(failure: Any) -> None:
    client, waits, _ = failing(failure, failure, failure, ranked("nurse"))
    assert client.rank("t", "nurse").results[0].query == "nurse"
    for wait, longest in zip(waits, (0.25, 0.5, 1.0), strict=True):
        assert longest / 2 <= wait <= longest


@pytest.mark.parametrize(
    ("failure", "error", "code"),
    [
        (httpx.ReadTimeout("slow"), uwe.TimedOutError, "timeout"),
        (httpx.UnsupportedProtocol("ftp"), uwe.NoAnswerError, "no_answer"),
        (refused(401), uwe.UnauthorisedError, "a_code"),
        (refused(403), uwe.UnauthorisedError, "a_code"),
        (refused(409), uwe.ConflictError, "a_code"),
        (httpx.Response(500, text="oops"), uwe.ServerFaultError, "internal_server_error"),
        (httpx.Response(307, headers={"Location": "http://elsewhere"}), uwe.InvalidResponseError, "temporary_redirect"),
        (httpx.Response(200, text="hello"), uwe.InvalidResponseError, "invalid_response"),
        (httpx.Response(200, json=["hello"]), uwe.InvalidResponseError, "invalid_response"),
        (ranked("nurse", "welder"), uwe.InvalidResponseError, "invalid_response"),
    ],
)
def test_what_will_not_pass_is_told_at_once(failure: Any, error: Any, code: str) -> None:
    client, waits, requests = failing(failure)
    with pytest.raises(error) as raised:
        client.rank("t", "nurse")
    assert type(raised.value) is error
    assert (raised.value.code, waits, len(requests)) == (code, [], 1)
    assert raised.value.request_id in (requests[0].headers["X-Request-ID"], "r1")


def test_attempts_have_an_end_and_the_last_error_is_told() -> None:
    client, waits, requests = failing(*[refused(503, "overloaded", **{"Retry-After": "1"})] * 3, retries=uwe.Retries(3))
    with pytest.raises(uwe.UnavailableError, match="because") as raised:
        client.rank("t", "nurse")
    assert (raised.value.code, raised.value.retry_after, raised.value.request_id) == ("overloaded", 1, "r1")
    assert (len(waits), len(requests)) == (2, 3)


def test_a_server_that_asks_for_too_long_is_not_waited_for() -> None:
    client, waits, _ = failing(refused(429, **{"Retry-After": "3600"}))
    with pytest.raises(uwe.UnavailableError):
        client.rank("t", "nurse")
    assert waits == []


def test_readiness_is_asked_once() -> None:
    client, waits, _ = failing(refused(503, "not_ready"))
    with pytest.raises(uwe.UnavailableError, match="because"):
        client.ready()
    assert waits == []


@given(st.integers(1, 2000), st.none() | st.floats(0, 100), st.floats(0, 1, exclude_max=True))
def test_waits_keep_their_bounds(attempt: int, retry_after: float | None, luck: float) -> None:
    retries = uwe.Retries(attempts=1000, first_wait=0.5, longest_wait=20)
    wait = retries.wait(attempt, retry_after, luck)
    if attempt >= 1000 or (retry_after or 0) > 20:
        assert wait is None
    else:
        assert wait is not None
        assert (retry_after or 0) <= wait <= 20
        assert wait >= min(0.25, 20 / 2)


def test_bounds_that_cannot_be_are_refused() -> None:
    for wrong in ({"attempts": 0}, {"first_wait": -1}, {"longest_wait": -1}):
        with pytest.raises(ValueError, match="retries need"):
            uwe.Retries(**wrong)  # type: ignore[arg-type]


def test_retry_after_is_seconds_or_a_date() -> None:
    now = datetime(2026, 11, 30, 12, 0, 0, tzinfo=UTC)
    later = now + timedelta(seconds=90)
    cases = {
        "7": 7.0,
        format_datetime(later, usegmt=True): 90.0,
        format_datetime(later.replace(tzinfo=None)): 90.0,
        format_datetime(now - timedelta(days=1)): 0.0,
        "9" * 400: float("inf"),
        "soon": None,
        "-1": None,
        "": None,
        None: None,
    }
    assert {value: retry_after_seconds(value, now) for value in cases} == cases


def test_the_key_is_sent_and_shown_nowhere() -> None:
    client, _, requests = failing(ranked("nurse"), refused(401), api_key="s3cret")
    client.rank("t", "nurse")
    assert requests[0].headers["Authorization"] == "Bearer s3cret"
    with pytest.raises(uwe.UnauthorisedError) as raised:
        client.rank("t", "nurse")
    assert "s3cret" not in repr(client) + str(raised.value) + repr(raised.value)


def test_without_a_key_none_is_sent_and_the_address_keeps_its_path() -> None:
    client, _, requests = failing(ranked("nurse"), url="http://gateway/uwe/")
    client.rank("t", "nurse")
    assert "Authorization" not in requests[0].headers
    assert str(requests[0].url) == "http://gateway/uwe/rank/t"


def test_an_address_without_a_protocol_is_refused() -> None:
    for client in (uwe.UweClient, uwe.AsyncUweClient):
        with pytest.raises(ValueError, match="is no address such as"):
            client("localhost:8000")


def test_errors_travel_between_processes() -> None:
    error = uwe.UnavailableError("because", 503, "overloaded", "r1", 2.0)
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy), vars(copy)) == (type(error), str(error), vars(error))


def test_later_fields_of_the_service_are_left_alone() -> None:
    body = ranked("nurse").json() | {"explanation": {"new": True}}
    client, _, _ = failing(httpx.Response(200, json=body))
    assert client.rank("t", "nurse").results[0].targets == ()


def test_httpx_is_all_that_a_client_needs() -> None:
    heavy = ["torch", "numpy", "pyarrow", "transformers", "fastapi", "starlette", "pydantic", "typer", "rich"]
    program = (
        "import sys\n"
        f"sys.modules.update(dict.fromkeys({heavy}))\n"  # None makes their import fail
        "import service.client\n"
        "service.client.UweClient().close()\n"
        "ours = {name for name in sys.modules if name.split('.')[0] in ('uwe_core', 'training', 'service')}\n"
        "print(sorted(name for name in ours if not name.startswith('service.client')))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "['service']\n"), done.stderr


def test_the_targets_of_a_space_are_all_returned(blocking: uwe.UweClient) -> None:
    assert len(blocking.rank("job2skill", "nurse", top_k=100).results[0].targets) == TARGETS
