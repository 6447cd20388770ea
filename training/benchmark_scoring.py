"""How fast an index is scored, beside how fast this machine copies memory and beside plainer ways to score it."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from uwe_core.interaction import InteractionConfig, inverse_norms
from uwe_core.scoring import Scorer, make_scorer
from uwe_core.scoring.grouped import GroupedScorer
from uwe_core.token_embeddings import TokenEmbeddings
from uwe_core.token_index import IndexManifest, StorageType, TokenIndex
from uwe_core.token_storage import read_back, stored
from uwe_core.types import Scores

# How many of the 13,939 skill labels of ESCO 1.2.0 have so many tokens of MiniLM: 85,446 tokens.
LABELS_BY_TOKENS: Mapping[int, int] = {
    3: 182, 4: 1961, 5: 3967, 6: 3003, 7: 2141, 8: 1241, 9: 719, 10: 414, 11: 169, 12: 73, 13: 38, 14: 20, 15: 8, 16: 3,
}  # fmt: skip
PADDED, GROUPED = "padded", "grouped"
_COPIED_BYTES = 1 << 28


@dataclass(frozen=True)
class ScoringCost:
    """What one way of scoring takes.

    Attributes:
        scorer: `padded` (two products over padded targets), `grouped` (torch), or what `make_scorer` chose.
        queries: in the batch.
        seconds: per batch, the median over rounds.
        index_bytes: of the embeddings, read at least once per batch.
    """

    scorer: str
    storage: StorageType
    queries: int
    seconds: float
    index_bytes: int

    @property
    def bytes_per_second(self) -> float:
        """Of the embeddings, as if each were read once."""
        return self.index_bytes / self.seconds


@dataclass(frozen=True)
class ScoringReport:
    """All figures of one run.

    Attributes:
        copy_bytes_per_second: read and written together by a large copy with the same threads.
    """

    targets: int
    tokens: int
    dim: int
    query_tokens: int
    threads: int
    copy_bytes_per_second: float
    costs: list[ScoringCost]

    def cost(self, scorer: str, queries: int) -> ScoringCost:
        """A way of scoring that has one storage type alone."""
        return next(cost for cost in self.costs if (cost.scorer, cost.queries) == (scorer, queries))

    def speed_up(self, cost: ScoringCost, over: str) -> float:
        """How many times faster than `padded` or `grouped` on the same batch."""
        return self.cost(over, cost.queries).seconds / cost.seconds

    def copy_share(self, cost: ScoringCost) -> float:
        """Bytes read per second over those of the copy."""
        return cost.bytes_per_second / self.copy_bytes_per_second

    def as_json(self) -> dict[str, Any]:
        """All figures and ratios."""
        costs = [
            {
                **asdict(cost),
                "bytes_per_second": cost.bytes_per_second,
                "copy_share": self.copy_share(cost),
                "times_faster_than": {over: self.speed_up(cost, over) for over in (PADDED, GROUPED)},
            }
            for cost in self.costs
        ]
        return {**asdict(self), "costs": costs}


class PaddedScorer:
    """What one would write first: all targets padded to the longest, dot products and cosines as two products."""

    def __init__(self, index: TokenIndex, interaction: InteractionConfig) -> None:
        self._temperature = interaction.interaction_temperature
        self._tokens, mask = TokenEmbeddings(index.floats(), index.offsets).padded()
        self._units = self._tokens * inverse_norms(self._tokens)[..., None]
        self._padding = ~mask[:, None, :]
        self._stored_position = index.order.argsort()

    @torch.inference_mode()
    def score(self, queries: TokenEmbeddings) -> Scores:
        """Float32 scores `[queries, targets]` of soft late interaction."""
        return torch.stack([self._one(query.float()) for query in queries])

    def _one(self, query: Float[Tensor, "query_tokens dim"]) -> Float[Tensor, " targets"]:
        dots = torch.einsum("nd,tmd->tnm", query, self._tokens) / self._temperature
        cosines = torch.einsum("nd,tmd->tnm", query * inverse_norms(query)[:, None], self._units)
        weights = dots.masked_fill(self._padding, -torch.inf).softmax(dim=-1)
        return (weights * cosines).sum(dim=(1, 2))[self._stored_position]


def measure_scoring(
    dim: int,
    query_tokens: int,
    batches: Sequence[int],
    storages: Sequence[StorageType],
    rounds: int,
    device: torch.device,
) -> ScoringReport:
    """Time every way of scoring a made-up index in turn in each round, after one round to warm up.

    Token embeddings are random, of the norm of MiniLM's (10), under its interaction temperature.
    """
    interaction = InteractionConfig(interaction_temperature=20.0)
    index = made_up_index(dim, "float32").to(device)
    scorers: dict[tuple[str, StorageType], tuple[Scorer, int]] = {
        (PADDED, "float32"): (PaddedScorer(index, interaction), index.embeddings.nbytes),
        (GROUPED, "float32"): (GroupedScorer(index, interaction), index.embeddings.nbytes),
    }
    for storage in storages:
        own = made_up_index(dim, storage).to(device)
        scorer = make_scorer(own, interaction)
        name = type(scorer).__name__.removesuffix("Scorer").lower()
        scorers.setdefault((name, storage), (scorer, own.embeddings.nbytes))
    costs = [
        ScoringCost(name, storage, queries, seconds, scorers[name, storage][1])
        for queries in batches
        for (name, storage), seconds in _medians(
            {key: scorer for key, (scorer, _) in scorers.items()},
            made_up_queries(queries, query_tokens, dim, device),
            rounds,
        ).items()
    ]
    threads, manifest = torch.get_num_threads(), index.manifest
    return ScoringReport(
        manifest.targets, manifest.tokens, dim, query_tokens, threads, copy_bandwidth(rounds, device), costs
    )  # fmt: skip


def copy_bandwidth(rounds: int, device: torch.device) -> float:
    """Bytes read and written per second by a copy on a device, larger than caches; on a CPU with torch's threads."""
    source = torch.ones(_COPIED_BYTES, dtype=torch.uint8, device=device)
    destination = torch.empty_like(source)
    seconds = [_seconds(lambda: destination.copy_(source)) for _ in range(rounds + 1)]
    return 2 * _COPIED_BYTES / statistics.median(seconds[1:])


