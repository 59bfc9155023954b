"""Read and write image files: pictures as RGB, masks as labels."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8

from edgeseg.core.files import atomic_write_bytes
from edgeseg.core.images.paint import Palette
from edgeseg.errors import DataError, UsageError


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
