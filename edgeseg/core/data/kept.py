"""Where facts of data sets are kept between runs; without a folder they are not kept."""

from __future__ import annotations

from pathlib import Path

_folder: Path | None = None


def keep_in(folder: Path | None) -> None:
    """Keep the facts of data sets in `folder`, never beside the data; None keeps none."""
    global _folder
    _folder = folder


def kept_in() -> Path | None:
    """Return the folder of the facts."""
    return _folder
