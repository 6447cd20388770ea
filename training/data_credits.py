"""Whose data a model was trained on: owners' credit lines and licences, by the source that an edge names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from training.evaluate import SAMPLE
from training.sources import esco, onet

_EDGES, _FROM = ": edges", " from "


@dataclass(frozen=True)
class DataCredit:
    """What an owner's data are, under which licence, and the line that the owner asks for."""

    name: str
    licence: str
    credit: str


_ESCO = DataCredit("ESCO: skills and their descriptions", esco.LICENCE, esco.ATTRIBUTION)
_SAMPLE = DataCredit("the sample taxonomy", "CC0", "Written for this project.")
_ONET = DataCredit("O*NET", "CC BY 4.0", onet.ATTRIBUTION)
_SKILLSKAPE = DataCredit("SkillSkape", "MIT", "Magron et al. 2024, synthetic advertisement sentences.")
_VACANCIES = DataCredit("vacancies", "that of their owners", "Advertisements of whoever trained the model.")
_SYNTHETIC = DataCredit("synthetic texts", "CC0", "Generated for the skills; no advertisement is quoted.")
# Texts that the build makes from others (`composed`, `description`, `matched`) are no source of their own.
_OF_SOURCE: Mapping[str, DataCredit] = {
    "onet": _ONET,
    "skillskape": _SKILLSKAPE,
    "vacancy": _VACANCIES,
    "generated": _SYNTHETIC,
}


def edges_by_graph(counts: Mapping[str, int]) -> dict[str, int]:
    """Edges of each graph.

    Args:
        counts: of the manifest of the graphs.
    """
    return {name.removesuffix(_EDGES): count for name, count in counts.items() if name.endswith(_EDGES)}


def edges_by_source(counts: Mapping[str, int]) -> dict[str, int]:
    """Edges of each source over all graphs, most first; an edge that several sources know counts for the first."""
    found: dict[str, int] = {}
    for name, count in counts.items():
        _, is_of_source, source = name.partition(_EDGES + _FROM)
        if is_of_source:
            found[source] = found.get(source, 0) + count
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def data_credits(counts: Mapping[str, int], data: str) -> list[DataCredit]:
    """Whom to credit: the taxonomy of the skills first, then every source that an edge is from.

    Args:
        counts: of the manifest of the graphs.
        data: `sample`, or a folder of evaluation data, whose skills are ESCO's.
    """
    found = [_OF_SOURCE[source] for source in edges_by_source(counts) if source in _OF_SOURCE]
    return [_SAMPLE if data == SAMPLE else _ESCO, *found]
