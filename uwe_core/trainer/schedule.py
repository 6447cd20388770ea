"""The learning rate over a run: it rises linearly from 0 to its peak, then falls linearly to 0 (paper, section 5)."""

from __future__ import annotations


def learning_rate_at(step: int, steps: int, peak: float, warmup_share: float) -> float:
    """The learning rate of one update.

    Args:
        step: updates made before this one; at `steps`, after the last, the rate is 0.
        steps: of the whole run.
        peak: reached after the warm-up.
        warmup_share: of the steps, rounded to whole ones.
    """
    warmup = round(warmup_share * steps)
    if step < warmup:
        return peak * step / warmup
    return peak * (steps - step) / (steps - warmup) if step < steps else 0.0
