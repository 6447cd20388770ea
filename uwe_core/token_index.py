"""TokenIndex: the cached token embeddings of a target space, built once, saved, and opened by memory map."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from jaxtyping import Float, Int
from pydantic import BaseModel, ConfigDict
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from uwe_core.encoder import TokenEncoder, TokenisedTexts
from uwe_core.errors import ArtefactError, ChecksumError, FingerprintError
from uwe_core.facts import read_facts
from uwe_core.files import atomic_folder, sha256_of
from uwe_core.interaction import inverse_norms
from uwe_core.space_encoding import EncodedTargets, SpaceEncoding, encoded_targets
from uwe_core.target_space import TargetSpace
from uwe_core.token_storage import TORCH_TYPES, Scales, StorageType, StoredTokens, read_back

__all__ = [
    "GrowingTokens",
    "IndexManifest",
    "StorageType",
    "TokenGroup",
    "TokenIndex",
    "index_fingerprint",
    "index_folder",
    "open_or_build",
]

logger = logging.getLogger(__name__)

INDEX_FORMAT = 1
MANIFEST_FILE = "index.json"
TOKENS_FILE = "tokens.safetensors"

# Called with the number of targets done and their total.
Progress = Callable[[int, int], None]


class IndexManifest(BaseModel):
    """`index.json`: what the tensors beside it are, and of what they were made.

    Attributes:
        targets: of the index: those of the space and, where they are matched, their aliases.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format_version: int = INDEX_FORMAT
    space: str
    encoder_fingerprint: str
    space_fingerprint: str
    dtype: StorageType
    dim: int
    targets: int
    tokens: int
    truncated_targets: int
    checksums: dict[str, str]

    @property
    def fingerprint(self) -> str:
        """Content hash of encoder, texts and storage: equal fingerprints mean interchangeable indexes."""
        return index_fingerprint(self.encoder_fingerprint, self.space_fingerprint, self.dtype)


@dataclass(frozen=True)
class TokenGroup:
    """The targets that have the same number of tokens, as one dense block without padding.

    Attributes:
        start, end: their place in the stored order.
        embeddings: `[targets, tokens per target, dim]`, a view in storage precision.
        inverse_norms: `[targets, tokens per target]`, float32.
        scales: `[targets, tokens per target]`, float32, of int8 alone.
    """

    start: int
    end: int
    embeddings: StoredTokens
    inverse_norms: Float[Tensor, "group group_tokens"]
    scales: Scales

    def floats(self, first: int = 0, last: int | None = None) -> Float[Tensor, "part group_tokens dim"]:
        """The token embeddings of some of the targets, or of all, in float32."""
        part = slice(first, last)
        return read_back(self.embeddings[part], None if self.scales is None else self.scales[part])


