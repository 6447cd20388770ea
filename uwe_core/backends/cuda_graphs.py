"""CudaGraphs: the packed encoder on a GPU, whose launches are recorded once a shape and then replayed as one.

A query of eight tokens leaves a GPU idle: its some hundred kernels take less time than a processor needs to launch
them. A graph is launched at once. Its sizes and its memory are fixed, so there is one for each bucket of
`graph_buckets.py`; all are recorded when the backend is made, none at request time.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Int64
from torch import Tensor

from uwe_core.backends.graph_buckets import Bucket, buckets_up_to, encode_laid_out, laid_out, smallest_fit
from uwe_core.backends.interface import BackendName, BackendPrecision
from uwe_core.backends.packed_texts import PackedTexts, pack
from uwe_core.backends.torch_backend import PackedTorch
from uwe_core.encoder import TokenEncoder
from uwe_core.types import RaggedTokens

# Libraries choose kernels and take workspaces in first calls, which must not be recorded.
_WARM_UP_CALLS = 3

Compute = Callable[[], RaggedTokens]
# Computes anew, from the memory that was read when it was recorded to the memory that was written then.
Recording = tuple[Callable[[], object], RaggedTokens]


class CudaRecorder:
    """Records what a GPU is told to do; recordings share the memory of what they compute on the way."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._pool = torch.cuda.graph_pool_handle()

    def __call__(self, compute: Compute) -> Recording:
        """The recording of one call."""
        with torch.cuda.device(self._device):
            side = torch.cuda.Stream()
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                for _ in range(_WARM_UP_CALLS):
                    compute()
            torch.cuda.current_stream().wait_stream(side)
            graph = torch.cuda.CUDAGraph()
            # Other threads may use the GPU meanwhile: what they do is neither recorded nor an error.
            with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
                output = compute()
        return graph.replay, output


class CudaGraphs:
    """The packed encoder with fixed shapes; what is larger than all buckets is computed as `PackedTorch` does."""

    name: BackendName = "cuda_graphs"

    def __init__(
        self, encoder: TokenEncoder, precision: BackendPrecision, record: Callable[[Compute], Recording]
    ) -> None:
        """Record every bucket, the largest first, so that smaller ones find their memory in the pool.

        Args:
            encoder: whose layers are known.
            precision: of weights and products.
            record: `CudaRecorder` where there is a GPU.
        """
        self.precision = precision
        self._eager = PackedTorch(encoder, precision)
        self._turn = threading.Lock()
        self._numbers: dict[Bucket, Int64[Tensor, " numbers"]] = {}
        self._recordings: dict[Bucket, Recording] = {}
        for bucket in buckets_up_to(encoder.max_tokens):
            self._record(bucket, record, encoder.device)

    @torch.inference_mode()
    def encode(self, token_ids: Sequence[Sequence[int]]) -> RaggedTokens:
        """See `EncoderBackend`."""
        bucket = smallest_fit(list(self._recordings), len(token_ids), max(map(len, token_ids)))
        if bucket is None:
            return self._eager.encode(token_ids)
        return self._replay(bucket, pack(token_ids, self._eager.padding_id))

    def _replay(self, bucket: Bucket, packed: PackedTexts) -> RaggedTokens:
        replay, output = self._recordings[bucket]
        numbers = torch.from_numpy(laid_out(packed, bucket))
        with self._turn:  # one call's numbers must not meet another's replay
            self._numbers[bucket].copy_(numbers)
            replay()
            return output[: len(packed.ids)].clone()

    @torch.inference_mode()
    def _record(self, bucket: Bucket, record: Callable[[Compute], Recording], device: torch.device) -> None:
        empty = pack([[0]], self._eager.padding_id)
        numbers = torch.from_numpy(laid_out(empty, bucket)).to(device)
        self._numbers[bucket] = numbers
        self._recordings[bucket] = record(lambda: encode_laid_out(self._eager.packed_encoder, numbers, bucket))
