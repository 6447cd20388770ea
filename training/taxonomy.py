"""An imported taxonomy: its skills and its jobs as target spaces, and which job needs which skill."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from training.sources.esco import ATTRIBUTION, LICENCE, EscoRelease, Occupation, Relation, Skill
from uwe_core.catalogue import TAXONOMIES
from uwe_core.errors import DataError
from uwe_core.files import atomic_folder
from uwe_core.target_space import SpaceInfo, SpaceKind, TargetSpace

RELATIONS_FILE = "relations.parquet"


@dataclass(frozen=True)
class Taxonomy:
    """Two target spaces and the relations between them."""

    name: str
    skills: TargetSpace
    jobs: TargetSpace
    relations: Sequence[Relation]

    def save(self, home: Path, *, replace: bool = False) -> Path:
        """Write under `home`, all or nothing.

        Raises:
            DataError: a taxonomy of that name is there, and `replace` was not asked for.
        """
        folder = home / TAXONOMIES / self.name
        if folder.exists() and not replace:
            raise DataError(folder, None, "is there already; add --replace to import it again")
        with atomic_folder(folder) as aside:
            self.skills.save(aside / "skills")
            self.jobs.save(aside / "jobs")
            pq.write_table(_relations_table(self.relations), aside / RELATIONS_FILE)
        return folder


def esco_taxonomy(release: EscoRelease, name: str = "esco") -> Taxonomy:
    """A release of ESCO as a taxonomy; the spaces carry the licence, and say so where we changed something."""
    return Taxonomy(name, skill_space(release, f"{name}-skills"), job_space(release, f"{name}-jobs"), release.relations)


def skill_space(release: EscoRelease, name: str) -> TargetSpace:
    """The preferred labels of the skills."""
    skills: Sequence[Skill] = release.skills
    return TargetSpace.from_columns(
        _info(release, name, "skill"),
        {
            "id": [skill.uri for skill in skills],
            "text": [skill.label for skill in skills],
            "type": [skill.type for skill in skills],
            "reuse_level": [skill.reuse_level for skill in skills],
            "alternative_labels": [list(skill.alternative_labels) for skill in skills],
            "description": [skill.description for skill in skills],
        },
    )


def job_space(release: EscoRelease, name: str) -> TargetSpace:
    """The preferred labels of the occupations."""
    jobs: Sequence[Occupation] = release.occupations
    return TargetSpace.from_columns(
        _info(release, name, "job"),
        {
            "id": [job.uri for job in jobs],
            "text": [job.label for job in jobs],
            "isco_group": [job.isco_group for job in jobs],
            "code": [job.code for job in jobs],
            "alternative_labels": [list(job.alternative_labels) for job in jobs],
            "description": [job.description for job in jobs],
        },
    )


def _info(release: EscoRelease, name: str, kind: SpaceKind) -> SpaceInfo:
    changes = release.cleaning.describe()
    return SpaceInfo(
        name=name,
        kind=kind,
        language=release.language,
        taxonomy_version=f"ESCO v{release.version}" if release.version else "ESCO",
        licence=LICENCE,
        attribution=f"{ATTRIBUTION} Modified: {changes}." if changes else ATTRIBUTION,
    )


def _relations_table(relations: Sequence[Relation]) -> pa.Table:
    return pa.table(
        {
            "job_id": [relation.occupation_uri for relation in relations],
            "skill_id": [relation.skill_uri for relation in relations],
            "relation": [relation.relation for relation in relations],
        }
    )
