"""`/jobs`: how far changes of target spaces are."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path

from service.routes.dependencies import Ready
from service.schemas.errors import ErrorResponse
from service.schemas.jobs import JobList, JobStatus

router = APIRouter(tags=["spaces"], responses={503: {"model": ErrorResponse}})


@router.get("/jobs")
async def jobs(loaded: Ready) -> JobList:
    """The last jobs, newest first."""
    return JobList(jobs=[JobStatus.model_validate(job) for job in loaded.live.jobs()])


@router.get("/jobs/{id}", responses={404: {"model": ErrorResponse}})
async def job(identifier: Annotated[str, Path(alias="id", description="Id of the job.")], loaded: Ready) -> JobStatus:
    """One job; the last hundred are remembered until the server stops."""
    return JobStatus.model_validate(loaded.live.job(identifier))
