"""Reads a mask file of any usual kind into labels: indices, palettes, colours, JPEG.

A `MaskRule` says which value or colour of a file is which label. `read_mask` decodes one file and
applies the rule. `edgeseg/core/data/settle.py` decides, from all masks of a data set, what one
file cannot tell: whether 0 and 255 are two classes, and whether grey pixels are labels or colours.
"""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Iterable, Mapping
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Integer, UInt8

from edgeseg.core.images.io import decode_image, read_image_bytes
from edgeseg.errors import DataError

Colour = tuple[int, int, int]

# A flat part of a JPEG further than this from every listed colour (RGB distance) has no class's
# colour. Flat: no channel varies by more than JPEG_FLAT in 5x5 pixels; edges are blurred anyway.
JPEG_REACH, JPEG_FLAT = 64.0, 24
# A JPEG mask with a larger share of its flat parts so far away holds colours that are not listed.
JPEG_LOST = 0.01
# The share of a JPEG's grey pixels that lie close to 0 or 255 when the mask has two classes.
JPEG_BINARY = 0.95


@dataclasses.dataclass(frozen=True)
class MaskRule:
    """Which value or colour of a mask file is which label.

    Attributes:
        n_classes: labels 0 to n_classes - 1 are classes.
        ignore_index: the label of void.
        values: pairs of a mask's value and its label; empty: every label stands for itself. 255
            is void unless it is listed.
        colours: pairs of an RGB colour and its label; empty where masks can only hold values.
        grey_is_colour: a mask whose pixels are all grey holds colours, not values.
        grey_copies: a three-channel mask whose pixels are all grey holds values, not colours.
    """

    n_classes: int
    ignore_index: int
    values: tuple[tuple[int, int], ...] = ()
    colours: tuple[tuple[Colour, int], ...] = ()
    grey_is_colour: bool = False
    grey_copies: bool = False

    def labels_of_values(self) -> dict[int, int]:
        """Return the label of every value that a mask may hold."""
        own = range(self.n_classes)
        table = dict(self.values) or {**dict(zip(own, own, strict=True))}
        if not self.values:
            table[self.ignore_index] = self.ignore_index
        table.setdefault(255, self.ignore_index)
        return table

    def labels_of_colours(self) -> dict[Colour, int]:
        """Return the label of every colour; black of no class is void by custom."""
        table = dict(self.colours)
        if table:
            table.setdefault((0, 0, 0), self.ignore_index)
        return table


@dataclasses.dataclass(frozen=True)
class Decoded:
    """A mask file's pixels before any rule.

    Attributes:
        pixels: values, "h w", or colours, "h w 3" in RGB.
        palette: the colours of the values where the file lists them.
        jpeg: the file is a JPEG, so that pixels are blurred.
    """

    pixels: np.ndarray
    palette: tuple[Colour, ...] | None = None
    jpeg: bool = False


@dataclasses.dataclass(frozen=True)
class Mask:
    """The labels of a mask file, and what was needed to get them.

    Attributes:
        labels: a class index per pixel, or the rule's ignore_index.
        repaired: share of the pixels, 0 to 1, that a JPEG had moved off a listed colour.
        by_palette: the labels were found by the colours of the file's palette, not its indices.
    """

    labels: UInt8[np.ndarray, "h w"]
    repaired: float = 0.0
    by_palette: bool = False


def read_labels(path: Path, palette: Iterable[Colour] | None = None) -> UInt8[np.ndarray, "h w"]:
    """Read a mask without knowing its classes: values as they are, or colours by their place.

    Args:
        path: a mask file.
        palette: RGB 0-255 per class; black that is no class's colour becomes 255.

    Raises:
        DataError: missing, not an image, colours without a palette, or a colour of no class.
    """
    colours = tuple((colour, label) for label, colour in enumerate(palette or ()))
    return read_mask(path, MaskRule(256, 255, (), colours)).labels


def read_mask(path: Path, rule: MaskRule) -> Mask:
    """Read a mask file as `rule` says.

    Raises:
        DataError: the file is missing or no image, or holds a value or a colour of no class; it
            lists up to eight of them.
    """
    decoded = decode_mask(path)
    pixels = decoded.pixels
    table = rule.labels_of_colours()
    if pixels.ndim == 2:
        if decoded.jpeg:
            return _grey_jpeg(path, pixels, rule)
        if decoded.palette is not None and table:
            used = [decoded.palette[v] for v in np.unique(pixels) if v < len(decoded.palette)]
            if used and all(colour in table for colour in used):
                return _by_palette(path, pixels, decoded.palette, rule)
        if rule.grey_is_colour:
            return Mask(_by_colour(path, np.repeat(pixels[..., None], 3, 2), table))
        return Mask(_by_value(path, pixels, rule))
    grey = _is_grey(pixels)
    if grey and (rule.grey_copies or not table):
        if decoded.jpeg:
            return _grey_jpeg(path, pixels[..., 0], rule)
        return Mask(_by_value(path, pixels[..., 0], rule))
    if not table:
        raise DataError(
            f"{path}: a colour mask, but no colours are known; list `name r g b` lines in "
            "classes.txt, or save one label per pixel"
        )
    if decoded.jpeg:
        return _nearest_colour(path, pixels, rule)
    return Mask(_by_colour(path, pixels, table))


