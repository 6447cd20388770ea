"""The encoder in ONNX Runtime on a CPU: float32, and int8 with weights rounded once and tokens as they come."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import torch

from uwe_core.backends.export_cache import ExportKey, open_or_export
from uwe_core.backends.interface import BackendName, BackendPrecision
from uwe_core.backends.packed_encoder import PackedEncoder
from uwe_core.backends.packed_texts import pack
from uwe_core.encoder import TokenEncoder, position_padding
from uwe_core.types import RaggedTokens

_MODEL_FILE = "encoder.onnx"
_INPUTS = ("ids", "positions", "rows", "places", "bias")


class OnnxBackend:
    """A session; exported on the first start, opened from disk on later ones.

    Args:
        encoder: in float32.
        precision: float32 or int8.
        threads: of computation.
        exports: the folder of all exports.

    Raises:
        ConfigurationError: layers that are not known.
    """

    name: BackendName = "onnx"

    def __init__(self, encoder: TokenEncoder, precision: BackendPrecision, threads: int, exports: Path) -> None:
        import onnxruntime  # noqa: PLC0415 - an extra

        self.precision = precision
        self._padding_id = position_padding(encoder.backbone)
        path = str(_exported(encoder, precision, exports))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # Threads that wait by spinning take the processor from whoever else has work.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def encode(self, token_ids: Sequence[Sequence[int]]) -> RaggedTokens:
        """See `EncoderBackend`."""
        inputs = dict(zip(_INPUTS, pack(token_ids, self._padding_id).arrays(), strict=True))
        (embeddings,) = self._session.run(None, inputs)
        return torch.from_numpy(embeddings)


def _exported(encoder: TokenEncoder, precision: BackendPrecision, exports: Path) -> Path:
    """The file of an export; int8 is made from float32's, since exporting takes longer than rounding."""
    key = ExportKey(encoder.fingerprint, "onnx", precision, version("onnxruntime"), (sys.modules[__name__],))

    def export(aside: Path) -> None:
        with _quiet():
            if precision == "int8":
                _round(_exported(encoder, "float32", exports), aside / _MODEL_FILE)
            else:
                _write(encoder, aside / _MODEL_FILE)

    return open_or_export(exports, key, export) / _MODEL_FILE


def _round(whole: Path, path: Path) -> None:
    from onnxruntime.quantization import QuantType, quantize_dynamic  # noqa: PLC0415

    quantize_dynamic(whole, path, per_channel=True, weight_type=QuantType.QInt8)


def _write(encoder: TokenEncoder, path: Path) -> None:
    packed = PackedEncoder(encoder.backbone, encoder.max_tokens).cpu()
    example = tuple(torch.from_numpy(array) for array in pack([[1, 2, 3, 4], [1, 2], [1, 2, 3]]).arrays())
    any_size = torch.export.Dim.DYNAMIC
    torch.onnx.export(
        packed,
        example,
        path,
        input_names=list(_INPUTS),
        output_names=["embeddings"],
        dynamic_shapes=(
            {0: any_size},
            {0: any_size},
            {0: any_size, 1: any_size},
            {0: any_size},
            {0: any_size, 3: any_size},
        ),
        external_data=False,
        dynamo=True,
        verbose=False,
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Advice to whoever develops exporters is none to whoever starts a service."""
    levels = {name: logging.getLogger(name).level for name in ("torch.onnx", "onnxscript", "root")}
    for name in levels:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
