"""`POST /rank/{task}/batch`: many queries, each with options, an id and an answer or an error of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from typing import Annotated, TypeVar

import orjson
from fastapi import APIRouter, Path, Request, Response
from fastapi.routing import APIRoute
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from service.answers import AnswerSource
from service.errors import item_error
from service.ndjson import NDJSON, ArrivingBody, Line, is_stream, lines, relay
from service.routes.dependencies import Ready, State
from service.routes.rank import CLIENT_GONE, UNPINNED_ERRORS, check_answerable, check_limits
from service.schemas.batch import LONGEST_ID, BatchRequest, BatchResponse, RankItem
from service.settings import Settings
from service.state import Loaded, ServiceState
from service.while_connected import while_connected
from uwe_core.errors import InputError, LimitError, OverloadedError

Answer = TypeVar("Answer")
# Before an item that found the queue full tries again, in seconds; later ones are longer.
_FIRST_PAUSE = 0.02
_NDJSON_REQUEST = {
    "requestBody": {
        "content": {
            NDJSON: {
                "schema": {"$ref": "#/components/schemas/RankItem"},
                "examples": {"two items": {"value": '{"id": 1, "query": "nurse"}\n{"id": 2, "query": "welder"}\n'}},
            }
        }
    }
}


class StreamedRoute(APIRoute):
    """A route whose body may also be lines that are answered while they arrive; FastAPI would read all of it first."""

    def get_route_handler(self) -> Callable[[Request], Awaitable[Response]]:  # type: ignore[override]
        """What answers a request, whole or line by line."""
        whole = super().get_route_handler()

        async def handle(request: Request) -> Response:
            return (
                await stream(request)
                if is_stream(request.scope["path"], request.scope["headers"])
                else await whole(request)
            )

        return handle


router = APIRouter(tags=["ranking"], route_class=StreamedRoute)


@router.post(
    "/rank/{task}/batch", response_model=BatchResponse, responses=UNPINNED_ERRORS, openapi_extra=_NDJSON_REQUEST
)
async def batch(
    task: Annotated[str, Path(description="Name of a task; GET /tasks lists them.", examples=["job2skill"])],
    body: BatchRequest,
    request: Request,
    state: State,
    loaded: Ready,
) -> Response:
    """Rank for each item; one that cannot be ranked has an error, and the others their rankings.

    With the content type `application/x-ndjson` an item a line, of any number, and an answer a line, in order.
    """
    source = loaded.batcher.source(loaded.engine.task(task))
    most = state.settings.max_batch_items
    if len(body.items) > most:
        raise LimitError(f"{len(body.items)} items; one batch may hold {most}, and a stream of lines any number")
    request.state.measured_task = task
    answering = Answering(source, loaded, state.settings, request.state.request_id)
    results: list[bytes] = []

    async def keep(result: bytes) -> None:
        results.append(result)

    try:
        async with while_connected(request):
            await relay(_each(body.items), answering.item, keep, state.settings.batch_in_flight)
    except ClientDisconnect:
        return Response(status_code=CLIENT_GONE)
    parts = [source.head, b",".join(results), b"]}"]
    return Response(b"".join(parts), media_type="application/json")


async def stream(request: Request) -> Response:
    """Answer lines while they arrive."""
    state: ServiceState = request.app.state.service
    loaded = state.require()
    source = loaded.batcher.source(loaded.engine.task(request.path_params["task"]))
    answering = Answering(source, loaded, state.settings, request.state.request_id)
    body = ArrivingBody(request.receive, state.settings.body_seconds)
    try:
        await body.begin()  # before the answer, so that a body that does not come is refused by its status
    except ClientDisconnect:
        return Response(status_code=CLIENT_GONE)
    return LineResponse(source, partial(_send_lines, body, answering, state.settings))


class Answering:
    """Ranks for single items from one source, and tells of each what is wrong with it."""

    def __init__(self, source: AnswerSource, loaded: Loaded, settings: Settings, request_id: str) -> None:
        self._source = source
        self._loaded = loaded
        self._settings = settings
        self._request_id = request_id

    async def item(self, given: object) -> bytes:
        """The JSON of an item's answer or error."""
        return await self._answer(given, {})

    async def line(self, line: Line) -> bytes:
        """The same of a line, with its number."""
        given: object = None
        error: Exception | None = line.error
        if error is None:
            try:
                given = orjson.loads(line.content)
            except orjson.JSONDecodeError as problem:
                error = InputError(f"the line is not JSON: {problem.msg}")
        return await self._answer(given, {"line": line.number}, error) + b"\n"

    async def _answer(self, given: object, facts: dict[str, int], error: Exception | None = None) -> bytes:
        head = _head(facts, given.get("id") if isinstance(given, dict) else None)
        result = b"null"
        if error is None:
            try:
                result = await self._ranked(RankItem.model_validate(given))
            except Exception as problem:  # of this item alone
                error = problem
        told = b"null" if error is None else orjson.dumps(item_error(self._request_id, error))
        return b"".join([head, b',"result":', result, b',"error":', told, b"}"])

    async def _ranked(self, item: RankItem) -> bytes:
        check_limits(item, [item.query], self._source.task, self._settings)
        check_answerable(item, self._source, self._loaded.engine)
        rank = partial(self._loaded.batcher.rank, explain=item.explain)
        arguments = (self._source, [item.query], item.top_k, item.narrowing)
        (result,) = await _with_patience(lambda: rank(*arguments), self._settings.deadline_seconds)
        return result


