"""What a pixel is to the kernels: where it is and what colour it has, in units of their widths."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32, UInt8


def appearance_features(
    rgb: UInt8[np.ndarray, "h w 3"], position: float, colour: float
) -> Float32[np.ndarray, "n 5"]:
    """Return column, row, red, green and blue of each pixel, row by row.

    Args:
        rgb: the picture.
        position: width of the kernel in pixels.
        colour: its width in levels of 0-255.
    """
    return np.hstack(
        [
            smoothness_features(rgb.shape[:2], position),
            rgb.reshape(-1, 3).astype(np.float32) / np.float32(colour),
        ]
    )


def smoothness_features(size_hw: tuple[int, int], radius: float) -> Float32[np.ndarray, "n 2"]:
    """Return column and row of each pixel, row by row.

    Args:
        size_hw: height and width of the picture.
        radius: width of the kernel in pixels.
    """
    rows, columns = np.indices(size_hw, np.float32)
    return np.stack([columns.ravel(), rows.ravel()], 1) / np.float32(radius)
