"""The tasks."""

from __future__ import annotations

from service.schemas.body import Body
from uwe_core.tasks import RankingTask


class TaskList(Body):
    """All tasks."""

    tasks: list[RankingTask]