def decode_mask(path: Path) -> Decoded:
    """Decode a mask file without reducing its values.

    Raises:
        DataError: the file is missing, no image, or holds no whole numbers.
    """
    data = read_image_bytes(path)
    jpeg = data[:2] == b"\xff\xd8"
    palette, pixels = _palette_pixels(path, data)
    if pixels is not None:
        return Decoded(pixels, palette)
    pixels = decode_image(path, data, cv2.IMREAD_UNCHANGED)
    if not np.issubdtype(pixels.dtype, np.integer):
        raise DataError(
            f"{path}: labels of type {pixels.dtype}, expected whole numbers; save 8-bit labels"
        )
    if pixels.ndim == 3 and pixels.shape[2] >= 3:
        return Decoded(_eight_bits(path, pixels[..., 2::-1]), jpeg=jpeg)
    if pixels.ndim == 3:
        pixels = pixels[..., 0]
    return Decoded(pixels // _png_step(data), jpeg=jpeg)


def palette_of(path: Path) -> tuple[Colour, ...] | None:
    """Return the colours that a mask file lists for its indices, None where it lists none.

    Raises:
        DataError: the file is missing.
    """
    return _palette_pixels(path, read_image_bytes(path))[0]


def is_jpeg(path: Path) -> bool:
    """Tell by its first bytes whether a file is a JPEG."""
    try:
        with path.open("rb") as stream:
            return stream.read(2) == b"\xff\xd8"
    except OSError:
        return False


def _palette_pixels(
    path: Path, data: bytes
) -> tuple[tuple[Colour, ...] | None, Integer[np.ndarray, "h w"] | None]:
    """Return palette and indices of a file that has a palette; OpenCV would give colours."""
    png = data[:8] == b"\x89PNG\r\n\x1a\n"
    if png and data[25:26] != b"\x03":
        return None, None
    if not png and data[:2] not in (b"BM", b"II", b"MM") and data[:4] != b"GIF8":
        return None, None
    try:
        from PIL import Image
    except ImportError as error:
        raise DataError(
            f"{path}: its palette cannot be read without Pillow; pip install pillow, or save one "
            "8-bit label per pixel without a palette"
        ) from error
    try:
        with Image.open(io.BytesIO(data)) as image:
            if image.mode != "P":
                return None, None
            listed = image.getpalette("RGB") or []
            pixels = np.array(image)
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        if png:
            raise DataError(
                f"{path}: not an image that can be read ({error}); expected PNG or JPEG"
            ) from error
        return None, None
    reds, greens, blues = listed[0::3], listed[1::3], listed[2::3]
    return tuple(zip(reds, greens, blues, strict=True)), pixels


def _png_step(data: bytes) -> int:
    """Return what OpenCV multiplied the values of a PNG of less than eight bits by."""
    if data[:8] != b"\x89PNG\r\n\x1a\n" or data[25] not in (0, 4):
        return 1
    return {1: 255, 2: 85, 4: 17}.get(data[24], 1)


def _eight_bits(path: Path, rgb: np.ndarray) -> UInt8[np.ndarray, "h w 3"]:
    if rgb.dtype == np.uint8:
        return np.ascontiguousarray(rgb)
    # A tool that writes 16 bits repeats the byte: 0x4040 is 0x40.
    small = rgb // 257
    if rgb.dtype != np.uint16 or (small * 257 != rgb).any():
        raise DataError(f"{path}: a 16-bit colour mask, expected 8 bits a channel; save it anew")
    return np.ascontiguousarray(small, np.uint8)


def _is_grey(rgb: np.ndarray) -> bool:
    same = (rgb[..., 0] == rgb[..., 1]).all() and (rgb[..., 1] == rgb[..., 2]).all()
    return bool(same)


def _by_value(path: Path, pixels: np.ndarray, rule: MaskRule) -> UInt8[np.ndarray, "h w"]:
    largest = int(pixels.max(initial=0))
    table = np.full(max(largest, 255) + 1, -1, np.int16)
    for value, label in rule.labels_of_values().items():
        if value < len(table):
            table[value] = label
    found = _values_in(pixels)
    unknown = [value for value in found if table[value] < 0]
    if unknown:
        raise DataError(f"{path}: {_unknown_labels(unknown, rule)}")
    if all(table[value] == value for value in found):
        return np.ascontiguousarray(pixels, np.uint8)
    return np.ascontiguousarray(table[pixels], np.uint8)


def _values_in(pixels: np.ndarray) -> list[int]:
    if pixels.dtype == np.uint8:
        counts = np.bincount(pixels.ravel(), minlength=256)
        return [int(value) for value in np.flatnonzero(counts)]
    return [int(value) for value in np.unique(pixels)]


def _unknown_labels(unknown: list[int], rule: MaskRule) -> str:
    shown = ", ".join(map(str, unknown[:8])) + (", ..." if len(unknown) > 8 else "")
    if rule.values:
        return (
            f"unknown labels {shown}; classes.txt lists no class for them: add them to a line such "
            f"as `name = {unknown[0]}`, or ignore them with `void = {unknown[0]}`"
        )
    return (
        f"unknown labels {shown}; expected 0-{rule.n_classes - 1} or {rule.ignore_index} (void); "
        f"other values are given to classes by lines `name = {unknown[0]}` in classes.txt"
    )


def _by_palette(
    path: Path, pixels: np.ndarray, palette: tuple[Colour, ...], rule: MaskRule
) -> Mask:
    """Read a palette file by its colours, all of which are listed."""
    table = rule.labels_of_colours()
    lookup = np.array([table.get(colour, 0) for colour in palette], np.uint8)
    return Mask(lookup[pixels], by_palette=True)


def _codes(rgb: np.ndarray) -> np.ndarray:
    wide = rgb.astype(np.uint32)
    codes: np.ndarray = (wide[..., 0] << 16) | (wide[..., 1] << 8) | wide[..., 2]
    return codes


def _by_colour(
    path: Path, rgb: np.ndarray, table: Mapping[Colour, int]
) -> UInt8[np.ndarray, "h w"]:
    found = _codes(rgb)
    values, inverse = np.unique(found, return_inverse=True)
    lookup = {(r << 16) | (g << 8) | b: label for (r, g, b), label in table.items()}
    unknown = [int(value) for value in values if int(value) not in lookup]
    if unknown:
        shown = ", ".join(f"({v >> 16},{v >> 8 & 255},{v & 255})" for v in unknown[:8])
        more = f" and {len(unknown) - 8} more" if len(unknown) > 8 else ""
        cause = (
            "; so many come from a mask that was smoothed or resized: export it again, unblended"
            if len(unknown) > 64
            else "; add them to classes.txt"
        )
        raise DataError(f"{path}: colours of no class: {shown}{more}{cause}")
    labels = np.array([lookup[int(value)] for value in values], np.uint8)
    return labels[inverse].reshape(found.shape)


def _nearest_colour(path: Path, rgb: np.ndarray, rule: MaskRule) -> Mask:
    """Give every pixel of a JPEG mask the label of the nearest listed colour."""
    table = rule.labels_of_colours()
    colours = np.array(list(table), np.float32)
    labels = np.array(list(table.values()), np.uint8)
    codes, inverse, counts = np.unique(_codes(rgb), return_inverse=True, return_counts=True)
    seen = np.stack([codes >> 16, codes >> 8 & 255, codes & 255], 1).astype(np.float32)
    distances = np.linalg.norm(seen[:, None] - colours[None], axis=2)
    nearest, least = distances.argmin(1), distances.min(1)
    window = np.ones((5, 5), np.uint8)
    flat = ((cv2.dilate(rgb, window) - cv2.erode(rgb, window)).max(2) <= JPEG_FLAT).ravel()
    held = np.bincount(inverse.ravel(), flat, len(codes))
    lost = float(held[least > JPEG_REACH].sum() / max(held.sum(), 1))
    if lost > JPEG_LOST:
        code = int(codes[np.where(least > JPEG_REACH, held, 0).argmax()])
        raise DataError(
            f"{path}: a JPEG mask with {100 * lost:.1f} % of its even parts far from every listed "
            f"colour, such as ({code >> 16},{code >> 8 & 255},{code & 255}); JPEG is lossy: save "
            "masks as PNG, or list the missing colour in classes.txt"
        )
    repaired = float(counts[least > 0].sum() / counts.sum())
    return Mask(labels[nearest][inverse].reshape(rgb.shape[:2]), repaired)


def _grey_jpeg(path: Path, pixels: np.ndarray, rule: MaskRule) -> Mask:
    """Read a grey JPEG: by listed grey colours, or 0 and 255 of two classes; else refuse."""
    table = rule.labels_of_colours()
    if rule.grey_is_colour and table:
        return _nearest_colour(path, np.repeat(pixels[..., None], 3, 2), rule)
    values = rule.labels_of_values()
    extremes = [values.get(0), values.get(255)]
    near = float(((pixels < 64) | (pixels > 191)).mean())
    if rule.values and len(rule.values) == 2 and None not in extremes and near >= JPEG_BINARY:
        labels = np.where(pixels > 127, np.uint8(extremes[1] or 0), np.uint8(extremes[0] or 0))
        return Mask(labels, float(((pixels != 0) & (pixels != 255)).mean()))
    raise DataError(
        f"{path}: labels in a JPEG: JPEG is lossy and blurs a label into its neighbours; save "
        "masks as PNG, or as colours far apart that classes.txt lists as `name r g b`"
    )
