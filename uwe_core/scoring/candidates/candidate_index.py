"""CandidateIndex: the mean token of each target of a space in an index of faiss, built once, saved and opened."""

from __future__ import annotations

import hashlib
import logging
import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from pydantic import BaseModel, ConfigDict
from torch import Tensor
from torch.nn.functional import normalize

from uwe_core.errors import ArtefactError, ChecksumError, ConfigurationError, FingerprintError
from uwe_core.facts import read_facts
from uwe_core.files import atomic_folder, sha256_of
from uwe_core.scoring.candidates.config import CandidateKind
from uwe_core.scoring.pooled import pooled_targets
from uwe_core.token_index import TokenIndex

logger = logging.getLogger(__name__)

CANDIDATE_FORMAT = 1
FACTS_FILE = "candidates.json"
FAISS_FILE = "candidates.faiss"

# Of the graph: neighbours of a vector, and how many are looked at to find them.
_LINKS, _BUILD_WIDTH = 32, 80
# Of the lists: faiss asks for as many vectors a list to train on; so many times the wanted vectors are looked at.
_VECTORS_PER_LIST, _LOOKED_AT, _FEWEST_LISTS = 39, 8, 16


class CandidateFacts(BaseModel):
    """`candidates.json`: what the file of faiss beside it is, and of what it was made.

    Attributes:
        index_fingerprint: of the token index.
        settings: of faiss, see `faiss_settings`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format_version: int = CANDIDATE_FORMAT
    index_fingerprint: str
    settings: str
    targets: int
    dim: int
    checksums: dict[str, str]


@dataclass(frozen=True)
class CandidateIndex:
    """Proposes targets whose mean token has a large cosine with the mean token of a query.

    Attributes:
        faiss_index: of normalised vectors under the inner product; a vector's number is the target's in its space.
    """

    facts: CandidateFacts
    faiss_index: Any

    def __len__(self) -> int:
        return self.facts.targets

    @classmethod
    def build(cls, index: TokenIndex, kind: CandidateKind = "hnsw") -> CandidateIndex:
        """Of the targets of a token index, in the memory of the host.

        Raises:
            ConfigurationError: faiss is not installed.
        """
        faiss = load_faiss()
        vectors = normalize(pooled_targets(index), dim=1).cpu().numpy()
        faiss.omp_set_num_threads(torch.get_num_threads())
        targets, dim = vectors.shape
        if kind == "hnsw":
            made = faiss.IndexHNSWFlat(dim, _LINKS, faiss.METRIC_INNER_PRODUCT)
            made.hnsw.efConstruction = _BUILD_WIDTH
        else:
            made = faiss.IndexIVFFlat(faiss.IndexFlatIP(dim), dim, _centres(targets), faiss.METRIC_INNER_PRODUCT)
            made.train(vectors)
        made.add(vectors)
        facts = CandidateFacts(
            index_fingerprint=index.fingerprint,
            settings=faiss_settings(kind, targets),
            targets=targets,
            dim=dim,
            checksums={},
        )
        return cls(facts, made)

    @torch.inference_mode()
    def propose(self, vectors: Float[Tensor, "queries dim"], count: int) -> list[Int[Tensor, " candidates"]]:
        """The targets near each vector, ascending, on the CPU: `count` of them or, where fewer are found, those.

        Args:
            vectors: mean tokens of queries, of any norm.
            count: above 0.
        """
        faiss = load_faiss()
        faiss.omp_set_num_threads(torch.get_num_threads())  # a setting of the calling thread alone
        units = normalize(vectors.float(), dim=1).cpu().numpy()
        count = min(count, len(self))
        _, found = self.faiss_index.search(units, count, params=self._search_parameters(count))
        # faiss fills what it did not find with -1.
        return [torch.from_numpy(row[row >= 0]).sort().values for row in found]

    def save(self, folder: Path) -> None:
        """Write `candidates.json` and `candidates.faiss`; all or nothing."""
        with atomic_folder(folder) as aside:
            load_faiss().write_index(self.faiss_index, str(aside / FAISS_FILE))
            facts = self.facts.model_copy(update={"checksums": {FAISS_FILE: sha256_of(aside / FAISS_FILE)}})
            (aside / FACTS_FILE).write_text(facts.model_dump_json(indent=2) + "\n")

    @classmethod
    def open(cls, folder: Path, index: TokenIndex, kind: CandidateKind = "hnsw") -> CandidateIndex:
        """Read what `save` wrote; faiss sees a file only when its checksum fits.

        Raises:
            FormatVersionError: written by another version of the format.
            FingerprintError: made from another token index, or with other settings of faiss.
            ChecksumError: the bytes are not the ones that were written.
            ArtefactError: a file is missing, broken, or of another version of faiss.
            ConfigurationError: faiss is not installed.
        """
        faiss = load_faiss()
        facts = read_facts(folder / FACTS_FILE, CandidateFacts, CANDIDATE_FORMAT)
        if facts.settings != faiss_settings(kind, len(index)):
            raise FingerprintError(f"{folder} was made with other settings of faiss: {facts.settings}")
        path = folder / FAISS_FILE
        try:
            if sha256_of(path) != facts.checksums.get(FAISS_FILE):
                raise ChecksumError(f"{path} is not the file that was written: build it again")
            made = faiss.read_index(str(path))
        except (OSError, RuntimeError) as error:
            raise ArtefactError(f"{path} cannot be read: {error}") from error
        opened = cls(facts, made)
        opened.check_fits(index)
        if (made.ntotal, made.d) != (len(index), index.manifest.dim):
            raise ArtefactError(f"{path} does not hold the vectors that {FACTS_FILE} describes")
        return opened

    def check_fits(self, index: TokenIndex) -> None:
        """Refuse to propose targets of another token index.

        Raises:
            FingerprintError: it was made from another one.
        """
        if self.facts.index_fingerprint != index.fingerprint:
            raise FingerprintError(
                f"the candidate index of '{index.manifest.space}' was made from another token index: build it again"
            )

    def _search_parameters(self, count: int) -> Any:
        faiss = load_faiss()
        if self._lists is None:
            return faiss.SearchParametersHNSW(efSearch=count)
        wanted = math.ceil(_LOOKED_AT * count * self._lists / len(self))
        return faiss.SearchParametersIVF(nprobe=min(self._lists, max(_FEWEST_LISTS, wanted)))

    @cached_property
    def _lists(self) -> int | None:
        """Of an index of that kind; None of a graph."""
        return getattr(self.faiss_index, "nlist", None)


def load_faiss() -> Any:
    """The library, imported only where candidates are wanted.

    Raises:
        ConfigurationError: it is not installed.
    """
    try:
        import faiss  # noqa: PLC0415 - optional
    except ImportError as error:
        raise ConfigurationError("candidates are proposed by faiss, which is not installed: extra [ann]") from error
    return faiss


def faiss_settings(kind: CandidateKind, targets: int) -> str:
    """Everything that decides the index of so many vectors, in faiss' words."""
    if kind == "hnsw":
        return f"HNSW{_LINKS},Flat efConstruction={_BUILD_WIDTH} inner product"
    return f"IVF{_centres(targets)},Flat inner product"


