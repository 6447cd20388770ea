"""Pooled vectors of texts: what titles are matched by. One unit vector a text, in parts, mapped into memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float32
from numpy import ndarray

from training.pipeline.parts import OperatorFactory
from training.pipeline.tables import group_sizes
from training.workbench.baselines.specification import load_model
from uwe_core.interaction import inverse_norms

VECTORS_FILE = "vectors.npy"
TEXTS_FILE = "texts.parquet"


def write_texts(texts: Sequence[str], path: Path, texts_per_part: int) -> None:
    """Write texts in row groups: the parts in which they are encoded."""
    pq.write_table(pa.table({"text": pa.array(texts, pa.string())}), path, row_group_size=texts_per_part)


@dataclass(frozen=True)
class EncodePart:
    """What a worker needs to encode the parts of a file of texts."""

    texts: Path
    model: str
    device: str

    def factory(self) -> OperatorFactory:
        """Makes the operator in the worker, where the model is loaded."""
        return partial(_PartOperator, self)

    @property
    def sizes(self) -> list[int]:
        """The rows of each part."""
        return group_sizes(self.texts)


class _PartOperator:
    def __init__(self, settings: EncodePart) -> None:
        self._settings = settings
        self._encoder = load_model(settings.model, settings.device).encoder

    def __call__(self, part: int) -> pa.Table:
        with pq.ParquetFile(self._settings.texts) as file:
            texts = file.read_row_group(part)["text"].to_pylist()
        vectors = np.empty((len(texts), self._encoder.dim), dtype=np.float32)
        for batch in self._encoder.batches(self._encoder.tokenise(texts)):
            means = batch.tokens.means()
            vectors[batch.positions] = (means * inverse_norms(means)[:, None]).cpu().numpy()
        return pa.table({"vector": pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), self._encoder.dim)})


def join_vectors(parts: Sequence[Path], destination: Path) -> None:
    """One array of the vectors of all parts, written part by part."""
    tables = [pq.read_metadata(path).num_rows for path in parts]
    dim = pq.read_schema(parts[0]).field("vector").type.list_size
    joined = np.lib.format.open_memmap(destination, mode="w+", dtype=np.float32, shape=(sum(tables), dim))
    first = 0
    for path, rows in zip(parts, tables, strict=True):
        flat = pq.read_table(path)["vector"].combine_chunks().flatten().to_numpy()
        joined[first : first + rows] = flat.reshape(rows, dim)
        first += rows
    joined.flush()


class TextVectors:
    """The vectors of a finished stage, by text."""

    def __init__(self, folder: Path) -> None:
        texts = pq.read_table(folder / TEXTS_FILE)["text"].to_pylist()
        self._places = {text: place for place, text in enumerate(texts)}
        self._vectors = np.load(folder / VECTORS_FILE, mmap_mode="r")

    def of(self, texts: Sequence[str]) -> Float32[ndarray, "texts dim"]:
        """Unit vectors, in the order of the texts."""
        return np.asarray(self._vectors[[self._places[text] for text in texts]])
