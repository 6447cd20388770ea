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
from uwe_core.backends.interface import TOLERANCES, BackendName, BackendPrecision
from uwe_core.backends.packed_texts import PackedTexts, pack
from uwe_core.backends.shortfall import shortfall
from uwe_core.backends.torch_backend import PackedTorch
from uwe_core.encoder import TokenEncoder
from uwe_core.errors import ConfigurationError
from uwe_core.types import RaggedTokens

# Libraries choose kernels and take workspaces in first calls, which must not be recorded.
_WARM_UP_CALLS = 3

Compute = Callable[[], RaggedTokens]
# Computes anew, from the memory that was read when it was recorded to the memory that was written then.
Recording = tuple[Callable[[], object], RaggedTokens]


class CudaRecorder:
    """Records what a GPU is told to do; recordings share the memory of what they compute on the way.

    So two of them must not be replayed at once, and what one wrote is to be copied before the next is replayed.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._pool = torch.cuda.graph_pool_handle()
        # One for all, since libraries keep a workspace for each; `torch.cuda.graph` would take one of the first device.
        self._stream = torch.cuda.Stream(device)

    def __call__(self, compute: Compute) -> Recording:
        """The recording of one call."""
        torch.cuda.synchronize(self._device)
        # The outer context puts the stream of before back, also where recording fails.
        with torch.cuda.device(self._device), torch.cuda.stream(self._stream):
            for _ in range(_WARM_UP_CALLS):
                compute()
            graph = torch.cuda.CUDAGraph()
            # Other threads may use the GPU meanwhile: what they do is neither recorded nor an error.
            with torch.cuda.graph(graph, self._pool, self._stream, capture_error_mode="thread_local"):
                output = compute()
        torch.cuda.synchronize(self._device)
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

        Raises:
            ConfigurationError: a replay that computes something else than the layers do.
        """
        self.precision = precision
        self._eager = PackedTorch(encoder, precision)
        self._turn = threading.Lock()
        self._recordings: dict[Bucket, tuple[Int64[Tensor, " numbers"], Recording]] = {}
        for bucket in buckets_up_to(encoder.max_tokens):
            self._record(bucket, record, encoder.device)
        for bucket in self._recordings:  # after the last was recorded, since they share memory
            self._check(bucket)

    @torch.inference_mode()
    def encode(self, token_ids: Sequence[Sequence[int]]) -> RaggedTokens:
        """See `EncoderBackend`."""
        bucket = smallest_fit(self._recordings, len(token_ids), max(map(len, token_ids)))
        if bucket is None:
            return self._eager.encode(token_ids)
        return self._replay(bucket, pack(token_ids, self._eager.padding_id))

    def _replay(self, bucket: Bucket, packed: PackedTexts) -> RaggedTokens:
        numbers, (replay, output) = self._recordings[bucket]
        laid = torch.from_numpy(laid_out(packed, bucket))
        with self._turn:  # one call's numbers must not meet another's replay; all threads have the default stream
            numbers.copy_(laid)
            replay()
            return output[: len(packed.ids)].clone()

    @torch.inference_mode()
    def _record(self, bucket: Bucket, record: Callable[[Compute], Recording], device: torch.device) -> None:
        empty = pack([[0]], self._eager.padding_id)  # unlike what `_check` replays
        numbers = torch.from_numpy(laid_out(empty, bucket)).to(device)
        recording = record(lambda: encode_laid_out(self._eager.packed_encoder, numbers, bucket))
        self._recordings[bucket] = numbers, recording

    @torch.inference_mode()
    def _check(self, bucket: Bucket) -> None:
        words = len(self._eager.packed_encoder.words.weight)
        # Two tokens at least: a padding token alone has no direction to compare.
        lengths = (max(2, bucket.text_tokens - text) for text in range(bucket.texts))
        token_ids = [[(text + 31 * place) % words for place in range(length)] for text, length in enumerate(lengths)]
        replayed = self._replay(bucket, pack(token_ids, self._eager.padding_id))
        error = shortfall(replayed, self._eager.encode(token_ids))
        if error > TOLERANCES[self.precision]:
            raise ConfigurationError(f"a recording of {bucket.texts} texts is off by {error:.1g} in its cosines")
