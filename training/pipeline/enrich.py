"""Enrich: generated titles become real ones where they mean the same, new ones where none does (paper, appendix B)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

from training.pipeline.matching import MATCHES_SCHEMA

TITLE_EDGES_FILE = "edges.parquet"
CURVE_FILE = "curve.parquet"
CURVE_THRESHOLDS = tuple(round(0.3 + 0.02 * step, 2) for step in range(36))


def enriched_edges(
    generated: pl.DataFrame, titles: Sequence[str], real: pl.DataFrame, matches: pl.DataFrame, threshold: float
) -> pl.DataFrame:
    """The edges that generated titles add.

    Args:
        generated: `title`, `skill_id`.
        titles: the distinct generated titles, in the order that matches number them.
        real: the real titles, `title` and `group`, in the order that matches number them.
        matches: see `matching.match`.
        threshold: of the cosine.

    Returns:
        `text`, `skill_id`, `source` (`matched` or `generated`), `group`, `confidence` (a match's cosine).
    """
    numbered = pl.DataFrame({"title": list(titles)}).with_columns(number=pl.int_range(pl.len(), dtype=pl.Int32))
    pairs = generated.join(numbered, on="title")
    accepted = matches.filter(pl.col("cosine") > threshold)
    matched = (
        pairs.join(accepted, left_on="number", right_on="text")
        .join(real.with_columns(match=pl.int_range(pl.len(), dtype=pl.Int32)), on="match", suffix="_real")
        .select(
            text="title_real", skill_id="skill_id", source=pl.lit("matched"), group="group", confidence="cosine"
        )
    )  # fmt: skip
    new = pairs.join(accepted, left_on="number", right_on="text", how="anti").select(
        text="title", skill_id="skill_id", source=pl.lit("generated"), group=pl.lit(""),
        confidence=pl.lit(1.0, pl.Float32),
    )  # fmt: skip
    return pl.concat([matched, new])


def match_curve(matches: pl.DataFrame, generated_titles: int) -> pl.DataFrame:
    """What other thresholds would give, from the nearest real title of each generated one (paper, figure 5).

    Returns:
        `threshold`, `matched_share` of generated titles with at least one match.
    """
    nearest = matches.group_by("text").agg(pl.col("cosine").max())["cosine"].to_numpy()
    shares = [float(np.count_nonzero(nearest > threshold)) / max(1, generated_titles) for threshold in CURVE_THRESHOLDS]
    return pl.DataFrame({"threshold": CURVE_THRESHOLDS, "matched_share": shares})


def read_matches(parts: Sequence[Path]) -> pl.DataFrame:
    """The matches of all parts; none where there are no parts."""
    if not parts:
        return pl.DataFrame(schema={"text": pl.Int32, "match": pl.Int32, "cosine": pl.Float32})
    return pl.read_parquet(list(parts), columns=MATCHES_SCHEMA.names)
