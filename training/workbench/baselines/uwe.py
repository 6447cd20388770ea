"""Token encoders under any interaction: our own models, and pooled cosine, MaxSim and ContextMatch over any encoder."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Sequence

from uwe_core.backends.interface import EncoderBackend
from uwe_core.encoder import TokenEncoder
from uwe_core.interaction import InteractionConfig
from uwe_core.model import UweModel
from uwe_core.scoring import Scorer, make_scorer
from uwe_core.target_space import SpaceInfo, TargetSpace
from uwe_core.token_embeddings import TokenEmbeddings
from uwe_core.token_index import StorageType, TokenIndex
from uwe_core.types import Scores

# Token embeddings kept at a time: the queries of SkillNorm under a 768-dimensional encoder take 1.6 GB.
_KEPT_BYTES = 3_000_000_000


class TextEncodings:
    """Encodings of one encoder, kept while several interactions judge the same texts.

    Args:
        encoder: what encodes.
        keep_queries: false encodes queries anew at each call, as a benchmark of latency must.
        targets: encodings whose token indexes are used, where queries alone are encoded in another way.
        storage: of the targets.
    """

    def __init__(
        self,
        encoder: TokenEncoder,
        *,
        keep_queries: bool = True,
        targets: TextEncodings | None = None,
        storage: StorageType = "float32",
    ) -> None:
        self.encoder = encoder
        self.storage: StorageType = storage if targets is None else targets.storage
        self._targets = targets
        self._keep_queries = keep_queries
        self._index: tuple[Sequence[str], TokenIndex] | None = None
        self._queries: OrderedDict[tuple[str, ...], TokenEmbeddings] = OrderedDict()
        self._kept_bytes = 0

    def index(self, targets: Sequence[str]) -> TokenIndex:
        """The token index of a target space given as texts; the last one is kept while it is the same list."""
        if self._targets is not None:
            return self._targets.index(targets)
        if self._index is None or (self._index[0] is not targets and self._index[0] != targets):
            space = TargetSpace(SpaceInfo(name="evaluated"), [str(place) for place in range(len(targets))], targets)
            index = TokenIndex.build(self.encoder, space, self.storage).to(self.encoder.device)
            self._index = (targets, index)
        return self._index[1]

    def queries(self, texts: Sequence[str]) -> TokenEmbeddings:
        """The token embeddings of queries."""
        key = tuple(texts)
        if key in self._queries:
            return self._queries[key]
        encoded = self.encoder.encode(self.encoder.tokenise(texts))
        if self._keep_queries:
            self._queries[key] = encoded
            self._kept_bytes += encoded.embeddings.nbytes
            while self._kept_bytes > _KEPT_BYTES and len(self._queries) > 1:
                self._kept_bytes -= self._queries.popitem(last=False)[1].embeddings.nbytes
        return encoded

    def with_backend(self, backend: EncoderBackend) -> TextEncodings:
        """The same targets, and queries by another backend: what the service does."""
        encoder = copy.copy(self.encoder)
        encoder.backend = backend
        return TextEncodings(encoder, keep_queries=self._keep_queries, targets=self)


class UweRanking:
    """A model's encoder with one interaction."""

    def __init__(self, name: str, model: UweModel, encodings: TextEncodings) -> None:
        is_usual = encodings.storage == "float32"
        self.name = name if is_usual else f"{name} in {encodings.storage}"
        backend = encodings.encoder.backend
        # Judgements are kept under it: another backend or storage is judged anew.
        way = "" if backend is None else f" {backend.name} {backend.precision}"
        self.fingerprint = f"{model.fingerprint}{way}" + ("" if is_usual else f"-{encodings.storage}")
        self.seen_spaces: frozenset[str] | None = frozenset(model.info.seen_spaces)
        self.interaction: InteractionConfig = model.interaction
        self._encodings = encodings
        self._scorer: tuple[TokenIndex, Scorer] | None = None

    def scores(self, queries: Sequence[str], targets: Sequence[str], task: str) -> Scores:  # noqa: ARG002 - one for all
        """Exact scores, as the service gives them."""
        index = self._encodings.index(targets)
        if self._scorer is None or self._scorer[0] is not index:
            self._scorer = (index, make_scorer(index, self.interaction))
        return self._scorer[1].score(self._encodings.queries(queries))
