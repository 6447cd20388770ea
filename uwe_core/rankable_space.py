"""RankableSpace: a target space that is loaded, with all that scoring it needs."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

from uwe_core.metadata_filter import MetadataFilter, TargetMask
from uwe_core.model import UweModel
from uwe_core.ranked_target import RankedTarget
from uwe_core.scoring import Scorer, make_scorer
from uwe_core.scoring.alias_rows import AliasRows
from uwe_core.scoring.candidates import CandidateConfig, CandidateIndex, CandidateScorer, candidate_fingerprint
from uwe_core.target_space import SpaceInfo, TargetSpace
from uwe_core.text import same_text_key
from uwe_core.token_index import StorageType, TokenIndex

# Of filters, a byte for each target of a space.
_KEPT_MASKS = 32


@dataclass(frozen=True)
class SpaceSummary:
    """What is loaded of one target space.

    Attributes:
        index_fingerprint: of everything beside the model that decides answers: the token index and, where there are
            any, how candidates are found and the metadata.
        candidates: how targets are proposed; None where every target is scored.
        columns: of the metadata; what a filter may name.
        aliases: of all targets together, by which they are matched too.
    """

    info: SpaceInfo
    fingerprint: str
    index_fingerprint: str
    dtype: StorageType
    targets: int
    tokens: int
    nbytes: int
    candidates: CandidateConfig | None = None
    columns: tuple[str, ...] = ()
    aliases: int = 0


@dataclass(frozen=True)
class Candidates:
    """What proposes the targets that are scored."""

    index: CandidateIndex
    config: CandidateConfig


class RankableSpace:
    """A target space with its token index on the model's device, ready to be scored.

    Args:
        model: that made the index.
        space: the targets.
        index: of the space.
        candidates: of the index; every target is scored where None.

    Raises:
        FingerprintError: an index was made by another model, from other texts, or from another token index.
    """

    def __init__(
        self, model: UweModel, space: TargetSpace, index: TokenIndex, candidates: Candidates | None = None
    ) -> None:
        index.check_fits(model.encoder, space)
        self.space = space
        self.index = index.to(model.encoder.device)
        self.candidates = None if candidates is None else candidates.config
        self.alias_rows = AliasRows.of(space, self.index.embeddings.device)
        self.scorer: Scorer | CandidateScorer
        if candidates is None:
            self.scorer = make_scorer(self.index, model.interaction)
        else:
            candidates.index.check_fits(index)
            complete = None if self.alias_rows is None else self.alias_rows.complete
            self.scorer = CandidateScorer(
                self.index, model.interaction, candidates.index, candidates.config.count, complete
            )
        self._metadata: dict[int, dict[str, Any]] = {}
        self._kept_mask = lru_cache(_KEPT_MASKS)(self._mask)
        # At once: the hash of large metadata takes time that no request should wait for.
        self.fingerprint = _fingerprint(self)

    @property
    def name(self) -> str:
        """The space's."""
        return self.space.info.name

    @property
    def columns(self) -> tuple[str, ...]:
        """Of the metadata; what a filter may name."""
        return tuple(self.space.metadata.column_names)

    def summary(self) -> SpaceSummary:
        """The facts of the space and its index."""
        manifest = self.index.manifest
        return SpaceSummary(
            info=self.space.info,
            fingerprint=self.space.fingerprint,
            index_fingerprint=self.fingerprint,
            dtype=manifest.dtype,
            targets=len(self.space),
            tokens=manifest.tokens,
            nbytes=self.index.nbytes,
            candidates=self.candidates,
            columns=self.columns,
            aliases=manifest.targets - len(self.space),
        )

    def mask(self, wanted: MetadataFilter) -> TargetMask:
        """Which targets meet a filter, on the device of the scores; not to be changed.

        Raises:
            InputError: it names a column that the space does not have.
        """
        return self._kept_mask(wanted)

    def _mask(self, wanted: MetadataFilter) -> TargetMask:
        return wanted.mask(self.space.metadata).to(self.index.embeddings.device)

    def metadata_of(self, targets: Sequence[int]) -> list[dict[str, Any]]:
        """The metadata of several targets, by index; read from the table once for each, and not to be changed."""
        unread = [target for target in targets if target not in self._metadata]
        if unread:
            self._metadata.update(zip(unread, self.space.metadata_of(unread), strict=True))
        return [self._metadata[target] for target in targets]

    def row_of(self, target: RankedTarget) -> int:
        """The target of the index, of the space or one of its aliases, to which a ranked target owes its score."""
        position = self.targets_by_id[target.id]
        return position if self.alias_rows is None else self.alias_rows.row_of(position, target.matched_alias)

    @cached_property
    def targets_by_id(self) -> dict[str, int]:
        """Target indices by id."""
        return {identifier: position for position, identifier in enumerate(self.space.ids)}

    @cached_property
    def targets_by_text(self) -> dict[str, list[int]]:
        """Target indices by the key of their text; targets may share a text.

        A matched alias stands for its target too, unless it is the text of another.
        """
        by_text: defaultdict[str, list[int]] = defaultdict(list)
        for position, text in enumerate(self.space.texts):
            by_text[same_text_key(text)].append(position)
        by_alias: defaultdict[str, list[int]] = defaultdict(list)
        for position, aliases in enumerate(self.space.aliases):
            for alias in aliases:
                by_alias[same_text_key(alias)].append(position)
        return by_alias | by_text


def _fingerprint(rankable: RankableSpace) -> str:
    """See `SpaceSummary.index_fingerprint`."""
    index, candidates, metadata = rankable.index, rankable.candidates, rankable.space.metadata_fingerprint
    fingerprint = index.fingerprint
    if candidates is not None:
        found_by = candidate_fingerprint(index, candidates.kind)
        fingerprint = hashlib.sha256(f"{found_by} {candidates.count}".encode()).hexdigest()
    if metadata is not None:
        fingerprint = hashlib.sha256(f"{fingerprint} {metadata}".encode()).hexdigest()
    return fingerprint
