"""The CRF's unary term: a network's logits at the picture's size."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Float, Float32

# The smallest probability that counts as one: its logarithm stays finite.
LEAST = 1e-6


def resize_logits(
    logits: Float32[np.ndarray, "k h w"], size_hw: tuple[int, int]
) -> Float32[np.ndarray, "k H W"]:
    """Resize planes bilinearly with half-pixel centres, as the bundle's own last resize does."""
    if logits.shape[1:] == size_hw:
        return logits
    size_wh = (size_hw[1], size_hw[0])
    return np.stack([cv2.resize(p, size_wh, interpolation=cv2.INTER_LINEAR) for p in logits])


def logits_of(probabilities: Float[np.ndarray, "*shape"]) -> Float32[np.ndarray, "*shape"]:
    """Return logits whose softmax the probabilities are, each held above 1e-6."""
    return np.log(np.maximum(probabilities, LEAST)).astype(np.float32)
