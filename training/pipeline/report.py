"""The report of a build: what came in, what was dropped and why, and how the long tail changed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import polars as pl
from jaxtyping import Int64
from matplotlib.figure import Figure
from numpy import ndarray

from training.pipeline.degrees import QUANTILES, coverage, degrees
from training.pipeline.enrich import CURVE_FILE
from training.pipeline.stage import StageManifest
from training.pipeline.threshold import ThresholdChoice
from uwe_core.graph import SKILLS_FILE

REPORT_FILE = "report.md"
REAL_SOURCES = ("vacancy", "onet")


def write_report(root: Path, manifests: Mapping[str, StageManifest], folder: Path) -> None:
    """Write `report.md` and its plots.

    Args:
        root: of the finished build.
        manifests: of its stages, in order.
        folder: to write into.
    """
    tables = {path.stem: pl.read_parquet(path) for path in sorted((root / "graphs").glob("*.parquet"))}
    skills = len(tables.pop(Path(SKILLS_FILE).stem))
    graphs = {name: edges for name, edges in tables.items() if "skill_id" in edges.columns}
    choice = ThresholdChoice.read(root / "threshold")
    sections = ["# Graphs", *(_stage_table(manifest) for manifest in manifests.values())]
    sections += ["## Degrees", _degree_table(graphs, skills), "![Titles per skill](degrees.png)"]
    _save_degrees(graphs["job"], skills, folder / "degrees.png")
    if choice.curve:
        sections += ["## Threshold of extraction", _choice_line(choice), "![Precision and recall](threshold.png)"]
        _save_threshold(choice, folder / "threshold.png")
    sections += ["## Matching of generated titles", "![Matched share](matching.png)"]
    _save_matching(pl.read_parquet(root / "enriched" / CURVE_FILE), folder / "matching.png")
    (folder / REPORT_FILE).write_text("\n\n".join(sections) + "\n")


def _stage_table(manifest: StageManifest) -> str:
    rows = [f"| {what} | {count:,} |" for what, count in manifest.counts.items()]
    return "\n".join([f"## Stage {manifest.stage}", "", "| what | count |", "|---|---|", *rows])


def _degree_table(graphs: Mapping[str, pl.DataFrame], skills: int) -> str:
    quantiles = " | ".join(f"{quantile:.0%} have at most" for quantile in QUANTILES)
    header = [f"| graph | edges | skills with an edge | {quantiles} |", "|---" * (3 + len(QUANTILES)) + "|"]
    real = _degree_row("job, real titles alone", degrees(graphs["job"], skills, REAL_SOURCES))
    return "\n".join([*header, real, *(_degree_row(name, degrees(edges, skills)) for name, edges in graphs.items())])


def _degree_row(name: str, counts: Int64[ndarray, " skills"]) -> str:
    quantiles = " | ".join(f"{np.quantile(counts, quantile):.0f}" for quantile in QUANTILES)
    return f"| {name} | {counts.sum():,} | {coverage(counts):.1%} | {quantiles} |"


def _choice_line(choice: ThresholdChoice) -> str:
    point = next(point for point in choice.curve if point.threshold == choice.threshold)
    return (
        f"{choice.threshold:.3f}, where precision is {point.precision:.2f} and recall {point.recall:.2f} on "
        f"{', '.join(choice.chosen_on)}; precision counts {choice.precision_weight:g} times as much as recall."
    )


def _save_degrees(job: pl.DataFrame, skills: int, path: Path) -> None:
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for counts, label in (
        (degrees(job, skills, REAL_SOURCES), "real titles"),
        (degrees(job, skills), "with generated ones"),
    ):
        shown = counts[counts > 0]
        axes.plot(np.arange(1, len(shown) + 1), shown, label=f"{label}: {coverage(counts):.0%} of skills have one")
    axes.set(xscale="log", yscale="log", xlabel="skills, most frequent first", ylabel="job titles")
    axes.legend()
    figure.savefig(path, dpi=120)


def _save_threshold(choice: ThresholdChoice, path: Path) -> None:
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    thresholds = [point.threshold for point in choice.curve]
    for name, label in (("precision", "precision"), ("recall", "recall"), ("f_score", "weighted F")):
        axes.plot(thresholds, [getattr(point, name) for point in choice.curve], label=label)
    axes.axvline(choice.threshold, color="grey", linestyle=":", label="chosen")
    axes.set(xlabel="confidence", ylim=(0, 1))
    axes.legend()
    figure.savefig(path, dpi=120)


def _save_matching(curve: pl.DataFrame, path: Path) -> None:
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    axes.plot(curve["threshold"], curve["matched_share"])
    axes.set(xlabel="cosine", ylabel="generated titles with a match above it", ylim=(0, 1))
    figure.savefig(path, dpi=120)
