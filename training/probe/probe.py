"""Probe a model for bias in the target spaces of this machine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from training.probe.movement import measure
from training.probe.report import ProbeReport
from training.probe.texts import ProbeQuery
from training.terminal import progress_bar
from training.workbench.baselines.interface import RankingModel
from uwe_core.catalogue import SpaceCatalogue
from uwe_core.target_space import TargetSpace

# Those of them that are there are probed where none is named.
STANDARD_SPACES = ("sample-skills", "sample-jobs", "esco-skills", "esco-jobs")


def spaces_to_probe(catalogue: SpaceCatalogue, names: Sequence[str]) -> Iterator[TargetSpace]:
    """The target spaces of those names, or the standard ones that are there.

    Raises:
        UnknownSpaceError: there is none of a name.
    """
    for name in names or [name for name in STANDARD_SPACES if name in catalogue.names]:
        yield catalogue.open(name)


def probe(model: RankingModel, queries: Sequence[ProbeQuery], spaces: Sequence[TargetSpace]) -> ProbeReport:
    """Every variant of every query in every space."""
    movements = {}
    for space in spaces:
        with progress_bar(f"{model.name} in {space.info.name}") as bar:
            movements[space.info.name] = measure(model, queries, space.texts, bar.update)
    return ProbeReport(model.name, model.fingerprint, queries, {one.info.name: len(one) for one in spaces}, movements)