def made_up_index(dim: int, storage: StorageType) -> TokenIndex:
    """Random token embeddings of norm 10 with the lengths of ESCO's skill labels."""
    lengths = torch.tensor(list(LABELS_BY_TOKENS))
    counts = lengths.repeat_interleave(torch.tensor(list(LABELS_BY_TOKENS.values())))
    offsets = torch.cat([torch.zeros(1, dtype=torch.int64), counts.cumsum(0)])
    tokens = made_up_tokens(int(offsets[-1]), dim, seed=0)
    embeddings, scales = stored(tokens, storage)
    generator = torch.Generator().manual_seed(0)
    manifest = IndexManifest(
        space="made-up", encoder_fingerprint="", space_fingerprint="", dtype=storage, dim=dim, targets=len(counts),
        tokens=len(tokens), truncated_targets=0, checksums={},
    )  # fmt: skip
    norms = inverse_norms(read_back(embeddings, scales))
    return TokenIndex(manifest, embeddings, norms, offsets, torch.randperm(len(counts), generator=generator), scales)


def made_up_queries(queries: int, query_tokens: int, dim: int, device: torch.device) -> TokenEmbeddings:
    """Random queries of so many tokens each, of norm 10, on a device."""
    tokens = made_up_tokens(queries * query_tokens, dim, seed=1).to(device)
    return TokenEmbeddings(tokens, torch.arange(0, len(tokens) + 1, query_tokens))


def made_up_tokens(tokens: int, dim: int, seed: int) -> Float[Tensor, "tokens dim"]:
    """Random token embeddings of norm about 10."""
    made_up: Tensor = torch.randn(tokens, dim, generator=torch.Generator().manual_seed(seed)) * (10 / dim**0.5)
    return made_up


def _medians(
    scorers: Mapping[tuple[str, StorageType], Scorer], queries: TokenEmbeddings, rounds: int
) -> dict[tuple[str, StorageType], float]:
    seconds: dict[tuple[str, StorageType], list[float]] = {key: [] for key in scorers}
    for _ in range(rounds + 1):
        for key, scorer in scorers.items():
            seconds[key].append(_seconds(lambda scorer=scorer: scorer.score(queries)))  # type: ignore[misc]
    return {key: statistics.median(taken[1:]) for key, taken in seconds.items()}


def _seconds(work: Callable[[], Tensor]) -> float:
    """Until a GPU, too, has done the work."""
    start = time.perf_counter()
    done = work()
    if done.is_cuda:
        torch.cuda.synchronize(done.device)
    return time.perf_counter() - start
