"""Paint labels in their classes' colours."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import UInt8

from edgeseg.core.images.fit import size_text
from edgeseg.errors import UsageError

Palette = Sequence[tuple[int, int, int]]


def colorize(labels: UInt8[np.ndarray, "h w"], palette: Palette) -> UInt8[np.ndarray, "h w 3"]:
    """Paint each label in its colour; labels beyond the palette, such as void, are black."""
    return cv2.applyColorMap(labels, _colour_table(palette)[:, None])


def overlay(
    rgb: UInt8[np.ndarray, "h w 3"],
    labels: UInt8[np.ndarray, "h2 w2"],
    palette: Palette,
    alpha: float = 0.5,
) -> UInt8[np.ndarray, "h w 3"]:
    """Lay the labels' colours over a picture.

    Args:
        rgb: the picture; it is not changed.
        labels: one label per pixel; those beyond the palette let the picture through.
        palette: RGB 0-255 per class.
        alpha: share of the colour, 0-1.
    """
    if rgb.shape[:2] != labels.shape:
        raise UsageError(
            f"the picture is {size_text(rgb.shape)}, its labels are {size_text(labels.shape)} "
            "(height x width); bring them to one size first"
        )
    mixed = cv2.addWeighted(rgb, 1.0 - alpha, colorize(labels, palette), alpha, 0.0)
    # Not cv2.compare: of a picture of one pixel it cannot tell which argument is the number.
    void = np.greater_equal(labels, len(palette)).view(np.uint8)
    return cv2.copyTo(rgb, void, mixed)


def _colour_table(palette: Palette) -> np.ndarray:
    table = np.zeros((256, 3), np.uint8)
    table[: len(palette)] = palette
    return table
