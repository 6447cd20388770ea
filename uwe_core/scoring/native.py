"""Exact token-level scoring on a CPU by a kernel compiled for it: one pass over the stored tokens per batch."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn.functional import pad

from uwe_core.interaction import InteractionConfig, inverse_norms
from uwe_core.scoring.exponents import power_of_two_factor
from uwe_core.scoring.kernel.compiled import compiled
from uwe_core.scoring.kernel.pieces import Arguments
from uwe_core.scoring.kernel.processor import dots_method
from uwe_core.scoring.kernel.tile_dots import BLOCK_ROWS
from uwe_core.scoring.packed_queries import HIGH, LANES, QueryParts, pack_bfloat16, pack_floats, pack_int8
from uwe_core.token_embeddings import TokenEmbeddings
from uwe_core.token_index import TokenIndex
from uwe_core.types import Scores

# Dot products of a piece of the index: half a megabyte, within a second-level cache together with the queries.
_PIECE_ELEMENTS = 1 << 17
# More rows would leave a thread without work at the end.
_PIECE_ROWS = 2048
# Query tokens of one pass over the index: their packed components stay in a second-level cache.
_PASS_TOKENS = 256


class NativeScorer:
    """Soft late interaction (in one or two ways) or MaxSim against every target of an index in the memory of the host.

    Raises:
        ConfigurationError: an interaction that compares pooled vectors.
    """

    def __init__(self, index: TokenIndex, interaction: InteractionConfig) -> None:
        self._factor = power_of_two_factor(interaction)
        self._index = index
        self._interaction = interaction
        self._two_ways = interaction.kind == "two_way_late_interaction"
        self._bounds: list[int] = index.offsets.tolist()
        storage = index.manifest.dtype
        self._method = dots_method(storage, index.manifest.dim)
        self._token_sums = index.embeddings.sum(dim=1, dtype=torch.int32) if self._method == "int8" else None
        self._of_index = {
            "tokens": _address(index.embeddings), "scales": _address(index.scales), "sums": _address(self._token_sums),
            "inverse_norms": _address(index.inverse_norms), "offsets": _address(index.offsets),
            "order": _address(index.order), "dim": index.manifest.dim, "targets": len(index),
        }  # fmt: skip
        self._pieces = cache(self._cut)  # a batch of the same number of tiles finds it cut already
        self._kernel = compiled(storage, interaction.kind, dots=self._method)

    @torch.inference_mode()
    def score(self, queries: TokenEmbeddings) -> Scores:
        """Float32 scores `[queries, targets]`, targets in the order of their space."""
        scores = torch.empty(len(queries), len(self._index))
        for start, end in _passes(queries.offsets.tolist()):
            self._score_pass(queries.slice(start, end), scores[start:end])
        return scores

    def _score_pass(self, queries: TokenEmbeddings, scores: Scores) -> None:
        tokens = queries.embeddings.float()
        tiles, dim = -(-len(tokens) // LANES), tokens.shape[1]
        packed = self._pack(tokens)
        rows = self._piece_rows(tiles)
        cuts, taken = self._pieces(rows), torch.zeros(1, dtype=torch.int64)
        norms, bounds = pad(inverse_norms(tokens), (0, -len(tokens) % LANES)), queries.offsets.contiguous()
        weights, asked_weights = self._weights(queries, norms)
        shared = {
            **self._of_index, "queries": _address(packed.columns), "query_scales": _address(packed.scales),
            "weights": _address(weights), "bounds": _address(bounds), "cuts": _address(cuts), "taken": _address(taken),
            "scores": _address(scores), "parts": len(packed.columns), "components": packed.columns.shape[3],
            "query_tokens": len(tokens), "tiles": tiles, "query_count": len(queries), "pieces": len(cuts) - 1,
            "query_inverse_norms": _address(norms), "asked_weights": _address(asked_weights),
        }  # fmt: skip
        asked_floats = (rows + LANES) * len(queries) if self._two_ways else 0
        room_floats = BLOCK_ROWS * ((len(packed.columns) + 1) * LANES + dim)

        def work() -> None:
            sizes = room_floats, (rows + LANES) * tiles * LANES, tiles * LANES, asked_floats
            room, dots, matches, asked = (torch.empty(size) for size in sizes)
            own = {
                "room": _address(room), "dots": _address(dots), "matches": _address(matches), "asked": _address(asked),
            }  # fmt: skip
            self._kernel.run(Arguments(factor=self._factor, **shared, **own))

        _share(work, len(cuts) - 1)

    def _pack(self, tokens: Float[Tensor, "query_tokens dim"]) -> QueryParts:
        if self._method == "floats":
            return pack_floats(tokens)
        if self._index.manifest.dtype == "bfloat16":
            return pack_bfloat16(tokens)
        packed = pack_int8(tokens)
        if self._method == "tiles":
            return packed
        # One operand of the vector unit's instruction has no sign: 128 is added, and taken away from the sums.
        return QueryParts(packed.columns.view(torch.uint8) ^ HIGH, packed.scales)

    def _weights(
        self, queries: TokenEmbeddings, norms: Float[Tensor, " columns"]
    ) -> tuple[Float[Tensor, " columns"], Float[Tensor, " queries"]]:
        """What each query token's match is multiplied by, and what the mean over a target's tokens, for each query."""
        counts = queries.token_counts
        of_queries = torch.ones(len(counts)) if self._interaction.query_reduction == "sum" else 1 / counts
        if self._two_ways:
            of_queries = of_queries / 2
        per_token = pad(of_queries.repeat_interleave(counts), (0, -int(counts.sum()) % LANES))
        return norms * per_token, of_queries * counts

    def _piece_rows(self, tiles: int) -> int:
        longest = self._bounds[-1] - self._bounds[-2]  # targets are sorted by their tokens
        return max(longest, min(_PIECE_ROWS, _PIECE_ELEMENTS // (tiles * LANES)))

    def _cut(self, rows: int) -> Int64[Tensor, " cuts"]:
        """The first targets of runs of at most so many tokens, and the number of targets."""
        starts = [0]
        for stored in range(len(self._index)):
            if self._bounds[stored + 1] - self._bounds[starts[-1]] > rows:
                starts.append(stored)
        return torch.tensor([*starts, len(self._index)])


def _passes(bounds: list[int]) -> Iterator[tuple[int, int]]:
    """The queries in runs of few tokens; a longer one makes a run of its own."""
    first = 0
    for query in range(1, len(bounds) - 1):
        if bounds[query + 1] - bounds[first] > _PASS_TOKENS:
            yield first, query
            first = query
    yield first, len(bounds) - 1


def _address(tensor: Tensor | None) -> int:
    """Where its content begins; 0 where there is none."""
    return 0 if tensor is None else tensor.data_ptr()


def _share(work: Callable[[], None], pieces: int) -> None:
    """Let as many threads as torch has take piece after piece; this one is one of them."""
    helpers = min(torch.get_num_threads(), pieces) - 1
    futures = [_helpers(os.getpid(), helpers).submit(work) for _ in range(helpers)]
    work()
    for future in futures:
        future.result()


@cache
def _helpers(process: int, count: int) -> ThreadPoolExecutor:  # noqa: ARG001 - a forked process has no threads of another
    return ThreadPoolExecutor(count, thread_name_prefix="scoring")
