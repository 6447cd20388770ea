"""Changes of target spaces, and how far they are."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from service.schemas.body import Body
from service.space_status import JobKind, JobState


class JobFailure(Body):
    """Why a job failed."""

    code: str
    message: str


class JobStatus(Body):
    """A change of a target space, and how far it is."""

    id: str
    space: str
    kind: JobKind
    state: JobState
    done: int = Field(description="Texts that are indexed: targets and their aliases.")
    total: int = Field(description="Texts of the version that is made; 0 until that is known.")
    encoded: int = Field(description="Of the texts that are done, those that were not known.")
    created: datetime
    started: datetime | None
    finished: datetime | None
    fingerprint: str | None = Field(description="Of the index that became live.")
    error: JobFailure | None


class JobList(Body):
    """The last jobs, newest first."""

    jobs: list[JobStatus]
