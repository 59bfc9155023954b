"""Which files of a folder are pictures, and which names of two tools mean the same picture."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

IMAGE_ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".ppm")
# What tools append to a picture's name for its mask, and Cityscapes to the picture.
MASK_SUFFIXES = (
    "_gtfine_labeltrainids",
    "_gtfine_labelids",
    "_gtfine_color",
    "_labeltrainids",
    "_labelids",
    "_segmentation",
    "_annotation",
    "_labels",
    "_label",
    "_masks",
    "_mask",
    "_color",
    "_seg",
    "_gt",
    "_l",
)
IMAGE_SUFFIXES = ("_leftimg8bit", "_image", "_img", "_rgb", "_sat")
MASK_MARKS = tuple(s.replace("_", mark) for s in MASK_SUFFIXES for mark in "_-")
IMAGE_MARKS = tuple(s.replace("_", mark) for s in IMAGE_SUFFIXES for mark in "_-")


def is_image_name(path: Path) -> bool:
    """Tell by its name whether a file is a picture.

    Hidden files are not pictures: macOS writes a `._NAME` beside each file on a USB stick.
    """
    return path.suffix.lower() in IMAGE_ENDINGS and not path.name.startswith(".")


def images_in(folder: Path) -> list[Path]:
    """Return the pictures of a folder by name."""
    return sorted(filter(is_image_name, folder.iterdir()))


def images_below(folder: Path) -> list[Path]:
    """Return the pictures of a folder and of the folders in it, by path; hidden ones left out."""
    return [Path(text) for text in image_texts_below(folder)]


def image_texts_below(folder: Path) -> list[str]:
    """Return the paths of `images_below` as text, which is quicker where there are many."""
    found: list[str] = []
    for place, folders, files in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [
            os.path.join(place, name)  # noqa: PTH118 - a Path each costs more than all the rest
            for name in files
            if name.lower().endswith(IMAGE_ENDINGS) and not name.startswith(".")
        ]
    return sorted(found, key=lambda text: text.split(os.sep))  # noqa: PTH206 - as above


def stem_of(path: Path) -> str:
    """Return a file's name without its ending, composed as Linux does and macOS does not."""
    return unicodedata.normalize("NFC", path.stem)


def names_meant(stem: str, *, mask: bool) -> list[str]:
    """Return the names by which the other file of a pair may go, the likeliest first.

    `f3_mask` may be of `f3`, and so may `f3.jpg` (the mask `f3.jpg.png`).

    Args:
        stem: a mask's or a picture's name without its ending.
        mask: which of the two it is of.
    """
    names = [stem]
    lower = stem.lower()
    if lower.endswith(IMAGE_ENDINGS) and (inner := Path(stem)).suffix:
        names.append(inner.stem)
    elif not lower.endswith(MASK_MARKS if mask else IMAGE_MARKS):
        return names
    for suffix in MASK_SUFFIXES if mask else IMAGE_SUFFIXES:
        for mark in (suffix, suffix.replace("_", "-")):
            for name in tuple(names):
                if name.lower().endswith(mark) and len(name) > len(mark):
                    names.append(name[: -len(mark)])
    return list(dict.fromkeys(names))