class LineResponse(Response):
    """Lines that are sent one by one; what they were made with is told by headers, since each line stands alone."""

    media_type = NDJSON

    def __init__(self, source: AnswerSource, send_lines: Callable[[Send], Awaitable[None]]) -> None:
        headers = {"X-Model-Fingerprint": source.model_fingerprint, "X-Index-Fingerprint": source.index_fingerprint}
        super().__init__(headers=headers)
        del self.headers["content-length"]
        self._send_lines = send_lines

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - the signature is ASGI's
        """Answer one request."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        try:
            await self._send_lines(send)
        except ClientDisconnect:
            return
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def _head(facts: dict[str, int], identifier: object) -> bytes:
    """The beginning of an answer, with the item's id where it is one."""
    short = isinstance(identifier, str) and len(identifier) <= LONGEST_ID
    whole = isinstance(identifier, int) and not isinstance(identifier, bool)
    try:
        written = orjson.dumps({**facts, "id": identifier if short or whole else None})
    except TypeError:  # a lone surrogate, or a number that JSON of others could not hold
        written = orjson.dumps({**facts, "id": None})
    return written.removesuffix(b"}")


async def _send_lines(body: ArrivingBody, answering: Answering, settings: Settings, send: Send) -> None:
    async def send_line(line: bytes) -> None:
        try:
            async with asyncio.timeout(settings.body_seconds):
                await send({"type": "http.response.body", "body": line, "more_body": True})
        except TimeoutError:  # nobody takes answers: no place is to be held for that
            raise ClientDisconnect from None

    arriving = lines(body.chunks(), settings.max_body_bytes)
    await relay(arriving, answering.line, send_line, settings.batch_in_flight, body.read())


async def _with_patience(call: Callable[[], Awaitable[Answer]], seconds: float) -> Answer:
    """Try again for a while where too many wait: who sends many items is not the one to be sent away at once."""
    loop = asyncio.get_running_loop()
    deadline, pause = loop.time() + seconds, _FIRST_PAUSE
    while True:
        try:
            return await call()
        except OverloadedError as error:
            if loop.time() + pause > deadline:
                raise
            await asyncio.sleep(pause)
            pause = min(2 * pause, error.retry_after)


async def _each(items: Sequence[object]) -> AsyncIterator[object]:
    for item in items:
        yield item
