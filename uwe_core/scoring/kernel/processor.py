"""What this processor can do for the scoring loop, and in which of three ways it multiplies."""

from __future__ import annotations

import ctypes
import platform
import sys
from functools import cache
from typing import Literal

from llvmlite import binding

from uwe_core.token_storage import TORCH_TYPES, StorageType

# In float32; in int8 by the vector unit (AVX-512 VNNI); in the storage type by the matrix unit (AMX).
DotsMethod = Literal["floats", "int8", "tiles"]
# What the matrix unit reads of a stored token at once.
TILE_BYTES = 64
_TILE_FEATURES: dict[StorageType, str] = {"int8": "amx-int8", "bfloat16": "amx-bf16"}
# `arch_prctl(ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA)`: Linux asks each process to ask for the matrix unit's registers.
_ARCH_PRCTL, _REQUEST_PERMISSION, _TILE_DATA = 158, 0x1023, 18


@cache
def processor_features() -> frozenset[str]:
    """What this processor can do, in LLVM's names."""
    return frozenset(name for name, present in binding.get_host_cpu_features().items() if present)


def is_x86() -> bool:
    """Whether this is an x86 processor of 64 bits."""
    return platform.machine().lower() in ("x86_64", "amd64")


def can_compile(storage: StorageType) -> bool:
    """Whether the kernel runs here; float16 is beyond processors that cannot convert it."""
    return storage != "float16" or not is_x86() or "f16c" in processor_features()


def dots_method(storage: StorageType, dim: int) -> DotsMethod:
    """The fastest way to multiply tokens of so many components; all give the same scores to rounding."""
    row_bytes = dim * TORCH_TYPES[storage].itemsize
    if multiplies_tiles(storage) and row_bytes % TILE_BYTES == 0:
        return "tiles"
    return "int8" if storage == "int8" and dim % 4 == 0 and multiplies_int8() else "floats"


def multiplies_int8() -> bool:
    """Whether this processor multiplies and adds four int8 at once (AVX-512 VNNI)."""
    return "avx512vnni" in processor_features()


def multiplies_tiles(storage: StorageType) -> bool:
    """Whether there is a matrix unit for a storage type that this process may use."""
    return _TILE_FEATURES.get(storage) in processor_features() and _may_use_tiles()


def rows_at_once() -> int:
    """As many sums of 16 lanes as the vector registers of this processor hold beside the operands."""
    return 8 if "avx512f" in processor_features() else 4


@cache
def _may_use_tiles() -> bool:
    """Ask for the matrix unit on behalf of all threads of this process."""
    if sys.platform != "linux" or not is_x86():
        return False
    refused: int = ctypes.CDLL(None).syscall(_ARCH_PRCTL, _REQUEST_PERMISSION, _TILE_DATA)
    return not refused
