"""A token index whose targets are encoded by Ray workers; the same bytes as one process writes."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from training.folder_lock import locked_folder
from training.pipeline.parts import Operator, Runner, run_parts
from training.ray_cluster import as_workers_find_it
from uwe_core.catalogue import SpaceCatalogue
from uwe_core.errors import FingerprintError
from uwe_core.model import UweModel
from uwe_core.space_encoding import EncodedTargets, SpaceEncoding
from uwe_core.target_space import TargetSpace
from uwe_core.token_index import Progress, StorageType, TokenIndex, index_fingerprint
from uwe_core.token_storage import TORCH_TYPES

# A batch has some thousand tokens, so a part is some ten megabytes.
_BATCHES_PER_PART = 4


@dataclass(frozen=True)
class ShardedIndexes:
    """Builds the token indexes of a catalogue on workers, which must see its folder as this machine does.

    Attributes:
        model: as it is called.
        loaded: the same, in this process.
        device: of the workers.
        home: of the catalogue.
        dtype: in which token embeddings are stored.
        runner: whose workers encode.
        batches_per_part: a stop loses at most so many batches of each worker.
    """

    model: str
    loaded: UweModel
    device: str
    home: Path
    dtype: StorageType
    runner: Runner
    batches_per_part: int = _BATCHES_PER_PART

    def build(self, space: TargetSpace, progress: Progress) -> TokenIndex:
        """The token index of a space; finished parts are kept beside the indexes until it is whole.

        Raises:
            ConfigurationError: another process builds it.
            InputError: a text that cannot be encoded.
            UweError: whatever else a worker meets.
        """
        encoding = SpaceEncoding(self.loaded.encoder, space, self.dtype)
        shards = [
            encoding.batches[first : first + self.batches_per_part]
            for first in range(0, len(encoding.batches), self.batches_per_part)
        ]
        fingerprint = _fingerprint(self.loaded, space, self.dtype)
        model, home = as_workers_find_it(self.model), self.home.absolute()
        shared = (model, self.device, home, space.info.name, space.info.alias_column, self.dtype)
        factory = _ShardEncoder(*shared, fingerprint, self.batches_per_part)
        folder = SpaceCatalogue(home).indexes / space.info.name / f".{fingerprint[:16]}.parts"
        with locked_folder(folder, "precomputation"):
            sizes = [sum(map(len, shard)) for shard in shards]
            parts = run_parts(folder / f"encode-{self.batches_per_part}", sizes, factory, self.runner, progress)
            index = TokenIndex.assemble(encoding, _read(parts, self.loaded.encoder.dim, self.dtype))
            shutil.rmtree(folder)
        return index


@dataclass(frozen=True)
class _ShardEncoder:
    """Makes what encodes the parts of a space, once in each worker."""

    model: str
    device: str
    home: Path
    space: str
    alias_column: str | None
    dtype: StorageType
    fingerprint: str
    batches_per_part: int

    def __call__(self) -> Operator:
        """Load the model and tokenise the space.

        Raises:
            FingerprintError: the worker's model, space or libraries are not those of the process that sent it.
        """
        model = UweModel.from_pretrained(self.model, device=self.device)
        space = SpaceCatalogue(self.home).open(self.space).matching(self.alias_column)
        if _fingerprint(model, space, self.dtype) != self.fingerprint:
            raise FingerprintError("a worker has another model, space, device or torch than this process")
        return partial(self._encode, SpaceEncoding(model.encoder, space, self.dtype))

    def _encode(self, encoding: SpaceEncoding, part: int) -> pa.Table:
        first = part * self.batches_per_part
        return _table(list(encoding.encode(encoding.batches[first : first + self.batches_per_part])))


def _fingerprint(model: UweModel, space: TargetSpace, dtype: StorageType) -> str:
    """Content hash of everything that decides the digits of an index."""
    index = index_fingerprint(model.encoder.fingerprint, space.fingerprint, dtype)
    facts = (index, model.encoder.device, torch.get_num_threads(), torch.__version__)
    return hashlib.sha256(" ".join(map(str, facts)).encode()).hexdigest()


def _table(batches: Sequence[EncodedTargets]) -> pa.Table:
    """A row for each token; embeddings as bytes, since Arrow does not have all our types."""
    embeddings = torch.cat([batch.embeddings for batch in batches])
    width = embeddings.shape[1] * embeddings.itemsize
    as_bytes = pa.py_buffer(embeddings.contiguous().view(torch.uint8).numpy().tobytes())
    columns = {
        "embedding": pa.FixedSizeBinaryArray.from_buffers(pa.binary(width), len(embeddings), [None, as_bytes]),
        "inverse_norm": pa.array(torch.cat([batch.inverse_norms for batch in batches]).numpy()),
    }
    scales = [batch.scales for batch in batches if batch.scales is not None]
    if scales:
        columns["scale"] = pa.array(torch.cat(scales).numpy())
    return pa.table(columns)


def _read(parts: Sequence[Path], dim: int, dtype: StorageType) -> Iterator[EncodedTargets]:
    for part in parts:
        table = pq.read_table(part).combine_chunks()
        column = table["embedding"].chunk(0)
        width = column.type.byte_width
        data = np.frombuffer(column.buffers()[1], np.uint8, len(column) * width, column.offset * width)
        embeddings = torch.from_numpy(data.copy()).view(TORCH_TYPES[dtype]).view(-1, dim)
        norms = torch.from_numpy(table["inverse_norm"].to_numpy().copy())
        scales = torch.from_numpy(table["scale"].to_numpy().copy()) if "scale" in table.column_names else None
        yield EncodedTargets(embeddings, norms, scales)