@dataclass(frozen=True)
class TokenIndex:
    """Token embeddings sorted by the number of tokens of their target.

    Attributes:
        embeddings: `[tokens, dim]` in storage precision, raw (not normalised).
        inverse_norms: `[tokens]`, float32, of the embeddings as stored.
        offsets: `[targets + 1]`, in stored order.
        order: `[targets]`, the target's index in its space at each stored position.
        scales: `[tokens]`, float32, what the whole numbers of an int8 token are multiplied by; None of other types.
    """

    manifest: IndexManifest
    embeddings: StoredTokens
    inverse_norms: Float[Tensor, " tokens"]
    offsets: Int[Tensor, " targets_plus_one"]
    order: Int[Tensor, " targets"]
    scales: Scales = None

    def __len__(self) -> int:
        return len(self.order)

    @property
    def fingerprint(self) -> str:
        """See `IndexManifest.fingerprint`."""
        return self.manifest.fingerprint

    @property
    def nbytes(self) -> int:
        """Bytes of all tensors."""
        return sum(tensor.nbytes for tensor in self._tensors().values())

    def floats(self) -> Float[Tensor, "tokens dim"]:
        """All token embeddings in float32."""
        return read_back(self.embeddings, self.scales)

    def tokens_of(self, target: int) -> Float[Tensor, "target_tokens dim"]:
        """The token embeddings of one target, by its index in its space, in float32 as they were stored."""
        place = self._places[target]
        rows = slice(int(self.offsets[place]), int(self.offsets[place + 1]))
        return read_back(self.embeddings[rows], None if self.scales is None else self.scales[rows])

    @cached_property
    def _places(self) -> list[int]:
        """The stored position of each target."""
        places: list[int] = self.order.argsort().tolist()
        return places

    def groups(self) -> Iterator[TokenGroup]:
        """Dense blocks of equal token count, shortest targets first; together they hold every target once."""
        counts, sizes = self.offsets.diff().unique_consecutive(return_counts=True)
        start = first = 0
        for count, size in zip(counts.tolist(), sizes.tolist(), strict=True):
            rows = slice(first, first + count * size)
            yield TokenGroup(
                start,
                start + size,
                self.embeddings[rows].unflatten(0, (size, count)),
                self.inverse_norms[rows].unflatten(0, (size, count)),
                None if self.scales is None else self.scales[rows].unflatten(0, (size, count)),
            )
            start, first = start + size, rows.stop

    @classmethod
    def build(
        cls, encoder: TokenEncoder, space: TargetSpace, dtype: StorageType = "float32", progress: Progress | None = None
    ) -> TokenIndex:
        """Encode every target of a space, and every alias where those are matched, as targets of the index.

        Raises:
            InputError: a text that cannot be encoded, by its position among `TargetSpace.matched_texts`.
        """
        encoding = SpaceEncoding(encoder, space, dtype)
        return cls.assemble(encoding, encoding.encode(_told(encoding.batches, len(encoding.token_counts), progress)))

    @classmethod
    def assemble(cls, encoding: SpaceEncoding, parts: Iterable[EncodedTargets]) -> TokenIndex:
        """The index of targets that were encoded, here or elsewhere.

        Args:
            encoding: of the space.
            parts: the tokens of all its batches, in their order; a part may hold several batches.
        """
        encoding.warn_of_truncations()
        tokens = GrowingTokens(sum(encoding.token_counts), encoding.encoder.dim, encoding.dtype)
        for part in parts:
            tokens.append_encoded(part)
        order = [position for batch in encoding.batches for position in batch]
        return tokens.as_index(encoding.encoder, encoding.space, encoding.tokenised, order)

    @classmethod
    def of_tokens(
        cls, encoder: TokenEncoder, space: TargetSpace, tokens: Sequence[Float[Tensor, "_ dim"]]
    ) -> TokenIndex:
        """An index in memory, float32, of targets that are encoded already, on the device that holds their tokens.

        Args:
            encoder: that encoded them, or a backend of its.
            space: the targets.
            tokens: raw token embeddings of each target, in the order of the space.
        """
        counts = torch.tensor([len(target) for target in tokens])
        order = counts.argsort(stable=True)
        embeddings = torch.cat([tokens[target] for target in order.tolist()])
        manifest = IndexManifest(
            space=space.info.name,
            encoder_fingerprint=encoder.fingerprint,
            space_fingerprint=space.fingerprint,
            dtype="float32",
            dim=encoder.dim,
            targets=len(space),
            tokens=len(embeddings),
            truncated_targets=0,
            checksums={},
        )
        offsets = torch.cat([torch.zeros(1, dtype=torch.int64), counts[order].cumsum(0)])
        return cls(manifest, embeddings, inverse_norms(embeddings), offsets, order)

    def save(self, folder: Path) -> None:
        """Write `index.json` and `tokens.safetensors`; all or nothing."""
        with atomic_folder(folder) as aside:
            save_file(self._tensors(), aside / TOKENS_FILE)
            manifest = self.manifest.model_copy(update={"checksums": {TOKENS_FILE: sha256_of(aside / TOKENS_FILE)}})
            (aside / MANIFEST_FILE).write_text(manifest.model_dump_json(indent=2) + "\n")

    def _tensors(self) -> dict[str, Tensor]:
        return {name: getattr(self, name) for name in _tensor_names(self.manifest.dtype)}

    @classmethod
    def open(cls, folder: Path, *, verify: bool = True) -> TokenIndex:
        """Map a saved index into memory.

        Args:
            folder: what `save` wrote.
            verify: read the whole file once and compare its checksum.

        Raises:
            FormatVersionError: written by another version of the format.
            ChecksumError: the bytes are not the ones that were written.
            ArtefactError: a file is missing, broken, or does not hold what the manifest says.
        """
        manifest = read_facts(folder / MANIFEST_FILE, IndexManifest, INDEX_FORMAT)
        path = folder / TOKENS_FILE
        try:
            if verify and sha256_of(path) != manifest.checksums.get(TOKENS_FILE):
                raise ChecksumError(f"{path} is not the file that was written: build the index again")
            with safe_open(path, framework="pt") as file:
                tensors = {name: file.get_tensor(name) for name in _tensor_names(manifest.dtype)}
        except (OSError, SafetensorError) as error:
            raise ArtefactError(f"{path} cannot be read: {error}") from error
        index = cls(manifest, **tensors)
        if index.embeddings.shape != (manifest.tokens, manifest.dim) or len(index) != manifest.targets:
            raise ArtefactError(f"{path} does not hold the tensors that {MANIFEST_FILE} describes")
        return index

    def check_fits(self, encoder: TokenEncoder, space: TargetSpace) -> None:
        """Refuse to rank with an index of another model or of other texts.

        Raises:
            FingerprintError: naming which of the two does not fit.
        """
        if self.manifest.encoder_fingerprint != encoder.fingerprint:
            raise FingerprintError(f"the token index of '{space.info.name}' was made by another model: precompute it")
        if self.manifest.space_fingerprint != space.fingerprint:
            raise FingerprintError(f"the token index of '{space.info.name}' was made from other texts: precompute it")

    def to(self, device: torch.device) -> TokenIndex:
        """The index with its embeddings on a device; on the CPU the memory map stays as it is."""
        if device.type == "cpu":
            return self
        return TokenIndex(
            self.manifest,
            self.embeddings.to(device),
            self.inverse_norms.to(device),
            self.offsets,
            self.order.to(device),
            None if self.scales is None else self.scales.to(device),
        )


