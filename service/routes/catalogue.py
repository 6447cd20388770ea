"""`GET /tasks` and `GET /spaces`: what can be ranked here."""

from __future__ import annotations

from fastapi import APIRouter

from service.routes.dependencies import Ready
from service.schemas import ErrorResponse, Space, SpaceList, TaskList

router = APIRouter(tags=["catalogue"], responses={503: {"model": ErrorResponse}})


@router.get("/tasks")
async def tasks(loaded: Ready) -> TaskList:
    """All tasks, each with its target space and an example query."""
    return TaskList(tasks=list(loaded.engine.tasks.values()))


@router.get("/spaces")
async def spaces(loaded: Ready) -> SpaceList:
    """All target spaces in use, with counts, fingerprints, licence and attribution."""
    return SpaceList(spaces=[Space.of(summary) for summary in loaded.engine.space_summaries().values()])
