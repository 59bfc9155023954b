"""CVAT's export "Segmentation mask 1.1": SegmentationClass/ in colours that labelmap.txt names."""

from __future__ import annotations

from pathlib import Path

from edgeseg.core.data.classes import Classes
from edgeseg.core.data.formats.base import ReadOptions
from edgeseg.core.data.formats.voc import open_voc, read_labelmap
from edgeseg.core.data.pairs import PairFolder
from edgeseg.errors import DataError


class CvatMasks:
    """labelmap.txt, SegmentationClass/ and, where they were saved with it, the pictures."""

    tree = "labelmap.txt and SegmentationClass/ with JPEGImages/ or images/"

    def recognize(self, root: Path) -> str | None:
        """Tell whether labelmap.txt is there."""
        seen = (root / "labelmap.txt").is_file() and not (root / "masks").is_dir()
        return "labelmap.txt" if seen else None

    def open(self, root: Path, split: str, options: ReadOptions) -> PairFolder:
        """Open one split; `default.txt`, CVAT's list of a task without subsets, has no split.

        Raises:
            DataError: a folder or labelmap.txt is missing or malformed, or a listed picture is.
        """
        if not (root / "labelmap.txt").is_file() and options.classes is None:
            raise DataError(
                f"{root}: no labelmap.txt; expected a line `name:r,g,b::` per class: "
                "export again as `Segmentation mask 1.1`"
            )
        return open_voc(root, split, options, _classes)


def _classes(root: Path, _first: Path) -> Classes:
    return read_labelmap(root / "labelmap.txt")
