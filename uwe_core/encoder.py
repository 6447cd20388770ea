"""TokenEncoder: texts to raw token embeddings, with any encoder of the transformers library."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, TypeVar

import torch
from jaxtyping import Bool, Float, Int
from safetensors.torch import save as to_safetensors_bytes
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from uwe_core.backends.interface import EncoderBackend
from uwe_core.errors import ConfigurationError, EmptyTextError, InvalidTextError
from uwe_core.text import unreadable_reason
from uwe_core.token_embeddings import TokenEmbeddings
from uwe_core.token_span import TokenSpan
from uwe_core.types import RaggedTokens

Precision = Literal["float32", "bfloat16"]
# Enough to keep two processors busy, small enough that a batch takes well under a second on them.
TOKENS_PER_BATCH = 4096
Item = TypeVar("Item")


@dataclass(frozen=True)
class Truncation:
    """A text longer than the encoder's position limit, of which only the beginning is encoded."""

    position: int
    tokens: int
    kept_tokens: int


@dataclass(frozen=True)
class TokenisedTexts:
    """Token ids of each text, special tokens included, with what had to be cut off."""

    token_ids: list[list[int]]
    truncations: list[Truncation]

    def __len__(self) -> int:
        return len(self.token_ids)


@dataclass(frozen=True)
class EncodedBatch:
    """Texts of one forward pass: their positions in the input and their token embeddings in that order."""

    positions: list[int]
    tokens: TokenEmbeddings


