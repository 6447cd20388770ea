"""Ranks: the processes that train one model together, each on a device of its own.

Every rank draws the same batch and holds the same weights. The encoder's work is divided: a rank encodes its share of
the chunks and hands gradients on through these alone. The token embeddings of all ranks are exchanged, so that the
negatives span the whole batch, and loss and gradients of the embeddings are then computed by every rank, redundantly:
beside the encoder they cost little, and dividing them would take a second exchange.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar, cast

import torch
import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor

from uwe_core.errors import ConfigurationError, PeerError

_Value = TypeVar("_Value")
_SEEDS = 2**62


@dataclass(frozen=True)
class Ranks:
    """This process among all; one that is alone calls nothing of `torch.distributed`.

    Attributes:
        rank: of this process, from 0.
        size: how many there are.
    """

    rank: int = 0
    size: int = 1

    @classmethod
    def here(cls) -> Ranks:
        """As the process group says; alone where there is none."""
        if not (dist.is_available() and dist.is_initialized()):
            return cls()
        return cls(dist.get_rank(), dist.get_world_size())

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes files and speaks."""
        return self.rank == 0

    @property
    def is_alone(self) -> bool:
        """Whether there are no others."""
        return self.size == 1

    def tokens_per_chunk(self, most: int, tokens: int) -> int:
        """So many that each rank gets a chunk of all these tokens, and at most `most`."""
        return most if self.is_alone else min(most, math.ceil(tokens / self.size))

    @contextmanager
    def chunk_randomness(self, seed: int, chunk: int, device: torch.device) -> Iterator[None]:
        """Random numbers that depend on seed and chunk, whichever rank it is on; those outside go on untouched."""
        if self.is_alone:
            yield
            return
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(seed + chunk)
            yield

    def common_seed(self) -> int:
        """The next random number: the same on all ranks, as they have drawn the same ones before."""
        return 0 if self.is_alone else int(torch.randint(_SEEDS, ()))

    def exchanged(self, own: Float[Tensor, "_ dim"], rows: Sequence[int]) -> list[Float[Tensor, "_ dim"]]:
        """The tensors of all ranks, in their order.

        Args:
            own: of this rank.
            rows: how many each rank has, known to all.
        """
        if self.is_alone:
            return [own]
        padded = own.new_zeros(max(rows), own.shape[1])
        padded[: len(own)] = own
        everyone = [torch.empty_like(padded) for _ in rows]
        dist.all_gather(everyone, padded)
        return [tensor[:count] for tensor, count in zip(everyone, rows, strict=True)]

    def any(self, flag: bool) -> bool:
        """Whether the flag is set on some rank."""
        return flag if self.is_alone else any(self._gathered(flag))

    def of_first(self, make: Callable[[], _Value]) -> _Value:
        """What the first rank makes, on every rank; the others do not make it, and wait.

        Raises:
            PeerError: on the others, where the first has failed; there its own error goes on.
        """
        if self.is_alone:
            return make()
        if not self.is_first:
            made, failure = self._broadcast(None)
            if failure is not None:
                raise PeerError(f"the first process has failed: {failure}")
            return cast("_Value", made)
        try:
            value = make()
        except Exception as error:
            # Without a word from here the others would wait for as long as the group is patient.
            self._broadcast((None, f"{type(error).__name__}: {error}"))
            raise
        self._broadcast((value, None))
        return value

    def wait(self) -> None:
        """Wait until all ranks have come so far."""
        self.any(False)

    def refuse_difference(self, value: object, what: str) -> None:
        """Wait for all ranks, and check that they hold the same.

        Raises:
            ConfigurationError: they do not; on every rank.
        """
        if not self.is_alone and len(set(map(repr, self._gathered(value)))) > 1:
            raise ConfigurationError(f"the processes of this run do not see the same {what}: do they share the folder?")

    @staticmethod
    def _broadcast(outcome: tuple[object, str | None] | None) -> tuple[object, str | None]:
        """A value, or how making it failed, from the first rank to all."""
        outcomes = [outcome]
        dist.broadcast_object_list(outcomes, src=0)
        return cast("tuple[object, str | None]", outcomes[0])

    def _gathered(self, value: _Value) -> list[_Value]:
        values = [value] * self.size
        dist.all_gather_object(values, value)
        return values


def shares(costs: Sequence[int], ranks: int) -> list[list[int]]:
    """The numbers of the chunks of each rank, ascending: the costliest first, each to whoever has least so far."""
    divided: list[list[int]] = [[] for _ in range(ranks)]
    loads = [0] * ranks
    for chunk in sorted(range(len(costs)), key=lambda chunk: (-costs[chunk], chunk)):
        rank = loads.index(min(loads))
        divided[rank].append(chunk)
        loads[rank] += costs[chunk]
    return [sorted(share) for share in divided]
