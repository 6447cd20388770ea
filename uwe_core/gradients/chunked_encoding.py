"""A batch through the encoder in chunks; those that memory has no room for go through it again for their gradients."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from uwe_core.encoder import Precision, TokenEncoder, length_sorted_batches
from uwe_core.gradients.packed_tokens import PackedTokens
from uwe_core.gradients.saved_bytes import SavedBytes
from uwe_core.ranks import Ranks, shares
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
    """Token embeddings of a batch, and what is needed to hand gradients on.

    Attributes:
        tokens: of all texts, without a graph of computation.
        chunks: token ids of the texts of each chunk that this rank encodes.
        first_row: of these chunks in `tokens`, where they stand end to end.
        states: random numbers as they were before each chunk.
        outputs: of each chunk that was kept, its token embeddings with their graph of computation; None of others.
        precision: of the encoder's products.
    """

    tokens: PackedTokens
    chunks: Sequence[Sequence[Sequence[int]]]
    first_row: int
    states: Sequence[RandomState]
    outputs: list[Float[Tensor, "_ dim"] | None]
    precision: Precision

    def backward(self, encoder: TokenEncoder, gradient: RaggedTokens) -> None:
        """Add the gradients of the weights, given those of the token embeddings; kept graphs are gone afterwards.

        With several ranks they are a part of the gradients, to be added up over ranks.
        """
        start = self.first_row
        for number in range(len(self.chunks)):
            tokens = self._output(encoder, number)
            torch.autograd.backward(tokens, gradient[start : start + len(tokens)])
            start += len(tokens)

    def _output(self, encoder: TokenEncoder, number: int) -> RaggedTokens:
        kept, self.outputs[number] = self.outputs[number], None
        if kept is not None:
            return kept
        with self.states[number].replayed(encoder.device):
            return encode_chunk(encoder, self.chunks[number], self.precision)


def encode_in_chunks(
    encoder: TokenEncoder,
    token_ids: Sequence[Sequence[int]],
    tokens_per_chunk: int,
    precision: Precision = "float32",
    bytes_kept: int = 0,
    ranks: Ranks | None = None,
) -> ChunkedEncoding:
    """Encode in chunks of texts of similar length, together with the other ranks.

    Args:
        encoder: not changed.
        token_ids: of each text.
        tokens_per_chunk: padding counted.
        precision: of the encoder's products.
        bytes_kept: for graphs of computation; the first chunks' are kept until so much is spent, by the last of them
            at most a chunk's more.
        ranks: of which each encodes a share of the chunks; None: this process is alone.
    """
    ranks = ranks or Ranks()
    counts = [len(ids) for ids in token_ids]
    positions = list(length_sorted_batches(counts, ranks.tokens_per_chunk(tokens_per_chunk, sum(counts))))
    divided = shares([len(chunk) * counts[chunk[-1]] for chunk in positions], ranks.size)
    own = divided[ranks.rank]
    chunks = [[token_ids[position] for position in positions[number]] for number in own]
    seed = ranks.common_seed()
    # A rank without a chunk has no rows.
    embeddings = [torch.empty(0, encoder.dim, device=encoder.device)]
    states: list[RandomState] = []
    outputs: list[Tensor | None] = []
    room = bytes_kept
    for number, chunk in zip(own, chunks, strict=True):
        saved = SavedBytes(encoder.backbone.parameters())
        with ranks.chunk_randomness(seed, number, encoder.device), torch.set_grad_enabled(room > 0), saved:
            states.append(RandomState.now(encoder.device))
            output = encode_chunk(encoder, chunk, precision)
        room -= saved.total
        embeddings.append(output.detach())
        outputs.append(output if output.requires_grad else None)
    texts = [[position for number in share for position in positions[number]] for share in divided]
    rows = [sum(counts[text] for text in share) for share in texts]
    tokens = PackedTokens.from_chunks(ranks.exchanged(torch.cat(embeddings), rows), texts, counts)
    return ChunkedEncoding(tokens, chunks, sum(rows[: ranks.rank]), states, outputs, precision)


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
