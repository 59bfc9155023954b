"""The strip of pictures: image, truth, each network's labels, and where they are wrong."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import UInt8

from edgeseg.cli.pages.html import picture
from edgeseg.core.images.fit import resize_labels, resize_rgb
from edgeseg.core.images.paint import Palette, colorize

# Pictures in a page are looked at side by side; more pixels only make the file larger.
WIDTH = 320


def strip(
    rgb: UInt8[np.ndarray, "h w 3"],
    truth: UInt8[np.ndarray, "h w"],
    labels: Mapping[str, UInt8[np.ndarray, "h w"]],
    palette: Palette,
    ignore_index: int,
    caption: str,
) -> list[tuple[str, str]]:
    """Return (caption, data URI) of the pictures of one image.

    Args:
        rgb: the image.
        truth: its labels.
        labels: by name, what each network said.
        palette: RGB by class.
        ignore_index: the label that is not scored; it is never shown as wrong.
        caption: of the image itself.
    """
    size = _small(truth.shape)
    photo = resize_rgb(rgb, size)
    pictures = [(caption, picture(photo, photo=True))]
    pictures.append(("truth", picture(_colours(truth, palette, size))))
    for name, found in labels.items():
        wrong = (found != truth) & (truth != ignore_index)
        counted = max(1, int((truth != ignore_index).sum()))
        share = float(wrong.sum()) / counted
        small = resize_labels(wrong.astype(np.uint8), size).astype(bool)
        marked = np.where(small[..., None], np.array([255, 64, 64]), photo // 3).astype(np.uint8)
        pictures.append((name, picture(_colours(found, palette, size))))
        pictures.append((f"wrong: {share:.3f}", picture(marked, photo=True)))
    return pictures


def _colours(
    labels: UInt8[np.ndarray, "h w"], palette: Palette, size_hw: tuple[int, int]
) -> np.ndarray:
    return colorize(resize_labels(labels, size_hw), palette)


def _small(shape: tuple[int, ...]) -> tuple[int, int]:
    height, width = shape
    if width <= WIDTH:
        return height, width
    return max(1, round(height * WIDTH / width)), WIDTH
