"""The target spaces."""

from __future__ import annotations

from datetime import datetime
from typing import Self

from pydantic import Field

from service.schemas.body import Body
from service.space_status import SpaceStatus
from uwe_core.ranker import SpaceSummary
from uwe_core.scoring.candidates import CandidateConfig
from uwe_core.target_space import SpaceInfo
from uwe_core.token_index import StorageType


class Space(SpaceInfo):
    """A loaded target space and its token index."""

    fingerprint: str
    index_fingerprint: str
    storage: StorageType
    targets: int
    tokens: int
    index_bytes: int
    candidates: CandidateConfig | None = Field(
        default=None, description="How targets are proposed that are then scored; null where every target is scored."
    )
    columns: list[str] = Field(description="Metadata of its targets, by which rankings may be filtered.")
    aliases: int = Field(description="By which its targets are matched beside their own texts.")

    editable: bool = Field(default=False, description="Uploaded, and so to be changed by requests.")
    warnings: list[str] = Field(default=[], description="What to know before its rankings are believed.")
    previous_fingerprint: str | None = Field(
        default=None, description="Of the index before, which `fingerprint` may still name in requests."
    )
    previous_until: datetime | None = Field(default=None, description="Until when it may.")

    @classmethod
    def of(cls, summary: SpaceSummary, status: SpaceStatus) -> Self:
        """Of what the ranker tells of a space, and what is known beside it."""
        return cls(
            **summary.info.model_dump(),
            fingerprint=summary.fingerprint,
            index_fingerprint=summary.index_fingerprint,
            storage=summary.dtype,
            targets=summary.targets,
            tokens=summary.tokens,
            index_bytes=summary.nbytes,
            candidates=summary.candidates,
            columns=list(summary.columns),
            aliases=summary.aliases,
            editable=status.editable,
            warnings=list(status.warnings),
            previous_fingerprint=status.previous_fingerprint,
            previous_until=status.previous_until,
        )


class SpaceList(Body):
    """All loaded target spaces."""

    spaces: list[Space]