class TokenEncoder:
    """A transformers encoder and its tokenizer. Raw embeddings of all tokens, special tokens included.

    Args:
        backbone: a bidirectional encoder whose output has `last_hidden_state`.
        tokenizer: its fast tokenizer; settings for padding and truncation stored with it are ignored.

    Attributes:
        backend: what encodes in place of the backbone, for inference alone; made of its weights as they were then.
    """

    def __init__(self, backbone: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
        if not tokenizer.is_fast:
            raise ConfigurationError("the tokenizer has no fast version (tokenizer.json)")
        self.backbone = backbone
        self.backend: EncoderBackend | None = None
        self.tokenizer = tokenizer
        self._fast_tokenizer = tokenizer.backend_tokenizer
        # Folders of sentence encoders carry a cut at 128 tokens and padding to it; neither is ours.
        self._fast_tokenizer.no_truncation()
        self._fast_tokenizer.no_padding()
        self._special_ids = frozenset(tokenizer.all_special_ids)
        self.max_tokens = position_limit(backbone)

    @property
    def dim(self) -> int:
        """Components of a token embedding."""
        return int(self.backbone.config.hidden_size)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.backbone.device

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the weights."""
        return self.backbone.dtype

    @cached_property
    def fingerprint(self) -> str:
        """Content hash of the weights and the tokenizer, taken when first asked for.

        Take it before the weights change precision: the hash is of the numbers as they stand.
        """
        digest = hashlib.sha256(self._fast_tokenizer.to_str().encode())
        digest.update(self.backbone.config.model_type.encode())
        for name, tensor in sorted(self.backbone.state_dict().items()):
            digest.update(to_safetensors_bytes({name: tensor.detach().cpu().contiguous()}))
        return digest.hexdigest()

    def weights_changed(self) -> None:
        """Forget the fingerprint and the backend: they were of weights that are no longer there."""
        self.__dict__.pop("fingerprint", None)
        self.backend = None

    def tokenise(self, texts: Sequence[str], most_tokens: int | None = None) -> TokenisedTexts:
        """Token ids of `texts`, cut only at the encoder's own position limit, or before it where a caller says so.

        Raises:
            EmptyTextError: a text is empty, blank, or tokenises to special tokens only.
            InvalidTextError: a text holds NUL or a lone surrogate.
        """
        _refuse_unreadable(texts)
        limit = self.max_tokens if most_tokens is None else min(most_tokens, self.max_tokens)
        token_ids: list[list[int]] = []
        truncations: list[Truncation] = []
        for position, encoding in enumerate(self._fast_tokenizer.encode_batch_fast(list(texts))):
            ids: list[int] = encoding.ids
            if self._special_ids.issuperset(ids):
                raise EmptyTextError(position, "holds nothing the tokenizer knows: only special tokens are left of it")
            if len(ids) > limit:
                truncations.append(Truncation(position, len(ids), limit))
                ids = _cut(ids, limit, closed=ids[-1] in self._special_ids)
            token_ids.append(ids)
        return TokenisedTexts(token_ids, truncations)

    def spans(self, texts: Sequence[str]) -> list[list[TokenSpan]]:
        """Where the tokens of each text stand in it, cut as `tokenise` cuts; of texts that `tokenise` accepts."""
        spans = []
        for encoding in self._fast_tokenizer.encode_batch(list(texts)):
            marks = zip(encoding.tokens, encoding.offsets, encoding.special_tokens_mask, strict=True)
            row = [TokenSpan(token, *((None, None) if special else place)) for token, place, special in marks]
            if len(row) > self.max_tokens:
                row = _cut(row, self.max_tokens, closed=encoding.ids[-1] in self._special_ids)
            spans.append(row)
        return spans

    def encode(self, tokenised: TokenisedTexts, tokens_per_batch: int = TOKENS_PER_BATCH) -> TokenEmbeddings:
        """Token embeddings in the order of the texts, float32, on the encoder's device."""
        texts: list[Tensor] = [torch.empty(0)] * len(tokenised)
        for batch in self.batches(tokenised, tokens_per_batch):
            for position, tokens in zip(batch.positions, batch.tokens, strict=True):
                texts[position] = tokens
        return TokenEmbeddings.from_texts(texts)

    def batches(self, tokenised: TokenisedTexts, tokens_per_batch: int = TOKENS_PER_BATCH) -> Iterator[EncodedBatch]:
        """Encode in order of length, shortest first, so that batches are bounded by tokens and hardly padded."""
        for positions in length_sorted_batches([len(ids) for ids in tokenised.token_ids], tokens_per_batch):
            yield self.encode_batch(tokenised, positions)

    @torch.inference_mode()
    def encode_batch(self, tokenised: TokenisedTexts, positions: Sequence[int]) -> EncodedBatch:
        """The texts at some positions in one forward pass."""
        ids = [tokenised.token_ids[position] for position in positions]
        tokens = self.hidden(ids) if self.backend is None else self.backend.encode(ids)
        offsets = torch.tensor([0, *(len(row) for row in ids)]).cumsum(0)
        return EncodedBatch(list(positions), TokenEmbeddings(tokens, offsets))

    def hidden(self, token_ids: Sequence[Sequence[int]]) -> RaggedTokens:
        """Token embeddings of one forward pass of the backbone, float32, text after text, without padding."""
        hidden, mask = self.forward(token_ids)
        return (hidden.flatten(0, 1) if mask is None else hidden[mask]).float()

    def forward(
        self, token_ids: Sequence[Sequence[int]]
    ) -> tuple[Float[Tensor, "texts text_tokens dim"], Bool[Tensor, "texts text_tokens"] | None]:
        """One forward pass over padded token ids.

        Returns:
            Hidden states in the encoder's precision, and the mask of real tokens (None where nothing is padded:
            without a mask attention takes its fast path).
        """
        ids, mask = self._pad(token_ids)
        output = self.backbone(input_ids=ids, attention_mask=None if mask is None else mask.long())
        return output.last_hidden_state, mask

    def _pad(
        self, token_ids: Sequence[Sequence[int]]
    ) -> tuple[Int[Tensor, "texts text_tokens"], Bool[Tensor, "texts text_tokens"] | None]:
        lengths = [len(ids) for ids in token_ids]
        longest = max(lengths)
        if min(lengths) == longest:
            return torch.tensor([*token_ids]).to(self.device), None
        pad_id = int(self.tokenizer.pad_token_id or 0)
        padded = torch.tensor([[*ids, *[pad_id] * (longest - len(ids))] for ids in token_ids])
        mask = torch.arange(longest)[None, :] < torch.tensor(lengths)[:, None]
        return padded.to(self.device), mask.to(self.device)


def position_limit(backbone: nn.Module) -> int:
    """The most tokens an encoder can take in one text, special tokens included.

    Encoders of the RoBERTa family (MPNet, XLM-R) number positions from the padding index on, so part of their
    position table can never be reached. Encoders with rotary positions name their limit in the configuration.
    """
    config: Any = backbone.config
    table = _position_table(backbone)
    if table is None:
        return int(config.max_position_embeddings)
    padding = position_padding(backbone)
    return table.num_embeddings - (0 if padding is None else padding + 1)


def position_padding(backbone: nn.Module) -> int | None:
    """The padding index from which an encoder numbers positions; None where they begin at 0."""
    table = _position_table(backbone)
    return None if table is None else table.padding_idx


def _position_table(backbone: nn.Module) -> nn.Embedding | None:
    table = getattr(getattr(backbone, "embeddings", None), "position_embeddings", None)
    return table if isinstance(table, nn.Embedding) else None


def length_sorted_batches(token_counts: Sequence[int], tokens_per_batch: int = TOKENS_PER_BATCH) -> Iterator[list[int]]:
    """Positions of texts, shortest first and stable, in batches of at most that many tokens, padding counted.

    A text longer than the bound makes a batch of its own.
    """
    batch: list[int] = []
    for position in sorted(range(len(token_counts)), key=token_counts.__getitem__):
        if batch and (len(batch) + 1) * token_counts[position] > tokens_per_batch:
            yield batch
            batch = []
        batch.append(position)
    if batch:
        yield batch


def _refuse_unreadable(texts: Sequence[str]) -> None:
    for position, text in enumerate(texts):
        reason = unreadable_reason(text)
        if reason is not None:
            error = InvalidTextError if text.strip() else EmptyTextError
            raise error(position, reason)


def _cut(tokens: list[Item], most: int, *, closed: bool) -> list[Item]:
    """The first tokens, at most so many, keeping the special token that closes a text."""
    if closed and most > 1:
        return [*tokens[: most - 1], tokens[-1]]
    return tokens[:most]
