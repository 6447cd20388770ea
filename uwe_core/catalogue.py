"""SpaceCatalogue: the target spaces of this machine by name, opened only when asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from uwe_core.errors import UnknownSpaceError
from uwe_core.home import default_home
from uwe_core.live_spaces import LiveSpaceStore
from uwe_core.sample import sample_jobs, sample_skills
from uwe_core.target_space import SPACE_FILE, SpaceInfo, SpaceKind, TargetSpace, read_space_file

TAXONOMIES = "taxonomies"
INDEXES = "indexes"
EXPORTS = "encoders"
LIVE_SPACES = "spaces"


class SpaceSource(BaseModel):
    """A target space of one's own: a CSV file (columns `id`, `text`, metadata), or a folder written by this project.

    The other fields describe a CSV file; a folder knows them itself.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: Path
    kind: SpaceKind = "other"
    language: str = "en"
    taxonomy_version: str | None = None
    licence: str | None = None
    attribution: str | None = None

    def open(self, name: str) -> TargetSpace:
        """Read the space under the name it was given."""
        if self.path.is_dir():
            opened = TargetSpace.open(self.path)
            return TargetSpace(opened.info.model_copy(update={"name": name}), opened.ids, opened.texts, opened.metadata)
        return TargetSpace.from_csv(SpaceInfo(name=name, **self.model_dump(exclude={"path"})), self.path)


@dataclass(frozen=True)
class SpaceCatalogue:
    """The sample, the imported taxonomies under `home`, spaces that were uploaded, and those of one's own.

    Of one name the last of them is taken, but an uploaded space never hides the sample or a taxonomy.

    Attributes:
        home: see `home.py`.
        sources: spaces of one's own by name.
    """

    home: Path = field(default_factory=default_home)
    sources: Mapping[str, SpaceSource] = field(default_factory=dict)

    @property
    def indexes(self) -> Path:
        """The folder of all token indexes."""
        return self.home / INDEXES

    @property
    def exports(self) -> Path:
        """The folder of all encoders that were exported for another library than torch."""
        return self.home / EXPORTS

    @property
    def live_spaces(self) -> LiveSpaceStore:
        """The spaces that were uploaded to the service."""
        return LiveSpaceStore(self.home / LIVE_SPACES, self.indexes)

    @cached_property
    def uploaded(self) -> frozenset[str]:
        """Names of the uploaded spaces, of those that nothing hides."""
        return frozenset(self.live_spaces.names()).difference(self._fixed)

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
        return self._openers[name]()

    def facts_file(self, name: str) -> Path | None:
        """The file that changes when a space does: of a taxonomy, of a folder of one's own, or of an upload."""
        if name in self.sources:
            path = self.sources[name].path
            return path / SPACE_FILE if path.is_dir() else None
        if name in self.uploaded:
            return self.live_spaces.pointer_file(name)
        return self._taxonomies[name] / SPACE_FILE if name in self._taxonomies else None

    @cached_property
    def _openers(self) -> dict[str, Callable[[], TargetSpace]]:
        return {name: partial(self.live_spaces.open, name) for name in self.uploaded} | self._fixed

    @cached_property
    def _taxonomies(self) -> dict[str, Path]:
        """The folders of the taxonomies' spaces."""
        folders = (file.parent for file in sorted((self.home / TAXONOMIES).glob(f"*/*/{SPACE_FILE}")))
        return {read_space_file(folder).name: folder for folder in folders}

    @cached_property
    def _fixed(self) -> dict[str, Callable[[], TargetSpace]]:
        """All but the uploaded ones: requests cannot change them."""
        openers: dict[str, Callable[[], TargetSpace]] = {"sample-skills": sample_skills, "sample-jobs": sample_jobs}
        openers |= {name: partial(TargetSpace.open, folder) for name, folder in self._taxonomies.items()}
        return openers | {name: partial(source.open, name) for name, source in self.sources.items()}
