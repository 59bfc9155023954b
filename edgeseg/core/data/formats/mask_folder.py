"""A user's own data: images/, masks/ and classes.txt in one folder."""

from __future__ import annotations

from pathlib import Path

from edgeseg.core.data.classes import read_classes
from edgeseg.core.data.dataset import SPLITS
from edgeseg.core.data.formats.base import ReadOptions
from edgeseg.core.data.pairs import PairFolder, pair_by_stem
from edgeseg.errors import DataError

# Without splits of its own, every fifth image by name is held back for validation.
HELD_BACK = 5


class MaskFolder:
    """images/, masks/ and classes.txt, with or without a folder per split."""

    tree = "images/ and masks/ with classes.txt"

    def recognise(self, root: Path) -> str | None:
        """Tell whether images/ or classes.txt is there."""
        images, classes = (root / "images").is_dir(), (root / "classes.txt").is_file()
        if images and classes:
            return "images/ and classes.txt"
        return "images/" if images else "classes.txt" if classes else None

    def open(self, root: Path, split: str, options: ReadOptions) -> PairFolder:
        """Open one split of the folder.

        Where `images/train/` and so on exist (and `masks/train/`), they are the splits. Otherwise
        "val" is every fifth image by name, "train" the others, and "test" all of them, which its
        name says.

        Raises:
            DataError: a folder or classes.txt is missing or empty, or an image has no mask.
        """
        for need, what in (("images", "the pictures"), ("masks", "one mask per picture")):
            if not (root / need).is_dir():
                raise DataError(f"{root}: no {need}/ folder; expected {what} there")
        classes = read_classes(options.classes or root / "classes.txt")
        images, masks = root / "images", root / "masks"
        split_folders = [s for s in SPLITS if (images / s).is_dir()]
        if split_folders:
            if split not in split_folders:
                raise DataError(
                    f"{images}: no {split}/; splits that are there: {', '.join(split_folders)}"
                )
            images, masks = images / split, masks / split
            if not masks.is_dir():
                raise DataError(f"{masks}: no such folder; {images} needs its masks there")
        pairs = pair_by_stem(images, masks)
        if not pairs:
            raise DataError(f"{images}: no images; expected PNG or JPEG files")
        what = split
        if not split_folders and split == "test":
            what = "test: all images, those of train and val"
        elif not split_folders:
            held = split == "val"
            kept = [pair for i, pair in enumerate(pairs) if (i % HELD_BACK == 0) == held]
            if not kept:
                raise DataError(
                    f"{images}: {len(pairs)} image(s) are too few to hold one back for validation; "
                    "add images, or make images/train/ and images/val/"
                )
            pairs = kept
        return PairFolder(
            f"{root.name} ({what})",
            tuple(pairs),
            classes.names,
            classes.palette,
            classes.ignore_index,
            classes.mask_palette,
        )
