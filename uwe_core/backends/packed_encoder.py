"""PackedEncoder: the layers of BERT's and MPNet's families over packed tokens, without what transformers adds.

The same module runs in torch and is what other libraries are given. Linear layers see no padding, query, key and value
are one product, and no mask, cache or output class is made on the way. Embeddings equal the model's but for rounding.
"""

from __future__ import annotations

import copy
from typing import Any, TypeVar, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel

from uwe_core.errors import ConfigurationError
from uwe_core.types import RaggedTokens

_BERT_FAMILY = ("bert", "roberta", "xlm-roberta", "camembert")
_MPNET = "mpnet"
Module = TypeVar("Module", bound=nn.Module)


def can_pack(backbone: PreTrainedModel) -> bool:
    """Whether the layers of this encoder are known here."""
    config = backbone.config
    return config.model_type in (*_BERT_FAMILY, _MPNET) and not getattr(config, "is_decoder", False)


class PackedEncoder(nn.Module):
    """An encoder's layers. They share the backbone's memory where they can: make them anew when its weights change.

    Raises:
        ConfigurationError: layers of a kind that is not known.
    """

    def __init__(self, backbone: PreTrainedModel, max_tokens: int) -> None:
        super().__init__()
        if not can_pack(backbone):
            raise ConfigurationError(f"encoders of the kind '{backbone.config.model_type}' run in torch alone")
        embeddings: Any = backbone.embeddings
        self.heads = int(backbone.config.num_attention_heads)
        self.words = _frozen(embeddings.word_embeddings)
        self.norm = _frozen(embeddings.LayerNorm)
        positions = embeddings.position_embeddings.weight.detach()
        if hasattr(embeddings, "token_type_embeddings"):
            positions = positions + embeddings.token_type_embeddings.weight[0].detach()
        self.register_buffer("positions", positions)
        # Of MPNet: what attention adds for each distance from -(max_tokens - 1) to max_tokens - 1.
        self.register_buffer("distance_bias", _distance_bias(backbone, max_tokens))
        layers = cast("Any", backbone).encoder.layer
        self.layers = nn.ModuleList(PackedLayer(layer, self.heads) for layer in layers)
        self.eval()

    def forward(
        self,
        ids: Int[Tensor, " tokens"],
        positions: Int[Tensor, " tokens"],
        rows: Int[Tensor, "texts text_tokens"] | None,
        places: Int[Tensor, " tokens"] | None,
        bias: Float[Tensor, "texts 1 1 text_tokens"] | None,
    ) -> RaggedTokens:
        """Token embeddings in the module's precision. For the arguments see `PackedTexts`.

        A single text needs neither `rows` nor `places` nor `bias`: its tokens are the grid.
        """
        tokens: RaggedTokens = self.norm(self.words(ids) + cast("Tensor", self.positions)[positions])
        by_distance = cast("Tensor | None", self.distance_bias)
        if by_distance is not None:
            columns = torch.arange(len(ids) if rows is None else rows.shape[1], device=ids.device)
            distances = columns[None, :] - columns[:, None] + by_distance.shape[0] // 2
            # Fused attention on a GPU wants columns beside each other in memory.
            of_heads = by_distance[distances].permute(2, 0, 1).contiguous()[None]
            bias = of_heads if bias is None else of_heads + bias
        for layer in self.layers:
            tokens = layer(tokens, rows, places, bias)
        return tokens


class PackedLayer(nn.Module):
    """One layer: attention over the grid, all else over tokens, each normalised after its sum."""

    def __init__(self, layer: Any, heads: int) -> None:
        super().__init__()
        attention = layer.attention
        if hasattr(attention, "attn"):  # MPNet's names
            own, output, norm = attention.attn, attention.attn.o, attention.LayerNorm
            parts = [own.q, own.k, own.v]
        else:
            own, output, norm = attention.self, attention.output.dense, attention.output.LayerNorm
            parts = [own.query, own.key, own.value]
        self.heads = heads
        self.query_key_value = _joined(parts)
        self.attention_output = _frozen(output)
        self.attention_norm = _frozen(norm)
        self.wide = _frozen(layer.intermediate.dense)
        self.activation = _frozen(layer.intermediate.intermediate_act_fn)
        self.narrow = _frozen(layer.output.dense)
        self.norm = _frozen(layer.output.LayerNorm)

    def forward(
        self,
        tokens: RaggedTokens,
        rows: Int[Tensor, "texts text_tokens"] | None,
        places: Int[Tensor, " tokens"] | None,
        bias: Float[Tensor, "_ _ _ text_tokens"] | None,
    ) -> RaggedTokens:
        """Embeddings of the next layer."""
        joined = self.query_key_value(tokens)
        grid = joined[None] if rows is None else joined[rows]
        query, key, value = grid.unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
        attended = functional.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        flat = attended.transpose(1, 2).flatten(2).flatten(0, 1)
        tokens = self.attention_norm(tokens + self.attention_output(flat if places is None else flat[places]))
        return self.norm(tokens + self.narrow(self.activation(self.wide(tokens))))  # type: ignore[no-any-return]


def _joined(parts: list[nn.Linear]) -> nn.Linear:
    joined = nn.Linear(parts[0].in_features, sum(part.out_features for part in parts))
    joined.weight = nn.Parameter(torch.cat([part.weight.detach() for part in parts]), requires_grad=False)
    joined.bias = nn.Parameter(torch.cat([part.bias.detach() for part in parts]), requires_grad=False)
    return joined


def _frozen(module: Module) -> Module:
    """The same module with parameters of its own over the same memory, without gradients."""
    own = {id(weight): nn.Parameter(weight.detach(), requires_grad=False) for weight in module.parameters()}
    return copy.deepcopy(module, own)


def _distance_bias(backbone: PreTrainedModel, max_tokens: int) -> Float[Tensor, "distances heads"] | None:
    if backbone.config.model_type != _MPNET:
        return None
    encoder: Any = backbone.encoder
    distances = torch.arange(1 - max_tokens, max_tokens, device=backbone.device)
    buckets = encoder.relative_position_bucket(distances, num_buckets=backbone.config.relative_attention_num_buckets)
    weights: Tensor = encoder.relative_attention_bias.weight
    return weights.detach()[buckets]
