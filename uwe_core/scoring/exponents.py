"""How kernels of token-level interactions take their exponents: as powers of two."""

from __future__ import annotations

import math

from uwe_core.errors import ConfigurationError
from uwe_core.interaction import InteractionConfig

# Zero times infinity would be NaN; with this factor the largest dot product already takes everything.
_LARGEST_FACTOR = 1e36


def power_of_two_factor(interaction: InteractionConfig) -> float:
    """What a dot product is multiplied by, so that two to its power is `exp` of it over the temperature.

    Raises:
        ConfigurationError: an interaction that compares pooled vectors, which these kernels do not.
    """
    if not interaction.compares_tokens:
        raise ConfigurationError(f"this kernel compares tokens; {interaction.kind} does not")
    return min(math.log2(math.e) / interaction.interaction_temperature, _LARGEST_FACTOR)
