"""EncoderBackend: token ids of several texts in, token embeddings out, whatever computes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol, get_args, runtime_checkable

from uwe_core.types import RaggedTokens

BackendName = Literal["torch", "cuda_graphs", "onnx", "openvino"]
BackendPrecision = Literal["float32", "bfloat16", "int8"]
BackendSetting = Literal["auto", BackendName]
# Those that have int8.
Int8Backend = Literal["onnx", "openvino"]
PrecisionSetting = Literal["auto", BackendPrecision]

BACKENDS: tuple[BackendName, ...] = get_args(BackendName)
# What each can compute in; whether this processor can is another question.
PRECISIONS: dict[BackendName, tuple[BackendPrecision, ...]] = {
    "torch": ("float32", "bfloat16"),
    "cuda_graphs": ("float32", "bfloat16"),
    "onnx": ("float32", "int8"),
    "openvino": ("float32", "bfloat16", "int8"),
}
# The kind of device that each needs; torch runs on any.
DEVICES: dict[BackendName, str] = {"cuda_graphs": "cuda", "onnx": "cpu", "openvino": "cpu"}
# Those that run the encoder as it was exported.
EXPORTING: tuple[BackendName, ...] = ("onnx", "openvino")
# The most that the cosine of a token with the same token of torch in float32 may fall short of 1.
TOLERANCES: dict[BackendPrecision, float] = {"float32": 1e-6, "bfloat16": 1e-3, "int8": 5e-2}


@runtime_checkable
class EncoderBackend(Protocol):
    """Computes what `TokenEncoder.forward` computes, for inference alone.

    Attributes:
        name: what computes.
        precision: of weights and products; embeddings are float32 in any case.
    """

    @property
    def name(self) -> BackendName:
        """What computes."""
        ...

    @property
    def precision(self) -> BackendPrecision:
        """Of weights and products."""
        ...

    def encode(self, token_ids: Sequence[Sequence[int]]) -> RaggedTokens:
        """Token embeddings in float32, text after text, without padding; at least one text, none empty."""
        ...
