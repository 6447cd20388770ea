"""SpaceCatalogue: the target spaces of this machine by name, opened only when asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from uwe_core.errors import UnknownSpaceError
from uwe_core.home import default_home
from uwe_core.sample import sample_jobs, sample_skills
from uwe_core.target_space import SPACE_FILE, SpaceInfo, SpaceKind, TargetSpace, read_space_file

TAXONOMIES = "taxonomies"
INDEXES = "indexes"
EXPORTS = "encoders"


class SpaceSource(BaseModel):
    """A target space of one's own: a CSV file (columns `id`, `text`, metadata), or a folder written by this project.

    The other fields describe a CSV file; a folder knows them itself, but `alias_column` wins where it is set.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: Path
    kind: SpaceKind = "other"
    language: str = "en"
    taxonomy_version: str | None = None
    licence: str | None = None
    attribution: str | None = None
    alias_column: str | None = None

    def open(self, name: str) -> TargetSpace:
        """Read the space under the name it was given."""
        if self.path.is_dir():
            opened = TargetSpace.open(self.path)
            aliases = {} if self.alias_column is None else {"alias_column": self.alias_column}
            info = opened.info.model_copy(update={"name": name, **aliases})
            return TargetSpace(info, opened.ids, opened.texts, opened.metadata)
        return TargetSpace.from_csv(SpaceInfo(name=name, **self.model_dump(exclude={"path"})), self.path)


@dataclass(frozen=True)
class SpaceCatalogue:
    """The built-in sample, the imported taxonomies under `home`, and spaces of one's own; the last hide the others.

    Attributes:
        home: see `home.py`.
        sources: spaces of one's own by name.
        aliases: by the name of a space, the column of aliases by which its targets are matched too.
    """

    home: Path = field(default_factory=default_home)
    sources: Mapping[str, SpaceSource] = field(default_factory=dict)
    aliases: Mapping[str, str] = field(default_factory=dict)

    @property
    def indexes(self) -> Path:
        """The folder of all token indexes."""
        return self.home / INDEXES

    @property
    def exports(self) -> Path:
        """The folder of all encoders that were exported for another library than torch."""
        return self.home / EXPORTS

    @property
    def names(self) -> list[str]:
        """All names, sorted."""
        return sorted(self._openers)

    def open(self, name: str) -> TargetSpace:
        """Read a target space.

        Raises:
            UnknownSpaceError: there is none of that name.
            ArtefactError, DataError: its files cannot be used.
        """
        if name not in self._openers:
            raise UnknownSpaceError(name, self.names)
        space = self._openers[name]()
        return space.matching(self.aliases[name]) if name in self.aliases else space

    @cached_property
    def _openers(self) -> dict[str, Callable[[], TargetSpace]]:
        openers: dict[str, Callable[[], TargetSpace]] = {"sample-skills": sample_skills, "sample-jobs": sample_jobs}
        for space_file in sorted((self.home / TAXONOMIES).glob(f"*/*/{SPACE_FILE}")):
            openers[read_space_file(space_file.parent).name] = partial(TargetSpace.open, space_file.parent)
        return openers | {name: partial(source.open, name) for name, source in self.sources.items()}
