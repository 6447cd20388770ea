"""Precompute the token indexes of target spaces; the work itself is `uwe_core.token_index`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

from training.terminal import progress_bar
from uwe_core.backends.choosing import Candidate
from uwe_core.backends.interface import EXPORTING
from uwe_core.backends.making import named_way
from uwe_core.catalogue import SpaceCatalogue
from uwe_core.errors import InputError
from uwe_core.model import UweModel
from uwe_core.scoring.candidates import CandidateKind, open_or_build_candidates
from uwe_core.target_space import TargetSpace
from uwe_core.token_index import Progress, StorageType, TokenIndex, open_or_build

# Makes the token index of a space; told of the targets done and their total.
IndexBuild: TypeAlias = Callable[[TargetSpace, Progress], TokenIndex]


@dataclass(frozen=True)
class Precomputed:
    """The index of one space, and whether a finished one was found."""

    space: TargetSpace
    index: TokenIndex
    reused: bool


def precompute(
    model: UweModel,
    catalogue: SpaceCatalogue,
    names: Sequence[str],
    dtype: StorageType,
    candidates: CandidateKind | None = None,
    build: IndexBuild | None = None,
) -> Iterator[Precomputed]:
    """Build the indexes that are missing or cannot be used; each is saved as soon as it is done.

    Args:
        model: that encodes.
        catalogue: of the spaces, and where indexes are kept.
        names: of the spaces.
        dtype: in which token embeddings are stored.
        candidates: kind of the candidate index that each space is given too; none where None.
        build: makes a token index and tells its progress; this process alone where None.
    """
    spaces = [catalogue.open(name) for name in names]  # every name is checked before any work starts
    for space in spaces:
        with progress_bar(space.info.name) as bar:
            made = None if build is None else partial(build, space, bar.update)
            index = open_or_build(catalogue.indexes, model.encoder, space, dtype, bar.update, made)
        if candidates is not None:
            open_or_build_candidates(catalogue.indexes, index, candidates)
        yield Precomputed(space, index, reused=not bar.moved)


def wanted_exports(words: Sequence[str]) -> list[Candidate]:
    """The backends and precisions that an encoder is to be exported for, from words such as `openvino-int8`.

    Raises:
        InputError: a word that names none.
    """
    ways = []
    for word in words:
        way = named_way(word)
        if way is None or way[0] not in EXPORTING:
            raise InputError(f"'{word}' is no backend that reads exports with a precision, such as openvino-float32")
        ways.append(way)
    return ways
