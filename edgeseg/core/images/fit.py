"""Bring pictures to a network's input size, and labels there and back.

Only INTER_AREA and INTER_LINEAR_EXACT resize pictures: their 8-bit results are the same on x86 and
on a Jetson; those of INTER_LINEAR are not. Labels are moved by integer arithmetic alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import UInt8

from edgeseg.errors import DataError, UsageError

PAD_VALUE = 114  # mid grey, near the mean of street scenes: the border adds no strong edge


@dataclasses.dataclass(frozen=True)
class Placement:
    """Where a picture lies on a model's canvas, and the way back.

    Attributes:
        source_hw: size of the picture.
        canvas_hw: size of the canvas.
        inner_hw: size of the picture on the canvas.
        top: first canvas row of the picture.
        left: first canvas column of the picture.
    """

    source_hw: tuple[int, int]
    canvas_hw: tuple[int, int]
    inner_hw: tuple[int, int]
    top: int
    left: int

    def place_labels(self, labels: UInt8[np.ndarray, "h w"], fill: int) -> UInt8[np.ndarray, "H W"]:
        """Put the picture's labels on the canvas, `fill` (the ignored label) around them."""
        self._check(labels, self.source_hw, "the picture")
        canvas = np.full(self.canvas_hw, fill, np.uint8)
        rows, cols = self._inner()
        canvas[rows, cols] = resize_labels(labels, self.inner_hw)
        return canvas

    def invert_labels(self, labels: UInt8[np.ndarray, "H W"]) -> UInt8[np.ndarray, "h w"]:
        """Bring labels of the canvas back to the picture's own size.

        Undoes place_labels exactly wherever the picture was not shrunk.
        """
        self._check(labels, self.canvas_hw, "the canvas")
        return resize_labels(labels[self._inner()], self.source_hw)

    def _inner(self) -> tuple[slice, slice]:
        height, width = self.inner_hw
        return slice(self.top, self.top + height), slice(self.left, self.left + width)

    def _check(self, labels: np.ndarray, size_hw: tuple[int, int], what: str) -> None:
        if labels.shape != size_hw:
            raise UsageError(
                f"labels are {size_text(labels.shape)}, but {what} is {size_text(size_hw)} "
                "(height x width)"
            )


def fit_rgb(
    rgb: UInt8[np.ndarray, "h w 3"], size_hw: tuple[int, int], resize: str = "letterbox"
) -> tuple[UInt8[np.ndarray, "H W 3"], Placement]:
    """Bring a picture to a model's input size by the model's own resize rule.

    Args:
        rgb: the picture; returned as it is when it has the size already.
        size_hw: height and width of the canvas.
        resize: "letterbox" keeps the aspect ratio and pads, "stretch" does not, "exact" refuses
            any other size.

    Raises:
        DataError: `resize` is "exact" and the picture has another size.
        UsageError: `resize` is not one of the three.
    """
    source_hw = rgb.shape[:2]
    if source_hw == size_hw:
        return rgb, Placement(source_hw, size_hw, size_hw, 0, 0)
    if resize == "letterbox":
        return letterbox(rgb, size_hw)
    if resize == "stretch":
        return resize_rgb(rgb, size_hw), Placement(source_hw, size_hw, size_hw, 0, 0)
    if resize == "exact":
        raise DataError(
            f"the frame is {size_text(source_hw)}, the model takes {size_text(size_hw)} "
            "(height x width) only; resize it, or export with resize 'letterbox'"
        )
    raise UsageError(f"resize is {resize!r}, expected 'letterbox', 'stretch' or 'exact'")


def letterbox(
    rgb: UInt8[np.ndarray, "h w 3"], size_hw: tuple[int, int]
) -> tuple[UInt8[np.ndarray, "H W 3"], Placement]:
    """Scale a picture to fit inside `size_hw`, keep its aspect ratio and pad with grey."""
    source_hw = rgb.shape[:2]
    scale = min(size_hw[0] / source_hw[0], size_hw[1] / source_hw[1])
    height = max(1, min(size_hw[0], round(source_hw[0] * scale)))
    width = max(1, min(size_hw[1], round(source_hw[1] * scale)))
    top, left = (size_hw[0] - height) // 2, (size_hw[1] - width) // 2
    placement = Placement(source_hw, size_hw, (height, width), top, left)
    inner = resize_rgb(rgb, (height, width))
    if (height, width) == size_hw:
        return inner, placement
    canvas = np.full((*size_hw, 3), PAD_VALUE, np.uint8)
    canvas[top : top + height, left : left + width] = inner
    return canvas, placement


def resize_rgb(
    rgb: UInt8[np.ndarray, "h w 3"], size_hw: tuple[int, int]
) -> UInt8[np.ndarray, "H W 3"]:
    """Scale a picture: by area when neither side grows, else linearly. Same size: no copy."""
    source_hw = rgb.shape[:2]
    if source_hw == size_hw:
        return rgb
    shrinks = size_hw[0] <= source_hw[0] and size_hw[1] <= source_hw[1]
    rule = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR_EXACT
    return cv2.resize(rgb, size_hw[::-1], interpolation=rule)


def resize_labels(
    labels: UInt8[np.ndarray, "h w"], size_hw: tuple[int, int]
) -> UInt8[np.ndarray, "H W"]:
    """Scale labels by the nearest pixel centre, in integers: the same on every machine.

    Growing and then shrinking back gives the same labels. The result is always a new array.
    """
    if labels.shape == size_hw:
        return labels.copy()
    rows, cols = (
        (2 * np.arange(to, dtype=np.int64) + 1) * of // (2 * to)
        for of, to in zip(labels.shape, size_hw, strict=True)
    )
    return np.take(labels[rows], cols, axis=1)


def size_text(shape: Sequence[int]) -> str:
    """Return "HEIGHTxWIDTH" of an array's shape, for messages."""
    return f"{shape[0]}x{shape[1]}"
