"""Images in and out: reading, fitting to a model's size and back, colours for labels.

Only INTER_AREA and INTER_LINEAR_EXACT touch pictures: their 8-bit results are the same on x86 and
on a Jetson, those of INTER_LINEAR are not. Labels are moved by integer arithmetic alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8

from edgeseg.core.files import atomic_write_bytes
from edgeseg.errors import DataError, UsageError

Palette = Sequence[tuple[int, int, int]]
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
                f"labels are {_size(labels.shape)}, but {what} is {_size(size_hw)} (height x width)"
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
        UsageError: `resize` is none of the three.
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
            f"the frame is {_size(source_hw)}, the model takes {_size(size_hw)} (height x width) "
            "only; resize it, or export with resize 'letterbox'"
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
            f"the picture is {_size(rgb.shape)}, its labels are {_size(labels.shape)} "
            "(height x width); bring them to one size first"
        )
    mixed = cv2.addWeighted(rgb, 1.0 - alpha, colorize(labels, palette), alpha, 0.0)
    void = cv2.compare(labels, len(palette), cv2.CMP_GE)
    return cv2.copyTo(rgb, void, mixed)


def read_rgb(path: Path) -> UInt8[np.ndarray, "h w 3"]:
    """Read a picture as RGB.

    Raises:
        DataError: the file is missing or is not an image.
    """
    return cv2.cvtColor(_decode(path, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def read_labels(path: Path, palette: Palette | None = None) -> UInt8[np.ndarray, "h w"]:
    """Read a mask: one label per pixel, or, with a palette, one colour per class.

    Args:
        path: an 8- or 16-bit single-channel mask, or a colour mask.
        palette: RGB 0-255 per class, needed for a colour mask. Black that is no class's colour
            is void by custom and becomes 255.

    Raises:
        DataError: missing, not an image, a colour mask without a palette, or a colour of no class.
    """
    image = _decode(path, cv2.IMREAD_UNCHANGED)
    if not np.issubdtype(image.dtype, np.integer):
        raise DataError(
            f"{path}: labels of type {image.dtype}, expected whole numbers; save 8-bit labels"
        )
    if image.ndim == 3 and image.shape[2] >= 3 and image.dtype != np.uint8:
        raise DataError(f"{path}: a 16-bit colour mask, expected 8 bits a channel; save it anew")
    if image.ndim == 3 and image.shape[2] >= 3:
        bgr = image[..., :3]
        grey = (bgr[..., 0] == bgr[..., 1]).all() and (bgr[..., 1] == bgr[..., 2]).all()
        if palette is not None:
            return _labels_from_colours(path, bgr, palette)
        if not grey:
            raise DataError(
                f"{path}: a colour mask, but no colours are known; list `name r g b` lines in "
                "classes.txt, or save one label per pixel"
            )
        image = bgr[..., 0]
    elif image.ndim == 3:
        image = image[..., 0]
    if image.dtype != np.uint8 and int(image.max(initial=0)) > 255:
        raise DataError(f"{path}: labels go up to {int(image.max())}, expected 0-255")
    return np.ascontiguousarray(image, np.uint8)


def write_png(path: Path, image: np.ndarray) -> None:
    """Write an RGB picture ("h w 3") or labels ("h w") as PNG, complete or not at all."""
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR) if image.ndim == 3 else image
    done, data = cv2.imencode(".png", bgr)
    if not done:
        raise UsageError(f"an array of shape {image.shape} cannot be written as PNG: {path}")
    atomic_write_bytes(path, data.tobytes())


def _decode(path: Path, flags: int) -> np.ndarray:
    # read first: imread warns on the terminal and cannot tell a missing file from a damaged one
    try:
        data = np.frombuffer(path.read_bytes(), np.uint8)
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}; expected an image file") from error
    try:
        image = cv2.imdecode(data, flags) if len(data) else None
    except cv2.error:
        image = None
    if image is None:
        raise DataError(f"{path}: not an image that OpenCV can read; expected PNG or JPEG")
    return image


def _labels_from_colours(path: Path, bgr: np.ndarray, palette: Palette) -> np.ndarray:
    colours = np.asarray(palette, np.uint32)
    codes = (colours[:, 0] << 16) | (colours[:, 1] << 8) | colours[:, 2]
    pixels = bgr.astype(np.uint32)
    found = (pixels[..., 2] << 16) | (pixels[..., 1] << 8) | pixels[..., 0]
    values, inverse = np.unique(found, return_inverse=True)
    lookup = {int(code): label for label, code in enumerate(codes)}
    lookup.setdefault(0, 255)
    unknown = [int(value) for value in values if int(value) not in lookup]
    if unknown:
        shown = ", ".join(f"({v >> 16},{v >> 8 & 255},{v & 255})" for v in unknown[:8])
        more = f" and {len(unknown) - 8} more" if len(unknown) > 8 else ""
        raise DataError(f"{path}: colours of no class: {shown}{more}; add them to classes.txt")
    table = np.array([lookup[int(value)] for value in values], np.uint8)
    return table[inverse].reshape(found.shape)


def _colour_table(palette: Palette) -> np.ndarray:
    table = np.zeros((256, 3), np.uint8)
    table[: len(palette)] = palette
    return table


def _size(shape: Sequence[int]) -> str:
    return f"{shape[0]}x{shape[1]}"
