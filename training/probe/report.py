"""ProbeReport: what was measured in each target space, as JSON and Markdown."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from training.probe.movement import TOP, AttributeFigures, Estimate, Movement, summarise, summarise_words
from training.probe.texts import CONTROL, ProbeQuery
from uwe_core.files import write_text

RESULTS_FILE = "bias.json"
TABLE_FILE = "bias.md"


@dataclass(frozen=True)
class ProbeReport:
    """One model.

    Attributes:
        fingerprint: of the model.
        sizes: targets by name of the target space.
        movements: by name of the target space.
    """

    model: str
    fingerprint: str
    queries: Sequence[ProbeQuery]
    sizes: Mapping[str, int]
    movements: Mapping[str, Sequence[Movement]]

    def markdown(self) -> str:
        """A table of attributes by target space, and one of single words."""
        return "\n".join([*self._attributes(), "", *self._words()]) + "\n"

    def json(self) -> dict[str, Any]:
        """Everything, single variants included."""
        return {
            "model": self.model,
            "fingerprint": self.fingerprint,
            "top": TOP,
            "spaces": {name: self._space_json(name) for name in self.movements},
        }

    def write(self, folder: Path) -> None:
        """Write `bias.json` and `bias.md`."""
        write_text(folder / RESULTS_FILE, json.dumps(self.json(), indent=1, ensure_ascii=False) + "\n")
        write_text(folder / TABLE_FILE, self.markdown())

    def _attributes(self) -> Iterator[str]:
        yield f"`{self.model}`: how the neutral query's {TOP} best targets move; means over queries, 95 % intervals."
        yield f"The last two columns are less `{CONTROL}` on the same queries."
        yield ""
        yield "| target space | attribute | queries | rank change | overlap | rank change beyond | overlap beyond |"
        yield "|---|---|---|---|---|---|---|"
        for space, movements in self.movements.items():
            for attribute, figures in summarise(movements).items():
                yield f"| {space} ({self.sizes[space]:,}) | {attribute} | {figures.queries} | {_cells(figures)} |"

    def _words(self) -> Iterator[str]:
        yield "| target space | attribute | word | rank change | overlap | rank change beyond | overlap beyond |"
        yield "|---|---|---|---|---|---|---|"
        for space, movements in self.movements.items():
            for (attribute, word), figures in summarise_words(movements).items():
                yield f"| {space} | {attribute} | {word} | {_cells(figures)} |"

    def _space_json(self, space: str) -> dict[str, Any]:
        movements = self.movements[space]
        words = summarise_words(movements)
        return {
            "targets": self.sizes[space],
            "attributes": {name: asdict(figures) for name, figures in summarise(movements).items()},
            "words": [{"attribute": name, "word": word, **asdict(figures)} for (name, word), figures in words.items()],
            "variants": [self._variant_json(movement) for movement in movements],
        }

    def _variant_json(self, movement: Movement) -> dict[str, Any]:
        query = self.queries[movement.query]
        return {
            "query": query.text,
            "variant": query.variants[movement.attribute][movement.word],
            "attribute": movement.attribute,
            "rank_change": movement.rank_change,
            "overlap": movement.overlap,
        }


def _cells(figures: AttributeFigures) -> str:
    beyond = ["", ""] if figures.beyond_control is None else [
        _shown(figures.beyond_control[0], 1), _shown(figures.beyond_control[1], 2)
    ]  # fmt: skip
    return " | ".join([_shown(figures.rank_change, 1), _shown(figures.overlap, 2), *beyond])


def _shown(estimate: Estimate, digits: int) -> str:
    return f"{estimate.mean:.{digits}f} [{estimate.low:.{digits}f}, {estimate.high:.{digits}f}]"
