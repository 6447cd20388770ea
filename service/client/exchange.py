"""Requests and what becomes of them, apart from sending and waiting: both clients share all of it."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any, Generic, TypedDict, TypeVar
from urllib.parse import quote
from uuid import uuid4

import httpx

from service.client import errors
from service.client.reading import embeddings_of, rankings_of, readiness_of, reranked_of, tasks_of
from service.client.results import Embeddings, RankedText, Rankings, Readiness, Task
from service.client.retries import Retries, retry_after_seconds

Result = TypeVar("Result")
# A response, or what httpx raised in its place.
Outcome = httpx.Response | httpx.RequestError

DEFAULT_URL = "http://127.0.0.1:8000"
DEFAULT_TIMEOUT = 30.0
_CONNECT_SECONDS = 5.0
_REQUEST_ID = "X-Request-ID"
# What may be gone a moment later. A timeout while reading is not among them: the server is computing, and asking it
# for the same again would make it slower still.
_PASSING = (httpx.NetworkError, httpx.RemoteProtocolError, httpx.ConnectTimeout, httpx.ProxyError)
_BY_CODE: dict[str, type[errors.ClientError]] = {
    "unknown_task": errors.UnknownTaskError,
    "unknown_space": errors.UnknownSpaceError,
}
_BY_STATUS: dict[int, type[errors.ClientError]] = {
    401: errors.UnauthorisedError,
    403: errors.UnauthorisedError,
    409: errors.ConflictError,
    413: errors.TooLargeError,
    429: errors.UnavailableError,
    502: errors.UnavailableError,
    503: errors.UnavailableError,
    504: errors.UnavailableError,
}


@dataclass(frozen=True)
class Call(Generic[Result]):
    """One request and how to read its answer; attempts share an id, by which the server's log knows them.

    Attributes:
        content: the body.
        content_type: of the body.
        read: from the JSON of the answer to the result.
        repeated: whether to try again. All calls are safe to repeat; one that asks how things are now is not repeated.
    """

    method: str
    path: str
    read: Callable[[Any], Result]
    content: bytes | None = None
    repeated: bool = True
    content_type: str = "application/json"
    request_id: str = field(default_factory=lambda: uuid4().hex)

    @property
    def headers(self) -> dict[str, str]:
        """Those of this request."""
        kind = {"Content-Type": self.content_type} if self.content is not None else {}
        return {_REQUEST_ID: self.request_id, **kind}


@dataclass(frozen=True)
class Answered(Generic[Result]):
    """The call is done."""

    result: Result


@dataclass(frozen=True)
class Again:
    """Send the call again after so many seconds."""

    seconds: float


class RankOptions(TypedDict, total=False):
    """What may be asked beside the queries; the service says what each means and what it is without.

    Attributes:
        top_k: targets of each query; the task's default where None.
        explain: how each score comes about.
        offset: targets left out at the top.
        min_score: lowest score of a target.
        min_confidence: lowest confidence of a target.
        exclude: ids of targets that are not wanted.
        fingerprint: of the index that is to be ranked; `ConflictError` where it is neither live nor the one before.
        model_fingerprint: of the model that is to rank; `ConflictError` where another one does.
    """

    top_k: int | None
    explain: bool
    offset: int
    min_score: float
    min_confidence: float
    exclude: Sequence[str]
    fingerprint: str
    model_fingerprint: str


def rank_call(task: str, queries: str | Sequence[str], options: RankOptions) -> Call[Rankings]:
    """Rank the targets of a task for one query or several."""
    return _rank_call(f"/rank/{quote(task, safe='')}", {}, queries, options)


def rank_space_call(space: str, queries: str | Sequence[str], options: RankOptions) -> Call[Rankings]:
    """Rank the targets of a space for one query or several."""
    return _rank_call("/rank", {"space": space}, queries, options)


def rank_targets_call(
    queries: str | Sequence[str], targets: Sequence[str | Mapping[str, Any]], options: RankOptions
) -> Call[Rankings]:
    """Rank targets that are sent along for one query or several."""
    sent = [one if isinstance(one, str) else dict(one) for one in targets]
    return _rank_call("/rank", {"targets": sent}, queries, options)


def rerank_call(query: str, texts: Sequence[str], *, raw_scores: bool) -> Call[tuple[RankedText, ...]]:
    """Rank texts for a query."""
    body = {"query": query, "texts": list(texts), "raw_scores": raw_scores}
    return Call("POST", "/rerank", partial(reranked_of, texts=list(texts)), _content(body))


def embed_call(texts: str | Sequence[str], *, tokens: bool, normalise: bool) -> Call[Embeddings]:
    """The vectors of one text or several."""
    several = _several(texts)
    body = {"texts": several, "tokens": tokens, "normalise": normalise, "encoding_format": "base64"}
    return Call("POST", "/embed", partial(embeddings_of, texts=len(several)), _content(body))


def tasks_call() -> Call[tuple[Task, ...]]:
    """List the tasks."""
    return Call("GET", "/tasks", tasks_of)


def ready_call() -> Call[Readiness]:
    """Ask whether requests are answered now."""
    return Call("GET", "/readyz", readiness_of, repeated=False)


def judge(call: Call[Result], outcome: Outcome, attempt: int, retries: Retries) -> Answered[Result] | Again:
    """What to do after an attempt, counted from 1.

    Raises:
        ClientError: it failed, and is not to be repeated, or not any more.
    """
    if isinstance(outcome, httpx.Response) and outcome.is_success:
        return Answered(_read(call, outcome))
    error = _refusal(call, outcome) if isinstance(outcome, httpx.Response) else _silence(call, outcome)
    passing = isinstance(error, errors.UnavailableError) or isinstance(outcome, _PASSING)
    luck = random.random()  # noqa: S311 - nobody gains by guessing it
    seconds = retries.wait(attempt, error.retry_after, luck) if call.repeated and passing else None
    if seconds is None:
        raise error from (outcome if isinstance(outcome, httpx.RequestError) else None)
    return Again(seconds)


def address(url: str) -> str:
    """The service's address, checked.

    Raises:
        ValueError: it is not one of http or https.
    """
    if not url.startswith(("http://", "https://")):
        raise ValueError(f"'{url}' is no address such as {DEFAULT_URL}")
    return url


def standing_headers(api_key: str | None) -> dict[str, str]:
    """Headers of every request of a client."""
    return {"Accept": "application/json"} | ({} if api_key is None else {"Authorization": f"Bearer {api_key}"})


def limits_of(seconds: float) -> httpx.Timeout:
    """Time limits: so long for an answer, and less for a connection."""
    return httpx.Timeout(seconds, connect=min(seconds, _CONNECT_SECONDS))


def _several(texts: str | Sequence[str]) -> list[str]:
    return [texts] if isinstance(texts, str) else list(texts)


def _rank_call(path: str, what: dict[str, Any], queries: str | Sequence[str], options: RankOptions) -> Call[Rankings]:
    texts = _several(queries)
    body: dict[str, Any] = (
        what | {"queries": texts} | {name: value for name, value in options.items() if value is not None}
    )
    if "exclude" in body:
        body["exclude"] = list(body["exclude"])
    return Call("POST", path, partial(rankings_of, queries=len(texts)), _content(body))


def _content(body: Mapping[str, Any]) -> bytes:
    # ASCII, so that a lone surrogate arrives and is refused by the service, by its position.
    return json.dumps(body, separators=(",", ":")).encode("ascii")


def _read(call: Call[Result], response: httpx.Response) -> Result:
    try:
        return call.read(response.json())
    except (ValueError, TypeError, KeyError) as error:
        message = f"{call.path} answered with something else than the service does: {error!r}"
        raise errors.InvalidResponseError(message, response.status_code, "invalid_response", call.request_id) from error


def _refusal(call: Call[Any], response: httpx.Response) -> errors.ClientError:
    status = response.status_code
    told = _told(response)
    code = told.get("code") or response.reason_phrase.lower().replace(" ", "_") or "unknown"
    message = told.get("message") or f"{call.path} answered {status}"
    request_id = told.get("request_id") or response.headers.get(_REQUEST_ID) or call.request_id
    retry_after = retry_after_seconds(response.headers.get("Retry-After"), datetime.now(UTC))
    return _class_of(status, code)(message, status, code, request_id, retry_after)


def _class_of(status: int, code: str) -> type[errors.ClientError]:
    if code in _BY_CODE:
        return _BY_CODE[code]
    if status < 400:  # a redirection is not followed: the key would go to whom it names
        return errors.InvalidResponseError
    return _BY_STATUS.get(status, errors.RefusedError if status < 500 else errors.ServerFaultError)


def _told(response: httpx.Response) -> dict[str, str]:
    """The service's own words; nothing where something before it answered."""
    try:
        error = response.json()["error"]
        return {name: error[name] for name in ("code", "message", "request_id") if isinstance(error[name], str)}
    except (ValueError, TypeError, KeyError):
        return {}


def _silence(call: Call[Any], error: httpx.RequestError) -> errors.ClientError:
    reason = str(error) or type(error).__name__
    if isinstance(error, httpx.TimeoutException) and not isinstance(error, httpx.ConnectTimeout):
        return errors.TimedOutError(f"{call.path} was not answered in time: {reason}", None, "timeout", call.request_id)
    return errors.NoAnswerError(f"{call.path} was not answered: {reason}", None, "no_answer", call.request_id)
