"""What is told of a served space beside its contents, and the words for changes of spaces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

JobKind = Literal["put", "patch", "delete"]
JOB_KINDS: tuple[JobKind, ...] = ("put", "patch", "delete")
JobState = Literal["queued", "running", "finished", "failed", "cancelled"]
LAST_STATES: tuple[JobState, ...] = ("finished", "failed", "cancelled")


@dataclass(frozen=True)
class SpaceStatus:
    """What is known of a served space beside its contents.

    Attributes:
        editable: whether requests may change it.
        warnings: for whoever believes its rankings.
        previous_fingerprint, previous_until: of the version before, which may be asked for until then.
    """

    editable: bool
    warnings: Sequence[str]
    previous_fingerprint: str | None = None
    previous_until: datetime | None = None
