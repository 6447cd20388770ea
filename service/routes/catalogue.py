"""`GET /tasks`: what can be ranked here."""

from __future__ import annotations

from fastapi import APIRouter

from service.routes.dependencies import Ready
from service.schemas.errors import ErrorResponse
from service.schemas.tasks import TaskList

router = APIRouter(tags=["catalogue"], responses={503: {"model": ErrorResponse}})


@router.get("/tasks")
async def tasks(loaded: Ready) -> TaskList:
    """All tasks, each with its target space and an example query."""
    return TaskList(tasks=list(loaded.engine.tasks.values()))
