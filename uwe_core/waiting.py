"""How OpenMP's threads wait for their next piece of work: asleep. Imports nothing that computes."""

from __future__ import annotations

import os
import sys
from collections.abc import MutableMapping

# Of GNU's runtime, which torch's wheels bring, of any runtime, and of Intel's and LLVM's.
SLEEPING = {"GOMP_SPINCOUNT": "0", "OMP_WAIT_POLICY": "PASSIVE", "KMP_BLOCKTIME": "0"}


def let_threads_sleep(environment: MutableMapping[str, str] | None = None) -> bool:
    """Have threads sleep between parallel regions in place of spinning.

    A forward pass over a short text is dozens of regions of microseconds. Spinning saves a wake-up in each while no
    other process runs; beside one that does, whoever spins takes the processor from the thread that is waited for.

    The runtime reads these variables once, when torch is imported. Where one of them is set already, somebody has
    chosen, and all stay as they are.

    Args:
        environment: of this process where None.

    Returns:
        Whether the variables were set.

    Raises:
        RuntimeError: torch is imported already.
    """
    if environment is None:
        if "torch" in sys.modules:
            raise RuntimeError("torch is imported already, and its threads wait as they do")
        environment = os.environ
    if any(name in environment for name in SLEEPING):
        return False
    environment.update(SLEEPING)
    return True
