"""Widths for INT8 tensor cores: the one advice that lint gives and that prune and tune follow."""

from __future__ import annotations

# INT8 tensor cores work on channels in groups of 32 (NVIDIA/TensorRT #1310); what is missing to the
# next multiple is computed all the same.
INT8_CHANNELS = 32
# What prune and tune round to by default. Steps of a whole block are too coarse for layers of 64
# channels and for pruning in rounds, where no round may take half of a layer.
LEAST_STEP = 8
ADVICE = (
    f"multiples of {INT8_CHANNELS} fill INT8 tensor cores (--round-to {INT8_CHANNELS}); "
    f"{LEAST_STEP} suits narrow layers"
)


def up(channels: int) -> int:
    """Return the channels that tensor cores compute for so many."""
    return -(-channels // INT8_CHANNELS) * INT8_CHANNELS
