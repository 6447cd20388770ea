"""The functions of the scoring loop, compiled for this processor."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from llvmlite import binding, ir

from uwe_core.scoring.kernel.asked import build_asked
from uwe_core.scoring.kernel.float_dots import build_float_dots
from uwe_core.scoring.kernel.int8_dots import build_int8_dots
from uwe_core.scoring.kernel.pieces import Arguments, build_run
from uwe_core.scoring.kernel.processor import DotsMethod
from uwe_core.scoring.kernel.scores import KernelKind, build_scores
from uwe_core.scoring.kernel.tile_dots import build_tile_dots
from uwe_core.token_storage import StorageType


@dataclass(frozen=True)
class Kernel:
    """Machine code: `run` is called by every thread, with arguments of its own, and lets go of Python's lock."""

    run: Callable[[Arguments], None]
    engine: binding.ExecutionEngine  # owns the machine code


@cache
def compiled(storage: StorageType, kind: KernelKind, *, dots: DotsMethod) -> Kernel:
    """The kernel of a storage type and an interaction.

    Args:
        storage: of the index.
        kind: the interaction.
        dots: the way to multiply, one that this processor has.
    """
    module = ir.Module(name="scoring")
    if dots == "tiles":
        build_tile_dots(module, storage)
    elif dots == "int8":
        build_int8_dots(module)
    else:
        build_float_dots(module, storage)
    if kind == "two_way_late_interaction":
        build_asked(module)
    build_scores(module, kind)
    build_run(module, storage)
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    features = binding.get_host_cpu_features()
    features["prefer-256-bit"] = False
    machine = binding.Target.from_default_triple().create_target_machine(
        cpu=binding.get_host_cpu_name(), features=features.flatten(), opt=3
    )
    parsed = binding.parse_assembly(str(module))
    parsed.verify()
    passes = binding.create_pass_builder(machine, binding.create_pipeline_tuning_options(speed_level=3))
    passes.getModulePassManager().run(parsed, passes)
    engine = binding.create_mcjit_compiler(parsed, machine)
    engine.finalize_object()
    run = ctypes.CFUNCTYPE(None, ctypes.POINTER(Arguments))(engine.get_function_address("run"))
    return Kernel(run, engine)
