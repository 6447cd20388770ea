"""Which texts of one list mean what texts of another mean: pooled cosines above a threshold, block by block."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Float32
from numpy import ndarray

from training.pipeline.parts import OperatorFactory
from uwe_core.device import resolve_device

MATCHES_SCHEMA = pa.schema([("text", pa.int32()), ("match", pa.int32()), ("cosine", pa.float32())])
# 4,096 texts against 16,384 at a time take 268 MB.
_OTHERS_PER_BLOCK = 16_384


def is_match(cosines: torch.Tensor, threshold: float) -> torch.Tensor:
    """Strictly above the threshold (paper, appendix B)."""
    return cosines > threshold


@dataclass(frozen=True)
class MatchPart:
    """What a worker needs to match the parts of one array of unit vectors against all of another.

    Attributes:
        texts, others: `.npy` files.
    """

    texts: Path
    others: Path
    threshold: float
    texts_per_part: int
    device: str

    def factory(self) -> OperatorFactory:
        """Makes the operator in the worker."""
        return partial(_PartOperator, self)

    @property
    def sizes(self) -> list[int]:
        """The rows of each part."""
        texts = len(np.load(self.texts, mmap_mode="r"))
        return [min(self.texts_per_part, texts - first) for first in range(0, texts, self.texts_per_part)]


class _PartOperator:
    def __init__(self, settings: MatchPart) -> None:
        self._settings = settings
        self._texts, self._others = (np.load(path, mmap_mode="r") for path in (settings.texts, settings.others))
        self._device = resolve_device(settings.device)

    def __call__(self, part: int) -> pa.Table:
        first = part * self._settings.texts_per_part
        rows = np.array(self._texts[first : first + self._settings.texts_per_part])
        return match(rows, self._others, self._settings.threshold, self._device, first)


def match(
    texts: Float32[ndarray, "texts dim"],
    others: Float32[ndarray, "others dim"],
    threshold: float,
    device: torch.device,
    first: int = 0,
) -> pa.Table:
    """All matches of each text and, for the curve of other thresholds, the nearest other even where it is none.

    Args:
        texts: unit vectors.
        others: unit vectors, of which a block at a time is read.
        threshold: see `is_match`.
        device: where cosines are computed.
        first: the number of the first text.
    """
    queries = torch.from_numpy(texts).to(device)
    best = torch.full((len(texts),), -torch.inf, device=device)
    nearest = torch.zeros(len(texts), dtype=torch.int64, device=device)
    matches = []
    for start in range(0, len(others), _OTHERS_PER_BLOCK):
        cosines = queries @ torch.from_numpy(np.array(others[start : start + _OTHERS_PER_BLOCK])).to(device).T
        rows, columns = is_match(cosines, threshold).nonzero(as_tuple=True)
        matches.append((rows, columns + start, cosines[rows, columns]))
        values, places = cosines.max(dim=1)
        nearest = torch.where(values > best, places + start, nearest)
        best = torch.maximum(values, best)
    unmatched = (~is_match(best, threshold)).nonzero().squeeze(1)
    matches.append((unmatched, nearest[unmatched], best[unmatched]))
    texts_found, others_found, found = (torch.cat(tensors).cpu().numpy() for tensors in zip(*matches, strict=True))
    order = np.lexsort((others_found, texts_found))
    numbers = [(texts_found[order] + first).astype(np.int32), others_found[order].astype(np.int32), found[order]]
    return pa.Table.from_arrays([pa.array(column) for column in numbers], schema=MATCHES_SCHEMA)
