"""Which files of a folder are pictures."""

from __future__ import annotations

from pathlib import Path

IMAGE_ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".ppm")


def is_image_name(path: Path) -> bool:
    """Tell by its name whether a file is a picture.

    Hidden files are not pictures: macOS writes a `._NAME` beside each file on a USB stick.
    """
    return path.suffix.lower() in IMAGE_ENDINGS and not path.name.startswith(".")


def images_in(folder: Path) -> list[Path]:
    """Return the pictures of a folder by name."""
    return sorted(filter(is_image_name, folder.iterdir()))
