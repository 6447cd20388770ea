"""SpaceVersions: puts versions of spaces in the place of others, and finds those that another process has finished."""

from __future__ import annotations

import logging
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import torch

from service.engine import RankingEngine
from service.live.jobs import Progress
from service.observability import Metrics
from service.opening import SpaceOpener
from service.settings import Settings
from service.space_status import SpaceStatus
from uwe_core.catalogue import SpaceCatalogue
from uwe_core.errors import UweError
from uwe_core.index_update import index_reusing
from uwe_core.languages import language_warnings
from uwe_core.live_spaces import version_of
from uwe_core.ranker import RankableSpace
from uwe_core.target_space import TargetSpace, read_space_file
from uwe_core.token_embeddings import TokenEmbeddings
from uwe_core.token_index import TokenIndex

logger = logging.getLogger(__name__)

# What tells whether a file is still the same one: its place on disk, its size and its time.
_Stamp = tuple[int, int, int]


class SpaceVersions:
    """Replaces the engine's spaces, one change at a time and each by one assignment.

    Args:
        engine: whose spaces are replaced.
        settings: where everything lies, and how long versions are kept.
        metrics: told of swaps.
    """

    def __init__(self, engine: RankingEngine, settings: Settings, metrics: Metrics) -> None:
        self._engine = engine
        self._settings = settings
        self._metrics = metrics
        self._replacing = threading.Lock()
        self._warned: set[str] = set()
        catalogue = self.catalogue()
        self._uploaded = set(catalogue.uploaded)
        self._stamps = {name: self._first_stamp(catalogue, name) for name in engine.served.live}

    def catalogue(self) -> SpaceCatalogue:
        """All spaces of this machine as they are now."""
        return SpaceCatalogue(self._settings.home, self._settings.spaces)

    def live(self, name: str) -> RankableSpace:
        """The newest version of a space, also where another process has just made it.

        Raises:
            UnknownSpaceError: there is none.
        """
        with self._replacing:
            self._look_at(self.catalogue(), name)
            return self._engine.served.space(name)

    def publish(self, space: TargetSpace, onto: RankableSpace | None, progress: Progress) -> str:
        """Index a version, store it, and serve it from then on; returns the fingerprint of its index.

        Args:
            space: the version.
            onto: the version it was made from, which must still be the live one; None takes the place of any.
            progress: told while texts are encoded; whatever it raises stops the work, and the old version stays.
        """
        name = space.info.name
        opener = SpaceOpener(self._settings, self._engine.model, self.catalogue().indexes)
        index = self._new_index(space, opener, progress)
        ready: list[RankableSpace] = []

        def finish() -> None:
            if index is not None:
                index.save(opener.folder(space))
            ready.append(opener.rankable(space, TokenIndex.open(opener.folder(space))))
            self._warm_up(ready[0])

        with self._replacing:
            store = self.catalogue().live_spaces
            pointer = store.publish(space, finish, None if onto is None else version_of(onto.space))
            self._uploaded.add(name)
            self._serve(ready[0], pointer.changed.timestamp())
        return ready[0].fingerprint

    def delete(self, name: str) -> None:
        """Remove an uploaded space from disk and from what is served."""
        with self._replacing:
            self.catalogue().live_spaces.delete(name)
            self._withdraw(name)

    def refresh(self) -> None:
        """Serve what another process has finished: a taxonomy imported and indexed anew, an uploaded space changed."""
        catalogue = self.catalogue()
        for name in sorted({*self._engine.served.live, *catalogue.uploaded}):
            with self._replacing:
                try:
                    self._look_at(catalogue, name)
                except (UweError, OSError) as error:  # perhaps it is being written; what is served goes on
                    if str(error) not in self._warned:
                        self._warned.add(str(error))
                        logger.warning("the space '%s' stays as it is: %s", name, error)

    def drop_expired(self) -> None:
        """Forget previous versions whose time is over, in memory and on disk."""
        for name, kept in self._engine.served.previous.items():
            if time.time() >= kept.until:
                with self._replacing:
                    self._engine.served = self._engine.served.without_previous(name)
                    if name in self._uploaded:
                        self.catalogue().live_spaces.forget_previous(name)

    def statuses(self) -> dict[str, SpaceStatus]:
        """What is known of each served space, by name."""
        served = self._engine.served
        languages = self._engine.description.languages
        found = {}
        for name, space in served.live.items():
            warnings = language_warnings(languages, space.summary().info)
            kept = served.previous.get(name)
            if kept is None or kept.until <= time.time():
                found[name] = SpaceStatus(name in self._uploaded, warnings)
            else:
                until = datetime.fromtimestamp(kept.until, UTC)
                found[name] = SpaceStatus(name in self._uploaded, warnings, kept.space.fingerprint, until)
        return found

    def _new_index(self, space: TargetSpace, opener: SpaceOpener, progress: Progress) -> TokenIndex | None:
        """The index to be stored; None where it is there already."""
        if opener.is_indexed(space.info.name, space.fingerprint):
            progress(len(space), len(space), 0)
            return None
        live = self._engine.served.live.get(space.info.name)
        known = None if live is None else (live.space, live.index)
        return index_reusing(self._engine.model.encoder, space, self._settings.storage, known, progress)

    @torch.inference_mode()
    def _warm_up(self, space: RankableSpace) -> None:
        """Make what a first request would wait for; shows too that the version can be ranked before it is live."""
        encoder = self._engine.model.encoder
        ids = encoder.tokenise(space.space.texts[:1]).token_ids
        space.scorer.score(TokenEmbeddings.from_texts([encoder.hidden(ids)]))
        space.targets_by_id  # noqa: B018 - made when first asked for
        space.targets_by_text  # noqa: B018

    def _serve(self, space: RankableSpace, since: float) -> None:
        """From now on; requests that were accepted before keep the version that they have."""
        self._engine.served = self._engine.served.with_live(space, since + self._settings.previous_version_seconds)
        self._metrics.space_swaps.inc()
        self._metrics.describe_spaces([space.summary()])
        for warning in language_warnings(self._engine.description.languages, space.space.info):
            logger.warning("the space '%s': %s", space.name, warning)
        logger.info("the space '%s' is now %.16s, %d targets", space.name, space.fingerprint, len(space.space))

    def _withdraw(self, name: str) -> None:
        self._engine.served = self._engine.served.without(name)
        self._uploaded.discard(name)
        self._stamps.pop(name, None)
        self._metrics.forget_space(name)
        logger.info("the space '%s' was removed", name)

    def _look_at(self, catalogue: SpaceCatalogue, name: str) -> None:
        """Serve the version of a space that is on disk, where it is another one and its token index is finished."""
        if name in catalogue.uploaded:
            self._look_at_upload(catalogue, name)
        elif name in self._uploaded:
            if not any(task.target_space == name for task in self._engine.tasks.values()):
                self._withdraw(name)
        elif name in self._engine.served.live:
            self._look_at_taxonomy(catalogue, name)

    def _look_at_upload(self, catalogue: SpaceCatalogue, name: str) -> None:
        pointer = catalogue.live_spaces.pointer(name)
        served = self._engine.served.live.get(name)
        if pointer is None or (served is not None and version_of(served.space) == pointer.live):
            return
        self._swap_in(catalogue, catalogue.live_spaces.open(name, pointer.live), pointer.changed.timestamp())
        self._uploaded.add(name)

    def _look_at_taxonomy(self, catalogue: SpaceCatalogue, name: str) -> None:
        file = catalogue.facts_file(name)
        stamp = None if file is None else _stamp(file)
        if file is None or stamp is None or stamp == self._stamps.get(name):
            return
        opener = SpaceOpener(self._settings, self._engine.model, catalogue.indexes)
        if not opener.is_indexed(name, read_space_file(file.parent).fingerprint):
            return
        self._swap_in(catalogue, catalogue.open(name), time.time())
        self._stamps[name] = stamp

    def _swap_in(self, catalogue: SpaceCatalogue, space: TargetSpace, since: float) -> None:
        opener = SpaceOpener(self._settings, self._engine.model, catalogue.indexes)
        if opener.is_indexed(space.info.name, space.fingerprint):
            found = opener.rankable(space, TokenIndex.open(opener.folder(space)))
            self._warm_up(found)
            self._serve(found, since)

    def _first_stamp(self, catalogue: SpaceCatalogue, name: str) -> _Stamp | None:
        """Of the file that the served version was opened from; None where it has changed since."""
        file = catalogue.facts_file(name)
        if file is None or name in self._uploaded:
            return None
        stamp = _stamp(file)
        same = read_space_file(file.parent).fingerprint == self._engine.served.live[name].summary().fingerprint
        return stamp if same else None


def _stamp(file: Path) -> _Stamp | None:
    try:
        facts = file.stat()
    except FileNotFoundError:
        return None
    return facts.st_ino, facts.st_size, facts.st_mtime_ns
