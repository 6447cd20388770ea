"""PreparedBatch: a batch as token ids and objectives; all that a step needs, made without the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from tokenizers import Encoding

from uwe_core.batches.batch import Batch, BatchText
from uwe_core.encoder import TokenEncoder
from uwe_core.gradients.objective import LossConfig, Objective, objectives_of


class Span(NamedTuple):
    """Token positions `start` to `end`, exclusive."""

    start: int
    end: int


@dataclass(frozen=True)
class PreparedBatch:
    """Token ids of each distinct text, and the terms of the loss over these texts."""

    token_ids: list[list[int]]
    objectives: list[Objective]


def prepare(encoder: TokenEncoder, batch: Batch, config: LossConfig) -> PreparedBatch:
    """Tokenise a batch and look up its objectives: work for the CPU, which can run a batch ahead of the step.

    Raises:
        ConfigurationError: the batch has a graph that `config` does not know.
    """
    limit = min(config.max_tokens_per_text, encoder.max_tokens)
    return PreparedBatch(tokenise_pieces(encoder, batch.texts, limit), objectives_of(batch, config))


def tokenise_pieces(encoder: TokenEncoder, texts: Sequence[BatchText], limit: int) -> list[list[int]]:
    """Token ids of each text with what stands beside it, special tokens included, `limit` of them at most.

    What is too long loses tokens of what was put beside it first, the farthest ones first.
    """
    joined = [" ".join(filter(None, (text.prefix, text.text, text.suffix))) for text in texts]
    encodings = encoder.tokenizer.backend_tokenizer.encode_batch(joined)
    return [_cut(encoding, text, limit) for encoding, text in zip(encodings, texts, strict=True)]


def cut_around(token_ids: Sequence[int], own: Span, inner: Span, limit: int) -> list[int]:
    """At most `limit` tokens in a row, around a text's own tokens.

    Args:
        token_ids: of the whole, special tokens at both ends included.
        own: the tokens to keep: all of them if they fit, else their beginning.
        inner: all tokens but the special ones at both ends, which are always kept.
        limit: more than there are special tokens.
    """
    room = limit - (len(token_ids) - (inner.end - inner.start))
    # the window ends with the own tokens or after them, and begins with them or before
    start = max(inner.start, min(own.start, own.end - room))
    end = min(inner.end, start + room)
    return [*token_ids[: inner.start], *token_ids[start:end], *token_ids[inner.end :]]


def _cut(encoding: Encoding, text: BatchText, limit: int) -> list[int]:
    token_ids: list[int] = encoding.ids
    if len(token_ids) <= limit:
        return token_ids
    inner = _inner(encoding.special_tokens_mask)
    first = len(text.prefix) + 1 if text.prefix else 0
    last = first + len(text.text)
    # spaces may be part of the token that follows them, so a token belongs where it ends
    within = [first < end <= last for _, end in encoding.offsets[inner.start : inner.end]]
    own = inner.start + within.index(True) if True in within else inner.start
    return cut_around(token_ids, Span(own, own + sum(within)), inner, limit)


def _inner(special: Sequence[int]) -> Span:
    """Where the tokens are that are not special ones at either end."""
    start = special.index(0) if 0 in special else len(special)
    end = len(special) - special[::-1].index(0) if 0 in special else len(special)
    return Span(start, end)
