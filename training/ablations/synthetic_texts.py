"""A share of the synthetic texts of a folder of graphs: always the same one, and within every larger share."""

from __future__ import annotations

import hashlib

import pyarrow as pa
import pyarrow.compute as pc

from training.pipeline.chance import fraction_of
from uwe_core.text import same_text_key

# What a language model wrote, what its titles added to real titles that mean the same, and what we composed.
SYNTHETIC_SOURCES = ("generated", "matched", "composed")
# Not the seed of a run: all runs leave out the same texts.
_SEED = 0


def is_kept(text: str, share: float) -> bool:
    """Whether a text is among a share: a hash of it below the share, so that no order and no other text matters."""
    return fraction_of(_SEED, f"synthetic {same_text_key(text)}") < share


def with_synthetic_share(edges: pa.Table, share: float) -> pa.Table:
    """The edges of a graph that remain with a share of the synthetic texts.

    A text keeps all its synthetic edges or none. Edges from real sources stay, so a real title loses only what
    generated ones added to it.

    Args:
        edges: `SKILL_EDGES_SCHEMA` or `TEXT_EDGES_SCHEMA`.
        share: from 0 to 1.
    """
    is_synthetic = pc.is_in(edges["source"], value_set=pa.array(SYNTHETIC_SOURCES))
    texts = pc.unique(edges["text"].filter(is_synthetic)).to_pylist()
    kept = pa.array([text for text in texts if is_kept(text, share)], pa.string())
    return edges.filter(pc.or_(pc.invert(is_synthetic), pc.is_in(edges["text"], value_set=kept)))


def fingerprint_with_share(fingerprint: str, share: float) -> str:
    """That of graphs with a share of their synthetic texts: their own where all stay."""
    return fingerprint if share == 1 else hashlib.sha256(f"{fingerprint} synthetic {share!r}".encode()).hexdigest()
