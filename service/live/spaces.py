"""LiveSpaces: accepts changes of target spaces, and makes them one after another off the event loop."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial

from service.engine import RankingEngine
from service.live.jobs import Job, JobQueue, Progress
from service.live.uploads import SpacePatch, patched
from service.live.versions import SpaceVersions
from service.observability import Metrics
from service.settings import Settings
from service.space_status import SpaceStatus
from uwe_core.errors import (
    ConflictError,
    DataError,
    LimitError,
    ReadOnlySpaceError,
    SpaceInUseError,
    StaleFingerprintError,
    TextError,
    UnknownSpaceError,
)
from uwe_core.ranker import RankableSpace
from uwe_core.target_space import TargetSpace, is_space_name


class LiveSpaces:
    """What is refused here is refused before anything is changed; what is accepted becomes a job.

    Changes are made in the order in which they came, each of the version that the one before it left.

    Args:
        engine: whose spaces are changed.
        settings: limits, and where everything lies.
        metrics: told of jobs and swaps.
    """

    def __init__(self, engine: RankingEngine, settings: Settings, metrics: Metrics) -> None:
        self._engine = engine
        self._settings = settings
        self._jobs = JobQueue(settings.max_space_jobs, metrics)
        self._versions = SpaceVersions(engine, settings, metrics)

    def put(self, space: TargetSpace) -> Job:
        """Make a space what was uploaded, or make a new one.

        Raises:
            ReadOnlySpaceError, ConflictError, LimitError: it cannot be.
            DataError: a text that the model cannot read, naming the target.
            OverloadedError: too many changes wait.
        """
        name = space.info.name
        known = self._ours(name)
        if name not in known and len(known) >= self._settings.max_spaces:
            raise ConflictError(f"there are {len(known)} uploaded spaces, as many as there may be: delete one")
        self._check_size(space)
        self._check_texts(name, zip(space.ids, space.texts, space.aliases, strict=True))
        return self._jobs.submit(name, "put", partial(self._put, space))

    def patch(self, name: str, patch: SpacePatch) -> Job:
        """Change some targets of an uploaded space.

        Where other changes of the space wait, the job itself looks whether this one can be made after them.

        Raises:
            UnknownSpaceError: there is none, and none is on its way.
            StaleFingerprintError: another version is live than the change is for.
            DataError: what cannot be used, naming the target.
            ReadOnlySpaceError, LimitError, OverloadedError: it cannot be.
        """
        waiting = name in self._jobs.pending()
        if name not in self._ours(name):
            raise UnknownSpaceError(name, sorted(self._engine.served.live))
        self._check_texts(name, ((target.id, target.text, target.aliases) for target in patch.put))
        if not waiting:
            self._check_size(_applied(patch, self._engine.served.space(name)))
        return self._jobs.submit(name, "patch", partial(self._patch, name, patch))

    def delete(self, name: str) -> Job:
        """Remove an uploaded space with all its versions.

        Raises:
            UnknownSpaceError: there is none, and none is on its way.
            SpaceInUseError: a task ranks it.
            ReadOnlySpaceError, OverloadedError: it cannot be.
        """
        if name not in self._ours(name):
            raise UnknownSpaceError(name, sorted(self._engine.served.live))
        for task in self._engine.tasks.values():
            if task.target_space == name:
                raise SpaceInUseError(f"the task '{task.name}' ranks the space '{name}'")
        return self._jobs.submit(name, "delete", partial(self._delete, name))

    def job(self, identifier: str) -> Job:
        """The job of that id, or UnknownJobError."""
        return self._jobs.get(identifier)

    def jobs(self) -> list[Job]:
        """The last jobs, newest first."""
        return self._jobs.all()

    def statuses(self) -> dict[str, SpaceStatus]:
        """What is known of each served space, by name."""
        return self._versions.statuses()

    def look_around(self) -> None:
        """Drop versions whose time is over, and serve what other processes have finished, where settings want it."""
        self._versions.drop_expired()
        if self._settings.refresh_seconds:
            self._versions.refresh()

    def close(self, seconds: float) -> None:
        """Stop what runs between two texts, and cancel what waits."""
        self._jobs.close(seconds)

    def _ours(self, name: str) -> frozenset[str]:
        """Names of the uploaded spaces and of those on their way, for a change of this one.

        Raises:
            DataError: it is no name of a space.
            ReadOnlySpaceError: requests cannot change it.
        """
        if not is_space_name(name):
            raise DataError(name[:64], None, "a space's name is 1 to 64 of a-z, 0-9, '.', '_' and '-'")
        catalogue = self._versions.catalogue()
        if name in catalogue.names and name not in catalogue.uploaded:
            raise ReadOnlySpaceError(f"the space '{name}' is of the settings, a taxonomy or the sample: not to change")
        return catalogue.uploaded | self._jobs.pending("put")

    def _check_size(self, space: TargetSpace) -> None:
        texts = len(space.matched_texts)  # memory is taken by aliases, too
        if texts > self._settings.max_targets:
            most = self._settings.max_targets
            raise LimitError(f"{space.info.name}: {texts} targets and aliases; a space may have {most}")

    def _check_texts(self, name: str, targets: Iterable[tuple[str, str, Sequence[str]]]) -> None:
        """Refuse a text or an alias that the model cannot read."""
        owned = [
            (identifier, text)
            for identifier, own, aliases in targets
            for text in (own, *(alias for alias in aliases if alias.strip()))
        ]
        if not owned:
            return
        ids, texts = zip(*owned, strict=True)
        try:
            self._engine.tokenise(texts)
        except TextError as error:
            raise DataError(name, None, f"the text of '{ids[error.position]}' {error.reason}") from error

    # What follows runs on the thread of the jobs.

    def _put(self, space: TargetSpace, progress: Progress) -> str:
        self._ours(space.info.name)  # a taxonomy may have come meanwhile
        return self._versions.publish(space, None, progress)

    def _patch(self, name: str, patch: SpacePatch, progress: Progress) -> str:
        live = self._versions.live(name)
        space = _applied(patch, live)
        self._check_size(space)
        return self._versions.publish(space, live, progress)

    def _delete(self, name: str, _: Progress) -> None:
        self._versions.delete(name)


def _applied(patch: SpacePatch, live: RankableSpace) -> TargetSpace:
    """The space after a change.

    Raises:
        StaleFingerprintError: the change is for another version.
        DataError: it cannot be made.
    """
    if patch.fingerprint is not None and patch.fingerprint != live.fingerprint:
        raise StaleFingerprintError(f"the space '{live.name}'", patch.fingerprint, live.fingerprint)
    return patched(live.space, patch)
