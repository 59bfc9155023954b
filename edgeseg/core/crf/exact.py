"""The Gaussian kernel over all pairs of pixels, without approximation: O(n²), the reference."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

# Pairs that are held at once: 2 MB of float64, which a CPU's cache holds.
PAIRS = 250_000


class ExactKernel:
    """Sums over all pixels, weighted by exp(-|f_i - f_j|² / 2), in float64.

    For pictures of a few ten thousand pixels: 120x160 takes some seconds a call.

    Args:
        features: one row per pixel, in units of the kernel's widths.
    """

    def __init__(self, features: Float[np.ndarray, "n d"]) -> None:
        self._features = features.astype(np.float64)
        self._squares = (self._features**2).sum(1)

    def __call__(self, values: Float[np.ndarray, "c n"]) -> Float[np.ndarray, "c n"]:
        """Return, for each pixel, the weighted sum of all pixels' values, its own included."""
        n = len(self._features)
        step = max(1, PAIRS // n)
        columns = np.ascontiguousarray(values.T, np.float64)
        result = np.empty(values.shape, np.float64)
        for start in range(0, n, step):
            part = slice(start, start + step)
            distance = self._squares[part, None] + self._squares[None]
            distance -= 2.0 * (self._features[part] @ self._features.T)
            np.maximum(distance, 0.0, out=distance)
            np.exp(-0.5 * distance, out=distance)
            result[:, part] = (distance @ columns).T
        return result
