"""ServedSpaces: which version of each target space is live, and which one before it may still be asked for."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from uwe_core.errors import StaleFingerprintError, UnknownSpaceError

if TYPE_CHECKING:
    from uwe_core.rankable_space import RankableSpace


@dataclass(frozen=True)
class PreviousVersion:
    """What was live before.

    Attributes:
        until: when nobody may ask for it any more, in seconds of `time.time`, since it outlives a restart.
    """

    space: RankableSpace
    until: float


@dataclass(frozen=True)
class ServedSpaces:
    """One moment of all spaces by name. A change makes another one, so whoever holds this one sees no half of it."""

    live: Mapping[str, RankableSpace]
    previous: Mapping[str, PreviousVersion] = field(default_factory=dict)

    def space(self, name: str, fingerprint: str | None = None) -> RankableSpace:
        """The live version of a space, or the one of that fingerprint.

        Raises:
            UnknownSpaceError: there is no space of that name.
            StaleFingerprintError: neither the live version nor the kept one has that fingerprint.
        """
        try:
            live = self.live[name]
        except KeyError:
            raise UnknownSpaceError(name, sorted(self.live)) from None
        if fingerprint is None or fingerprint == live.fingerprint:
            return live
        kept = self.previous.get(name)
        if kept is not None and kept.space.fingerprint == fingerprint and time.time() < kept.until:
            return kept.space
        raise StaleFingerprintError(f"the space '{name}'", fingerprint, live.fingerprint)

    def with_live(self, space: RankableSpace, until: float) -> ServedSpaces:
        """With another version of a space, or a new space; the one it had is kept until then."""
        replaced = self.live.get(space.name)
        previous = dict(self.previous)
        if replaced is not None and replaced.fingerprint != space.fingerprint:
            previous[space.name] = PreviousVersion(replaced, until)
        return ServedSpaces({**self.live, space.name: space}, previous)

    def with_previous(self, space: RankableSpace, until: float) -> ServedSpaces:
        """With a version that was live before."""
        return replace(self, previous={**self.previous, space.name: PreviousVersion(space, until)})

    def without_previous(self, name: str) -> ServedSpaces:
        """Without the version that was live before."""
        return replace(self, previous={other: kept for other, kept in self.previous.items() if other != name})

    def without(self, name: str) -> ServedSpaces:
        """Without a space."""
        left = {other: space for other, space in self.live.items() if other != name}
        return replace(self.without_previous(name), live=left)
