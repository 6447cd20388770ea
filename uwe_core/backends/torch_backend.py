"""The encoder in torch: packed where its layers are known, else as transformers runs it."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch

from uwe_core.backends.interface import BackendName, BackendPrecision, EncoderBackend
from uwe_core.backends.packed_encoder import PackedEncoder, can_pack
from uwe_core.backends.packed_texts import pack
from uwe_core.encoder import TokenEncoder, position_padding
from uwe_core.types import RaggedTokens

_TYPES: dict[BackendPrecision, torch.dtype] = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def make_torch_backend(encoder: TokenEncoder, precision: BackendPrecision) -> EncoderBackend:
    """In float32 or bfloat16, on the encoder's device; the encoder's own weights stay as they are."""
    if can_pack(encoder.backbone):
        return PackedTorch(encoder, precision)
    return PaddedTorch(encoder, precision)


class PackedTorch:
    """The encoder's layers over packed tokens.

    Attributes:
        padding_id: for `pack`.
        packed_encoder: the layers, in `precision`.
    """

    name: BackendName = "torch"

    def __init__(self, encoder: TokenEncoder, precision: BackendPrecision) -> None:
        self.precision = precision
        self._device = encoder.device
        self.padding_id = position_padding(encoder.backbone)
        self.packed_encoder = PackedEncoder(encoder.backbone, encoder.max_tokens).to(_TYPES[precision])

    @torch.inference_mode()
    def encode(self, token_ids: Sequence[Sequence[int]]) -> RaggedTokens:
        """See `EncoderBackend`."""
        packed = pack(token_ids, self.padding_id)
        arrays = packed.arrays()[:2] if len(token_ids) == 1 else packed.arrays()
        tensors = [torch.from_numpy(array).to(self._device) for array in arrays]
        if len(token_ids) == 1:
            return self.packed_encoder(*tensors, None, None, None).float()  # type: ignore[no-any-return]
        bias = tensors.pop()
        evenly = packed.bias.size == packed.ids.size
        return self.packed_encoder(*tensors, None if evenly else bias.to(_TYPES[self.precision])).float()  # type: ignore[no-any-return]


class PaddedTorch:
    """The encoder as transformers runs it."""

    name: BackendName = "torch"

    def __init__(self, encoder: TokenEncoder, precision: BackendPrecision) -> None:
        self.precision = precision
        backbone = encoder.backbone
        if backbone.dtype != _TYPES[precision]:
            backbone = copy.deepcopy(backbone).bfloat16()
        self._encoder = TokenEncoder(backbone, encoder.tokenizer)

    @torch.inference_mode()
    def encode(self, token_ids: Sequence[Sequence[int]]) -> RaggedTokens:
        """See `EncoderBackend`."""
        return self._encoder.hidden(token_ids)