def _told(batches: Sequence[list[int]], targets: int, progress: Progress | None) -> Iterator[list[int]]:
    """The batches one by one, each told of when it was encoded."""
    done = 0
    for batch in batches:
        yield batch
        done += len(batch)
        if progress is not None:
            progress(done, targets)


class GrowingTokens:
    """Token embeddings that are stored as they come, so that those in float32 never exist as a whole."""

    def __init__(self, tokens: int, dim: int, dtype: StorageType) -> None:
        self._dtype: StorageType = dtype
        self._filled = 0
        self.embeddings = torch.empty(tokens, dim, dtype=TORCH_TYPES[dtype])
        self.inverse_norms = torch.empty(tokens)
        self.scales = torch.empty(tokens) if dtype == "int8" else None

    def append(self, tokens: Float[Tensor, "tokens dim"]) -> None:
        """Some tokens as the encoder gives them."""
        self.append_encoded(encoded_targets(tokens, self._dtype))

    def append_encoded(self, part: EncodedTargets) -> None:
        """Some tokens as they are stored."""
        rows = slice(self._filled, self._filled + len(part.embeddings))
        self.embeddings[rows] = part.embeddings
        self.inverse_norms[rows] = part.inverse_norms
        if self.scales is not None and part.scales is not None:
            self.scales[rows] = part.scales
        self._filled = rows.stop

    def append_stored(self, index: TokenIndex, first: int, last: int) -> None:
        """Some tokens of another index of the same storage, as they are."""
        rows = slice(first, last)
        scales = None if index.scales is None else index.scales[rows]
        self.append_encoded(EncodedTargets(index.embeddings[rows], index.inverse_norms[rows], scales))

    def as_index(
        self, encoder: TokenEncoder, space: TargetSpace, tokenised: TokenisedTexts, order: list[int]
    ) -> TokenIndex:
        """The index of a space, of whose targets all tokens came in this order."""
        manifest = IndexManifest(
            space=space.info.name,
            encoder_fingerprint=encoder.fingerprint,
            space_fingerprint=space.fingerprint,
            dtype=self._dtype,
            dim=encoder.dim,
            targets=len(order),
            tokens=len(self.embeddings),
            truncated_targets=len(tokenised.truncations),
            checksums={},
        )
        counts = torch.tensor([len(tokenised.token_ids[target]) for target in order])
        offsets = torch.cat([torch.zeros(1, dtype=torch.int64), counts.cumsum(0)])
        return TokenIndex(manifest, self.embeddings, self.inverse_norms, offsets, torch.tensor(order), self.scales)


def _tensor_names(dtype: StorageType) -> tuple[str, ...]:
    names = ("embeddings", "inverse_norms", "offsets", "order")
    return (*names, "scales") if dtype == "int8" else names


def index_fingerprint(encoder_fingerprint: str, space_fingerprint: str, dtype: StorageType) -> str:
    """Content hash of what an index is made from."""
    return hashlib.sha256(f"{INDEX_FORMAT} {encoder_fingerprint} {space_fingerprint} {dtype}".encode()).hexdigest()


def index_folder(root: Path, encoder: TokenEncoder, space: TargetSpace, dtype: StorageType) -> Path:
    """Where the index of a space lies under `root`: named by fingerprint, so that nothing is ever overwritten."""
    return root / space.info.name / index_fingerprint(encoder.fingerprint, space.fingerprint, dtype)[:16]


def open_or_build(
    root: Path,
    encoder: TokenEncoder,
    space: TargetSpace,
    dtype: StorageType = "float32",
    progress: Progress | None = None,
    build: Callable[[], TokenIndex] | None = None,
) -> TokenIndex:
    """The saved index of a space, or a new one, saved, where there is none that can be used.

    Args:
        root: folder of all indexes.
        encoder: of the targets.
        space: the targets.
        dtype: in which token embeddings are stored.
        progress: told of what this process encodes.
        build: makes the new one; `TokenIndex.build` where None.

    Raises:
        InputError: a text that cannot be encoded.
    """
    folder = index_folder(root, encoder, space, dtype)
    if folder.exists():
        try:
            index = TokenIndex.open(folder)
            index.check_fits(encoder, space)
        except ArtefactError as error:
            logger.warning("building the token index of %s again: %s", space.info.name, error)
        else:
            return index
    index = TokenIndex.build(encoder, space, dtype, progress) if build is None else build()
    index.save(folder)
    return TokenIndex.open(folder, verify=False)
