"""The encoder in OpenVINO on a CPU: float32, bfloat16 where the processor has it, int8 weights."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int8
from numpy import ndarray

from uwe_core.backends.export_cache import ExportKey, open_or_export
from uwe_core.backends.interface import BackendName, BackendPrecision
from uwe_core.backends.packed_encoder import PackedEncoder
from uwe_core.backends.packed_texts import pack
from uwe_core.encoder import TokenEncoder, position_padding
from uwe_core.errors import ConfigurationError
from uwe_core.types import RaggedTokens

_MODEL_FILE = "encoder.xml"
_HINTS: dict[BackendPrecision, str] = {"float32": "f32", "bfloat16": "bf16", "int8": "f32"}
# Tokens are rounded to 8 bits in groups of this many components, each with a scale of its own.
_ROUNDED_TOGETHER = 64
_LARGEST = 127


class OpenVinoBackend:
    """A compiled model; exported on the first start, opened from disk on later ones.

    Args:
        encoder: in float32.
        precision: of products; int8 stores weights in 8 bits, a scale a row, and rounds tokens as they come.
        threads: of computation.
        exports: the folder of all exports.

    Raises:
        ConfigurationError: a processor without bfloat16, or layers that are not known.
    """

    name: BackendName = "openvino"

    def __init__(self, encoder: TokenEncoder, precision: BackendPrecision, threads: int, exports: Path) -> None:
        import openvino  # noqa: PLC0415 - an extra

        core = openvino.Core()
        if precision == "bfloat16" and "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            raise ConfigurationError("OpenVINO has no bfloat16 on this processor")
        self.precision = precision
        self._padding_id = position_padding(encoder.backbone)
        # bfloat16 is a way to compute: the file is float32's.
        stored: BackendPrecision = "int8" if precision == "int8" else "float32"
        code = (sys.modules[__name__],)
        key = ExportKey(encoder.fingerprint, "openvino", stored, version("openvino"), code)
        folder = open_or_export(exports, key, lambda aside: _export(encoder, stored, aside / _MODEL_FILE))
        # Threads that are pinned to processors would share them with those of another replica.
        options = {
            "INFERENCE_PRECISION_HINT": _HINTS[precision],
            "INFERENCE_NUM_THREADS": threads,
            "PERFORMANCE_HINT": "LATENCY",
            "ENABLE_CPU_PINNING": False,
            "DYNAMIC_QUANTIZATION_GROUP_SIZE": _ROUNDED_TOGETHER if precision == "int8" else 0,
        }
        compiled = core.compile_model(core.read_model(folder / _MODEL_FILE), "CPU", options)
        self._request = compiled.create_infer_request()

    def encode(self, token_ids: Sequence[Sequence[int]]) -> RaggedTokens:
        """See `EncoderBackend`."""
        arrays = pack(token_ids, self._padding_id).arrays()
        # Without a copy the next call would write into these embeddings.
        results = self._request.infer(list(arrays), share_inputs=True, share_outputs=False)
        return torch.from_numpy(results[0])


def _export(encoder: TokenEncoder, precision: BackendPrecision, path: Path) -> None:
    import openvino  # noqa: PLC0415

    model = _converted(encoder)
    if precision == "int8":
        _round_weights(model)
    openvino.save_model(model, path, compress_to_fp16=False)


def _converted(encoder: TokenEncoder) -> Any:
    """By the frontend itself: `openvino.convert_model`, which stands above it, reports each use to its makers."""
    from openvino.frontend import FrontEndManager  # noqa: PLC0415
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder  # noqa: PLC0415

    packed = PackedEncoder(encoder.backbone, encoder.max_tokens).cpu()
    example = [torch.from_numpy(array) for array in pack([[1, 2, 3, 4], [1, 2], [1, 2, 3]]).arrays()]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of TorchScript's age
        decoder = TorchScriptPythonDecoder(packed, example_input=tuple(example))
        frontend = FrontEndManager().load_by_framework("pytorch")
        return frontend.convert(frontend.load(decoder))


def _round_weights(model: Any) -> None:
    """Store the weights of linear layers in 8 bits with a scale for each row. The library multiplies them as such."""
    import openvino.opset13 as operations  # noqa: PLC0415

    for node in model.get_ordered_ops():
        weights = node.input_value(1).get_node() if node.get_type_name() == "MatMul" else None
        if weights is not None and weights.get_type_name() == "Constant":
            whole, scales = rounded_rows(weights.data)
            restored = operations.multiply(
                operations.convert(operations.constant(whole), "f32"), operations.constant(scales)
            )
            node.input(1).replace_source_output(restored.output(0))


def rounded_rows(
    weights: Float[ndarray, "rows columns"],
) -> tuple[Int8[ndarray, "rows columns"], Float[ndarray, "rows 1"]]:
    """Whole numbers from -127 to 127 and the scale of each row; their product is nearest to the weights."""
    scales = np.abs(weights).max(axis=1, keepdims=True) / np.float32(_LARGEST)
    scales[scales == 0] = 1
    return np.rint(weights / scales).astype(np.int8), scales.astype(np.float32)
