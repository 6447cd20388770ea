"""A backend by name and precision, its library imported only then."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from uwe_core.backends.interface import DEVICES, PRECISIONS, BackendName, BackendPrecision, EncoderBackend
from uwe_core.encoder import TokenEncoder
from uwe_core.errors import ConfigurationError

# What must be importable for a backend, all of it in the extra of its name.
_PACKAGES: dict[BackendName, tuple[str, ...]] = {
    "torch": (),
    "cuda_graphs": (),
    "onnx": ("onnx", "onnxruntime", "onnxscript"),
    "openvino": ("openvino",),
}


def is_available(name: BackendName) -> bool:
    """Whether the extra of a backend is installed."""
    return all(importlib.util.find_spec(package) is not None for package in _PACKAGES[name])


def runs_on(name: BackendName, device_type: str) -> bool:
    """Whether a backend computes on such a device (`cpu`, `cuda`)."""
    return DEVICES.get(name, device_type) == device_type


def named_way(word: str) -> tuple[BackendName, BackendPrecision] | None:
    """The backend and precision of a word such as `openvino-int8`; None where it is no such word."""
    for name, precisions in PRECISIONS.items():
        for precision in precisions:
            if word == f"{name}-{precision}":
                return name, precision
    return None


def make_backend(
    encoder: TokenEncoder, name: BackendName, precision: BackendPrecision, threads: int, exports: Path
) -> EncoderBackend:
    """The encoder in a backend.

    Args:
        encoder: in float32; its weights are copied or exported as they are now.
        name: what computes.
        precision: of weights and products.
        threads: of computation; torch has one number for the whole process, which is left alone.
        exports: folder of exported encoders.

    Raises:
        ConfigurationError: a backend that is not installed, that lacks the precision, or that cannot run this encoder.
    """
    if precision not in PRECISIONS[name]:
        raise ConfigurationError(f"the backend '{name}' has no {precision}, only {', '.join(PRECISIONS[name])}")
    if not is_available(name):
        raise ConfigurationError(f"the backend '{name}' is not installed: add the extra [{name}]")
    if not runs_on(name, encoder.device.type):
        raise ConfigurationError(f"the backend '{name}' needs the device {DEVICES[name]}, and this is {encoder.device}")
    if name == "torch":
        from uwe_core.backends.torch_backend import make_torch_backend  # noqa: PLC0415 - one library at a time

        return make_torch_backend(encoder, precision)
    if name == "cuda_graphs":
        from uwe_core.backends.cuda_graphs import CudaGraphs, CudaRecorder  # noqa: PLC0415

        return CudaGraphs(encoder, precision, CudaRecorder(encoder.device))
    if name == "onnx":
        from uwe_core.backends.onnx_backend import OnnxBackend  # noqa: PLC0415

        return OnnxBackend(encoder, precision, threads, exports)
    from uwe_core.backends.openvino_backend import OpenVinoBackend  # noqa: PLC0415

    return OpenVinoBackend(encoder, precision, threads, exports)
