"""A batch through the encoder in chunks: once without remembering anything, once more to hand gradients on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from uwe_core.encoder import Precision, TokenEncoder, length_sorted_batches
from uwe_core.packed_tokens import PackedTokens
from uwe_core.types import RaggedTokens


@dataclass(frozen=True)
class RandomState:
    """What random numbers come next: of torch on the CPU, and on the GPU where the model is on one."""

    cpu: Tensor
    gpu: Tensor | None

    @classmethod
    def now(cls, device: torch.device) -> RandomState:
        """The state at this moment."""
        return cls(torch.get_rng_state(), torch.cuda.get_rng_state(device) if device.type == "cuda" else None)

    @contextmanager
    def replayed(self, device: torch.device) -> Iterator[None]:
        """The same random numbers again inside; outside they go on as if nothing had been."""
        with torch.random.fork_rng(devices=[device] if self.gpu is not None else []):
            torch.set_rng_state(self.cpu)
            if self.gpu is not None:
                torch.cuda.set_rng_state(self.gpu, device)
            yield


@dataclass(frozen=True)
class ChunkedEncoding:
    """Token embeddings of a batch, and what is needed to make them once more.

    Attributes:
        tokens: without a graph of computation.
        chunks: token ids of the texts of each chunk.
        states: random numbers as they were before each chunk.
        precision: of the encoder's products.
    """

    tokens: PackedTokens
    chunks: Sequence[Sequence[Sequence[int]]]
    states: Sequence[RandomState]
    precision: Precision

    def backward(self, encoder: TokenEncoder, gradient: RaggedTokens) -> None:
        """Add the gradients of the weights, given those of the token embeddings."""
        start = 0
        for chunk, state in zip(self.chunks, self.states, strict=True):
            with state.replayed(encoder.device):
                tokens = encode_chunk(encoder, chunk, self.precision)
            torch.autograd.backward(tokens, gradient[start : start + len(tokens)])
            start += len(tokens)


def encode_in_chunks(
    encoder: TokenEncoder, token_ids: Sequence[Sequence[int]], tokens_per_chunk: int, precision: Precision = "float32"
) -> ChunkedEncoding:
    """Encode without gradients, in chunks of texts of similar length."""
    positions = list(length_sorted_batches([len(ids) for ids in token_ids], tokens_per_chunk))
    chunks = [[token_ids[position] for position in chunk] for chunk in positions]
    embeddings, states = [], []
    with torch.no_grad():
        for chunk in chunks:
            states.append(RandomState.now(encoder.device))
            embeddings.append(encode_chunk(encoder, chunk, precision))
    tokens = PackedTokens.from_chunks(embeddings, positions, [len(ids) for ids in token_ids])
    return ChunkedEncoding(tokens, chunks, states, precision)


def encode_chunk(encoder: TokenEncoder, token_ids: Sequence[Sequence[int]], precision: Precision) -> RaggedTokens:
    """Token embeddings of all real tokens, text after text, in float32 at least.

    Args:
        encoder: in training mode its dropout draws from torch's random numbers.
        token_ids: of each text.
        precision: `bfloat16` lets the encoder's products run in it, whatever its weights are.
    """
    device = encoder.device
    with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16"):
        hidden, _ = encoder.forward(token_ids)
    counts = np.array([len(ids) for ids in token_ids])
    # Rows by number: to select them by a mask, the host would have to wait for the device.
    rows = torch.from_numpy(np.flatnonzero(np.arange(hidden.shape[1])[None, :] < counts[:, None]))
    tokens = hidden.flatten(0, 1)[rows.to(device, non_blocking=True)]
    return tokens.float() if tokens.dtype in (torch.float16, torch.bfloat16) else tokens
