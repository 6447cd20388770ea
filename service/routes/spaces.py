"""`/spaces`: what target spaces are in use; and how they are uploaded, changed and removed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request

from service.live import Job
from service.live.uploads import SpaceFacts, read_csv, read_patch, read_upload
from service.routes.dependencies import Ready
from service.schemas.errors import ErrorResponse
from service.schemas.jobs import JobStatus
from service.schemas.spaces import Space, SpaceList
from service.state import Loaded
from uwe_core.errors import UnknownSpaceError

router = APIRouter(tags=["spaces"], responses={503: {"model": ErrorResponse}})

Name = Annotated[str, Path(description="Name of a space: 1 to 64 of a-z, 0-9, '.', '_' and '-'.", examples=["courses"])]
_CSV = "text/csv"
_REFUSALS: dict[int | str, dict[str, Any]] = {status: {"model": ErrorResponse} for status in (404, 408, 409, 413, 422)}


def _body(schema: str, **others: str) -> dict[str, Any]:
    """What the body is: routes read it themselves, off the event loop, so FastAPI does not know."""
    content: dict[str, Any] = {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
    return {"requestBody": {"required": True, "content": content | {kind: {} for kind in others.values()}}}


@router.get("/spaces")
async def spaces(loaded: Ready) -> SpaceList:
    """All target spaces in use, with counts, fingerprints, licence and attribution."""
    return SpaceList(spaces=_described(loaded))


@router.get("/spaces/{name}", responses={404: {"model": ErrorResponse}})
async def space(name: Name, loaded: Ready) -> Space:
    """One target space in use."""
    for found in _described(loaded):
        if found.name == name:
            return found
    raise UnknownSpaceError(name[:64], sorted(loaded.engine.served.live))


@router.put("/spaces/{name}", status_code=202, responses=_REFUSALS, openapi_extra=_body("SpaceUpload", csv=_CSV))
async def put_space(name: Name, request: Request, loaded: Ready, facts: Annotated[SpaceFacts, Query()]) -> JobStatus:
    """Upload a target space, in place of the one of that name if there is one; a job indexes it and makes it live.

    JSON holds everything. CSV has the columns `id` and `text`, `aliases` separated by `|`, and metadata in all others;
    what is known of the space stands in the query of the URL.
    """
    body = await request.body()
    is_csv = request.headers.get("content-type", "").partition(";")[0].strip().lower() == _CSV
    return await _accepted(lambda: loaded.live.put(read_csv(name, body, facts) if is_csv else read_upload(name, body)))


@router.patch("/spaces/{name}", status_code=202, responses=_REFUSALS, openapi_extra=_body("SpacePatch"))
async def patch_space(name: Name, request: Request, loaded: Ready) -> JobStatus:
    """Add, replace and remove targets of an uploaded space; only texts that were not there are encoded."""
    body = await request.body()
    return await _accepted(lambda: loaded.live.patch(name, read_patch(name, body)))


@router.delete("/spaces/{name}", status_code=202, responses=_REFUSALS)
async def delete_space(name: Name, loaded: Ready) -> JobStatus:
    """Remove an uploaded space and all its versions."""
    return await _accepted(lambda: loaded.live.delete(name))


async def _accepted(change: Callable[[], Job]) -> JobStatus:
    """Large uploads take seconds to read and to check: not on the event loop."""
    return JobStatus.model_validate(await asyncio.to_thread(change))


def _described(loaded: Loaded) -> list[Space]:
    statuses = loaded.live.statuses()
    summaries = loaded.engine.space_summaries()
    return [Space.of(summary, statuses[name]) for name, summary in summaries.items() if name in statuses]