def candidate_fingerprint(index: TokenIndex, kind: CandidateKind) -> str:
    """Content hash of what a candidate index is made from."""
    made_from = f"{CANDIDATE_FORMAT} {index.fingerprint} {faiss_settings(kind, len(index))}"
    return hashlib.sha256(made_from.encode()).hexdigest()


def candidate_folder(root: Path, index: TokenIndex, kind: CandidateKind) -> Path:
    """Where it lies under `root`: beside its token index, named by fingerprint, so that nothing is overwritten."""
    return root / index.manifest.space / f"candidates-{candidate_fingerprint(index, kind)[:16]}"


def open_or_build_candidates(root: Path, index: TokenIndex, kind: CandidateKind = "hnsw") -> CandidateIndex:
    """The saved candidate index of a token index, or a new one, saved, where there is none that can be used.

    Raises:
        ConfigurationError: faiss is not installed.
    """
    folder = candidate_folder(root, index, kind)
    if folder.exists():
        try:
            return CandidateIndex.open(folder, index, kind)
        except ArtefactError as error:
            logger.warning("building the candidate index of %s again: %s", index.manifest.space, error)
    made = CandidateIndex.build(index, kind)
    made.save(folder)
    return made


def _centres(targets: int) -> int:
    """As many centres as faiss advises, and no more than the vectors can train."""
    return max(1, min(4 * math.isqrt(targets), targets // _VECTORS_PER_LIST))
