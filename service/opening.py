"""SpaceOpener: from a target space to one that can be ranked, its indexes from disk or made here."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from service.settings import Settings
from uwe_core.errors import ConfigurationError
from uwe_core.index_update import index_reusing
from uwe_core.model import UweModel
from uwe_core.ranker import Candidates, RankableSpace
from uwe_core.scoring.candidates import candidate_folder, open_or_build_candidates
from uwe_core.target_space import TargetSpace
from uwe_core.token_index import MANIFEST_FILE, TokenIndex, index_fingerprint, index_folder, open_or_build

# Told what is being done, in words for /readyz.
Report = Callable[[str], None]


class SpaceOpener:
    """Opens spaces for one model.

    Args:
        settings: of storage, candidates, and whether missing indexes are made.
        model: of the indexes.
        indexes: the folder of all of them.
        report: told what is being done.
    """

    def __init__(self, settings: Settings, model: UweModel, indexes: Path, report: Report = lambda _: None) -> None:
        self._settings = settings
        self._model = model
        self.indexes = indexes
        self._report = report

    def folder(self, space: TargetSpace) -> Path:
        """Where the token index of a space is, or is to be."""
        return index_folder(self.indexes, self._model.encoder, space, self._settings.storage)

    def is_indexed(self, name: str, space_fingerprint: str) -> bool:
        """Whether the token index of a space of that name and those texts is finished; a look, no more."""
        whole = index_fingerprint(self._model.encoder.fingerprint, space_fingerprint, self._settings.storage)
        return (self.indexes / name / whole[:16] / MANIFEST_FILE).is_file()

    def open(self, space: TargetSpace, *, uploaded: bool = False) -> RankableSpace:
        """The space with its indexes; those that are missing are made, unless settings forbid it.

        Args:
            space: to be ranked.
            uploaded: whether its index is made as uploads make it, text by text; see `index_reusing`.

        Raises:
            ConfigurationError: an index is missing, and is not to be made here.
        """
        name = space.info.name
        self._report(f"opening the token index of '{name}'")
        if not self._settings.precompute and not self.folder(space).exists():
            raise ConfigurationError(f"'{name}' has no token index of this model: run `uwe precompute {name}`")
        if uploaded and not self.is_indexed(name, space.fingerprint):
            made = index_reusing(
                self._model.encoder,
                space,
                self._settings.storage,
                progress=lambda done, total, _: self._report_encoding(name, done, total),
            )
            made.save(self.folder(space))
        encoder, storage = self._model.encoder, self._settings.storage
        index = open_or_build(self.indexes, encoder, space, storage, partial(self._report_encoding, name))
        return self.rankable(space, index)

    def rankable(self, space: TargetSpace, index: TokenIndex) -> RankableSpace:
        """The space with this index, and with its candidates where settings want some."""
        return RankableSpace(self._model, space, index, self._candidates(index))

    def _candidates(self, index: TokenIndex) -> Candidates | None:
        name = index.manifest.space
        config = self._settings.candidates.get(name)
        if config is None:
            return None
        self._report(f"opening the candidate index of '{name}'")
        folder = candidate_folder(self.indexes, index, config.kind)
        if not self._settings.precompute and not folder.exists():
            raise ConfigurationError(
                f"'{name}' has no candidate index: run `uwe precompute {name} --candidates {config.kind}`"
            )
        return Candidates(open_or_build_candidates(self.indexes, index, config.kind), config)

    def _report_encoding(self, name: str, done: int, total: int) -> None:
        self._report(f"encoding '{name}': {done} of {total} targets")
