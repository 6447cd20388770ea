"""Exact token-level scoring on a CPU by a kernel compiled for it: one pass over the stored tokens per batch."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor

from uwe_core.interaction import InteractionConfig, inverse_norms
from uwe_core.scoring.exponents import power_of_two_factor
from uwe_core.scoring.kernel.compiled import compiled
from uwe_core.scoring.kernel.processor import dots_method
from uwe_core.scoring.kernel.tile_dots import BLOCK_ROWS
from uwe_core.scoring.packed_queries import HIGH, LANES, pack_bfloat16, pack_floats, pack_int8
from uwe_core.token_embeddings import TokenEmbeddings
from uwe_core.token_index import TokenIndex
from uwe_core.types import Scores

# Dot products of a piece of the index: half a megabyte, within a second-level cache together with the queries.
_PIECE_ELEMENTS = 1 << 17
# More rows would leave a thread without work at the end.
_PIECE_ROWS = 2048
# Query tokens of one pass over the index: their packed components stay in a second-level cache.
_PASS_TOKENS = 256
# Rows that the kernel works on at once, at most.
_ROWS_AT_ONCE = 8

# Fills a buffer with the dot products of the rows `start` to `stop` of the index.
_Fill = Callable[[int, int, Tensor], None]
# Targets `first` to `last` (exclusive) in stored order.
_Piece = tuple[int, int]


class NativeScorer:
    """Soft late interaction or MaxSim against every target of an index in the memory of the host.

    Raises:
        ConfigurationError: an interaction that compares pooled vectors.
    """

    def __init__(self, index: TokenIndex, interaction: InteractionConfig) -> None:
        self._factor = power_of_two_factor(interaction)
        self._index = index
        self._interaction = interaction
        self._bounds: list[int] = index.offsets.tolist()
        storage = index.manifest.dtype
        self._method = dots_method(storage, index.manifest.dim)
        self._token_sums = index.embeddings.sum(dim=1, dtype=torch.int32) if self._method == "int8" else None
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
        tiles = -(-len(tokens) // LANES)
        ways = {"floats": self._float_dots, "int8": self._int8_dots, "tiles": self._tile_dots}
        fill = ways[self._method](tokens, tiles)
        weights = self._weights(queries, tokens, tiles)
        bounds = queries.offsets.contiguous()
        rows = self._piece_rows(tiles)

        def work(pieces: Iterator[_Piece]) -> None:
            dots, room = torch.empty(rows, tiles * LANES), torch.empty(tiles * LANES)
            for first, last in pieces:
                fill(self._bounds[first], self._bounds[last], dots)
                self._kernel.scores(
                    dots.data_ptr(), self._index.inverse_norms.data_ptr(), self._index.offsets.data_ptr(),
                    self._index.order.data_ptr(), first, last, tiles, self._factor,
                    weights.data_ptr(), bounds.data_ptr(),
                    len(queries), scores.data_ptr(), len(self._index), room.data_ptr(),
                )  # fmt: skip

        _share(work, self._pieces(rows))

    def _float_dots(self, tokens: Float[Tensor, "query_tokens dim"], tiles: int) -> _Fill:
        packed, index = pack_floats(tokens), self._index
        dim = tokens.shape[1]

        def fill(start: int, stop: int, dots: Tensor) -> None:
            widened = torch.empty(_ROWS_AT_ONCE * dim)
            self._kernel.dots(
                _row(index.embeddings, start), _row(index.scales, start), stop - start, dim, packed.data_ptr(), tiles,
                widened.data_ptr(), dots.data_ptr(),
            )  # fmt: skip

        return fill

    def _int8_dots(self, tokens: Float[Tensor, "query_tokens dim"], tiles: int) -> _Fill:
        packed, index, sums = pack_int8(tokens), self._index, self._token_sums
        columns = packed.columns.view(torch.uint8) ^ HIGH  # one operand of the instruction has no sign: 128 is added
        dim, parts = tokens.shape[1], len(columns)

        def fill(start: int, stop: int, dots: Tensor) -> None:
            room = torch.empty(_ROWS_AT_ONCE * (parts + 1) * LANES, dtype=torch.int32)
            self._kernel.dots(
                _row(index.embeddings, start), _row(index.scales, start), _row(sums, start), stop - start, dim,
                columns.data_ptr(), parts, _row(packed.scales, 0), len(tokens), tiles, room.data_ptr(),
                dots.data_ptr(),
            )  # fmt: skip

        return fill

    def _tile_dots(self, tokens: Float[Tensor, "query_tokens dim"], tiles: int) -> _Fill:
        index = self._index
        packed = pack_int8(tokens) if index.manifest.dtype == "int8" else pack_bfloat16(tokens)
        dim, parts = tokens.shape[1], len(packed.columns)

        def fill(start: int, stop: int, dots: Tensor) -> None:
            room = torch.empty(BLOCK_ROWS * ((parts + 1) * LANES + dim))
            self._kernel.dots(
                _row(index.embeddings, start), _row(index.scales, start), stop - start, dim,
                packed.columns.data_ptr(), parts, _row(packed.scales, 0), len(tokens), tiles, room.data_ptr(),
                dots.data_ptr(),
            )  # fmt: skip

        return fill

    def _weights(self, queries: TokenEmbeddings, tokens: Tensor, tiles: int) -> Float[Tensor, " columns"]:
        """What the match of each query token is multiplied by: its inverse norm, over the tokens where it is a mean."""
        weights = torch.zeros(tiles * LANES)
        weights[: len(tokens)] = inverse_norms(tokens)
        if self._interaction.query_reduction == "mean":
            counts = queries.token_counts
            weights[: len(tokens)] /= counts.repeat_interleave(counts)
        return weights

    def _piece_rows(self, tiles: int) -> int:
        longest = self._bounds[-1] - self._bounds[-2]  # targets are sorted by their tokens
        return max(longest, min(_PIECE_ROWS, _PIECE_ELEMENTS // (tiles * LANES)))

    def _cut(self, rows: int) -> list[_Piece]:
        """All targets in runs of at most so many tokens."""
        starts = [0]
        for stored in range(len(self._index)):
            if self._bounds[stored + 1] - self._bounds[starts[-1]] > rows:
                starts.append(stored)
        return list(pairwise([*starts, len(self._index)]))


def _passes(bounds: list[int]) -> Iterator[tuple[int, int]]:
    """The queries in runs of few tokens; a longer one makes a run of its own."""
    first = 0
    for query in range(1, len(bounds) - 1):
        if bounds[query + 1] - bounds[first] > _PASS_TOKENS:
            yield first, query
            first = query
    yield first, len(bounds) - 1


def _row(tensor: Tensor | None, row: int) -> int:
    """The address of a row; of nothing where a storage type has no such tensor."""
    return 0 if tensor is None else int(tensor.data_ptr()) + row * int(tensor.stride(0)) * int(tensor.element_size())


def _share(work: Callable[[Iterator[_Piece]], None], pieces: list[_Piece]) -> None:
    """Let as many threads as torch has take piece after piece; this one is one of them."""
    rest = iter(pieces)  # taking the next of a list's iterator is atomic
    helpers = min(torch.get_num_threads(), len(pieces)) - 1
    futures = [_helpers(os.getpid(), helpers).submit(work, rest) for _ in range(helpers)]
    work(rest)
    for future in futures:
        future.result()


@cache
def _helpers(process: int, count: int) -> ThreadPoolExecutor:  # noqa: ARG001 - a forked process has no threads of another
    return ThreadPoolExecutor(count, thread_name_prefix="scoring")
