"""AblationReport: estimates of every variant, as JSON and as a Markdown table beside the paper's figures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from training.ablations.caption import Finding, caption_of, error_of
from training.ablations.cells import AVERAGE_MAP, CellResult
from training.ablations.estimate import Estimate
from training.ablations.paper import paper_gains, paper_map
from training.ablations.variants import POOLED_TARGET, SOFT, Variant, reference_of
from uwe_core.files import write_text

REPORT_FORMAT = 1
JSON_FILE = "ablation.json"
MARKDOWN_FILE = "ablation.md"
_MAP = "/map"


@dataclass(frozen=True)
class VariantRuns:
    """A variant and its cells, one of each seed in the order of the seeds."""

    variant: Variant
    cells: Sequence[CellResult]

    def estimate(self, metric: str) -> Estimate:
        """Of a metric after training."""
        return Estimate.of([cell.metrics[metric] for cell in self.cells])

    def gain(self, metric: str) -> Estimate:
        """Of what training added to the untrained model under the same interaction."""
        return Estimate.of([cell.metrics[metric] - cell.base[metric] for cell in self.cells])

    def against(self, other: VariantRuns, metric: str) -> Estimate:
        """Of the difference to another variant, seed by seed."""
        pairs = zip(self.cells, other.cells, strict=True)
        return Estimate.of([own.metrics[metric] - others.metrics[metric] for own, others in pairs])


@dataclass(frozen=True)
class AblationReport:
    """What an ablation found.

    Attributes:
        finding: what was done.
        runs: of every variant, with the same seeds.
    """

    finding: Finding
    runs: Sequence[VariantRuns]

    @classmethod
    def of_complete_seeds(
        cls, finding: Finding, variants: Sequence[Variant], results: Sequence[CellResult]
    ) -> AblationReport | None:
        """The report of the seeds of which every variant is finished; None where there are none."""
        found = {(result.variant, result.seed): result for result in results}
        seeds = [
            seed
            for seed in sorted({result.seed for result in results})
            if all((variant.name, seed) in found for variant in variants)
        ]
        if not seeds:
            return None
        return cls(
            finding, [VariantRuns(variant, [found[variant.name, seed] for seed in seeds]) for variant in variants]
        )

    @property
    def cells(self) -> list[CellResult]:
        """Of all variants."""
        return [cell for runs in self.runs for cell in runs.cells]

    @property
    def caption(self) -> str:
        """What was done, in sentences."""
        return caption_of(self.finding, self.cells, seeds=len(self.runs[0].cells))

    @property
    def reference(self) -> VariantRuns | None:
        """The paper's method, where the ablation has one."""
        name = reference_of(self.finding.name)
        return next((runs for runs in self.runs if runs.variant.name == name), None)

    @property
    def datasets(self) -> list[str]:
        """Names of the validation sets."""
        return [dataset.name for dataset in self.finding.datasets]

    def save(self, folder: Path) -> None:
        """Write `ablation.json` and `ablation.md`."""
        write_text(folder / JSON_FILE, json.dumps(self.json(), indent=1) + "\n")
        write_text(folder / MARKDOWN_FILE, self.markdown())

    def rows(self) -> list[list[str]]:
        """A header and the rows of the table, in percent."""
        return self._transfer_rows() if self.finding.name == "transfer" else self._map_rows()

    def markdown(self) -> str:
        """Table and caption."""
        lines = _table(self.rows())
        if differences := self.difference_rows():
            lines += ["", *_table(differences)]
        lines += ["", self.caption]
        if self.finding.name == "temperature":
            lines += ["", *_paper_temperatures()]
        return "\n".join(lines) + "\n"

    def json(self) -> dict[str, Any]:
        """Everything, down to the single cells."""
        return {
            "format_version": REPORT_FORMAT,
            "ablation": self.finding.name,
            "caption": self.caption,
            "graphs_fingerprint": self.finding.graphs_fingerprint,
            "config": self.finding.config.model_dump(mode="json"),
            "datasets": [
                {"title": dataset.title, "queries": len(dataset.queries), "targets": len(dataset.targets)}
                for dataset in self.finding.datasets
            ],
            "variants": [self._variant_json(runs) for runs in self.runs],
            "cells": [cell.model_dump(mode="json") for cell in self.cells],
        }

    def _variant_json(self, runs: VariantRuns) -> dict[str, Any]:
        metrics = list(runs.cells[0].metrics)
        reference = self.reference
        return {
            "name": runs.variant.name,
            "synthetic_share": runs.variant.synthetic_share,
            "interaction": runs.variant.run.interaction and runs.variant.run.interaction.model_dump(mode="json"),
            "metrics": {metric: asdict(runs.estimate(metric)) for metric in metrics},
            "gains": {metric: asdict(runs.gain(metric)) for metric in metrics},
            "against": reference
            and {
                "variant": reference.variant.name,
                "metrics": {metric: asdict(runs.against(reference, metric)) for metric in metrics},
            },
        }

    def _map_rows(self) -> list[list[str]]:
        reference = self.reference
        header = ["variant", "MAP", "over the untrained base"]
        header += [f"against {reference.variant.name}"] if reference else []
        of_paper = self.finding.name in {"loss", "interaction"}
        rows = [[*header, *self.datasets, *(["paper"] if of_paper else [])]]
        for runs in self.runs:
            average, gain = runs.estimate(AVERAGE_MAP), runs.gain(AVERAGE_MAP)
            row = [runs.variant.title, average.text(average.half_width), gain.text(gain.half_width, signed=True)]
            if reference:
                difference = runs.against(reference, AVERAGE_MAP)
                row.append("" if runs is reference else difference.text(difference.half_width, signed=True))
            row += [f"{runs.estimate(name + _MAP).mean:.1f}" for name in self.datasets]
            rows.append([*row, *([self._paper(runs)] if of_paper else [])])
        return rows

    def difference_rows(self) -> list[list[str]]:
        """Of every other variant to the paper's method on each data set, seed by seed; none where there is no such."""
        reference = self.reference
        if reference is None:
            return []
        columns = [*self.datasets, "average"]
        rows = [[f"MAP against {reference.variant.name}", *columns]]
        for runs in self.runs:
            if runs is not reference:
                differences = [runs.against(reference, name + _MAP) for name in columns]
                texts = [difference.text(difference.half_width, signed=True) for difference in differences]
                rows.append([runs.variant.title, *texts])
        return rows

    def _paper(self, runs: VariantRuns) -> str:
        return paper_map("loss" if self.finding.name == "loss" else "interaction", runs.variant.name)

    def _transfer_rows(self) -> list[list[str]]:
        columns = [*self.datasets, "average"]
        rows = [["trained on", *columns]]
        for runs in self.runs:
            gains = [runs.gain(name + _MAP) for name in columns]
            rows.append(
                [runs.variant.name, *(gain.text(error_of(self.finding.name, gain), signed=True) for gain in gains)]
            )
        for runs in self.runs:
            told = paper_gains(runs.variant.name)
            if told:
                rows.append([f"paper: {runs.variant.name}", *(told.get(name, "") for name in columns)])
        return rows


def _paper_temperatures() -> list[str]:
    soft, pooled = (paper_map("interaction", kind) for kind in (SOFT, POOLED_TARGET))
    return [f"Best of the paper's grid (0.1, 0.5, 1, 2): {SOFT} {soft}, {POOLED_TARGET} {pooled}."]


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    header, *others = rows
    return [_line(header), _line(["---"] * len(header)), *map(_line, others)]


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
