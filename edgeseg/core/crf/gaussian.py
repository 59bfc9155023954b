"""The Gaussian kernel over positions alone: an ordinary blur."""

from __future__ import annotations

import math

import cv2
import numpy as np
from jaxtyping import Float32

# Further away a weight is below 0.0004 of the middle's.
REACH = 4.0


class GaussianKernel:
    """Sums over the picture, weighted by exp(-|p_i - p_j|² / 2 radius²); nothing lies outside.

    Args:
        size_hw: height and width of the picture.
        radius: the Gaussian's width in pixels.
    """

    def __init__(self, size_hw: tuple[int, int], radius: float) -> None:
        self._size_hw = size_hw
        reach = min(math.ceil(REACH * radius), max(size_hw) - 1)
        steps = np.arange(-reach, reach + 1)
        self._weights = np.exp(-0.5 * (steps / radius) ** 2).astype(np.float32)

    def __call__(self, values: Float32[np.ndarray, "c n"]) -> Float32[np.ndarray, "c n"]:
        """Return, for each pixel, the weighted sum of all pixels' values, its own included."""
        result = np.empty_like(values)
        for plane, out in zip(values, result, strict=True):
            blurred = cv2.sepFilter2D(
                plane.reshape(self._size_hw),
                cv2.CV_32F,
                self._weights,
                self._weights,
                borderType=cv2.BORDER_CONSTANT,
            )
            out[:] = blurred.ravel()
        return result
