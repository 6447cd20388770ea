"""Which precision an encoder computes in, by measurement: processors differ too much to go by their names."""

from __future__ import annotations

import copy
import logging
import statistics
import time
from typing import Literal

import torch

from uwe_core.encoder import Precision, TokenEncoder

logger = logging.getLogger(__name__)

PrecisionSetting = Literal["auto", "float32", "bfloat16"]
# bfloat16 costs accuracy, so a small gain (or a noisy machine) must not choose it.
WORTHWHILE_SPEEDUP = 1.5
_TRIALS = 5
_TRIAL_TEXTS = [[1] * 12] * 4


def with_precision(encoder: TokenEncoder, setting: PrecisionSetting) -> TokenEncoder:
    """The encoder with its weights in the precision asked for; `auto` measures both and may keep float32."""
    encoder.fingerprint  # noqa: B018 - of the weights as loaded, before they are rounded
    precision = fastest_precision(encoder) if setting == "auto" else setting
    if precision == "bfloat16":
        encoder.backbone.bfloat16()
    return encoder


def fastest_precision(encoder: TokenEncoder) -> Precision:
    """bfloat16 where one forward pass on this device is clearly faster in it, else float32."""
    rounded = TokenEncoder(copy.deepcopy(encoder.backbone).bfloat16(), encoder.tokenizer)
    candidates = {"float32": encoder, "bfloat16": rounded}
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    for trial in range(_TRIALS + 1):
        for name, candidate in candidates.items():  # interleaved, so that a busy machine slows both
            elapsed = _forward_seconds(candidate)
            if trial > 0:
                seconds[name].append(elapsed)
    speedup = statistics.median(seconds["float32"]) / statistics.median(seconds["bfloat16"])
    chosen: Precision = "bfloat16" if speedup >= WORTHWHILE_SPEEDUP else "float32"
    logger.info("bfloat16 runs at %.2f times the speed of float32 here: using %s", speedup, chosen)
    return chosen


def _forward_seconds(encoder: TokenEncoder) -> float:
    start = time.perf_counter()
    with torch.inference_mode():
        hidden, _ = encoder.forward(_TRIAL_TEXTS)
        float(hidden[0, 0, 0])  # waits for a GPU
    return time.perf_counter() - start
