"""Roboflow's export "Semantic segmentation masks": NAME.jpg, NAME_mask.png and _classes.csv."""

from __future__ import annotations

import csv
from pathlib import Path

from edgeseg.core.data.classes import Classes
from edgeseg.core.data.formats.base import ReadOptions, folder_of, labelled_pairs
from edgeseg.core.data.formats.parse import named_classes, own_classes, read_text
from edgeseg.core.data.pairs import PairFolder, pair_files
from edgeseg.core.data.splits import split_pairs
from edgeseg.core.images.names import images_below
from edgeseg.errors import DataError

FOLDERS = {"train": ("train",), "val": ("valid", "val"), "test": ("test",)}
NAMES = "_classes.csv"


class RoboflowMasks:
    """train/, valid/ and test/, each with pictures, masks and _classes.csv."""

    tree = "train/, valid/ and test/ with NAME.jpg, NAME_mask.png and _classes.csv in each"

    def recognize(self, root: Path) -> str | None:
        """Tell whether a split has _classes.csv, or masks beside its pictures."""
        for folder in split_folders(root).values():
            if (folder / NAMES).is_file():
                return f"{folder.name}/{NAMES}"
            if next(folder.glob("*_mask.png"), None) is not None:
                return f"{folder.name}/*_mask.png"
        return None

    def open(self, root: Path, split: str, options: ReadOptions) -> PairFolder:
        """Open one split; without valid/, validation is held back from train/.

        Raises:
            DataError: the split, a mask or _classes.csv is missing, or splits name other classes.
        """
        there = split_folders(root)
        folder, held_back = split_folder(root, there, split)
        files = images_below(folder)
        masks = [path for path in files if path.stem.endswith("_mask")]
        images = [path for path in files if not path.stem.endswith("_mask")]
        pairs = pair_files(images, masks)
        if not pairs:
            raise DataError(f"{folder}: no images; expected NAME.jpg and NAME_mask.png there")
        pairs, notes = labelled_pairs(pairs, options, str(folder))
        classes = own_classes(root, options) or _classes(list(there.values()))
        what = split
        if held_back:
            pairs, what = split_pairs(pairs, split, {}, options)
        return folder_of(f"{root.name} ({what})", pairs, classes, options, notes)


def split_folders(root: Path) -> dict[str, Path]:
    """Return the folder of each split that is there: valid/ is validation."""
    found = {}
    for split, names in FOLDERS.items():
        folder = next((root / name for name in names if (root / name).is_dir()), None)
        if folder is not None:
            found[split] = folder
    return found


def split_folder(root: Path, there: dict[str, Path], split: str) -> tuple[Path, bool]:
    """Return the folder of a split, and whether its part of train/ is meant.

    Raises:
        DataError: the split is not there.
    """
    if split in there:
        # Without validation of its own, a part of train/ is held back.
        return there[split], split == "train" and "val" not in there
    if split == "val" and "train" in there:
        return there["train"], True
    known = ", ".join(folder.name for folder in there.values()) or "none"
    raise DataError(f"{root}: no {FOLDERS[split][0]}/; splits that are there: {known}")


def _classes(folders: list[Path]) -> Classes:
    found = {folder / NAMES: _read(folder / NAMES) for folder in folders}
    (first, classes), *others = found.items()
    for path, other in others:
        if other != classes:
            raise DataError(
                f"{path}: other classes than {first}; export both splits from one version"
            )
    return classes


def _read(path: Path) -> Classes:
    """Read `Pixel Value, Class` lines."""
    names, values = [], []
    rows = csv.reader(read_text(path).splitlines(), skipinitialspace=True)
    for number, row in enumerate(rows, 1):
        words = [word.strip() for word in row]
        if not any(words) or (number == 1 and not words[0].isdecimal()):
            continue
        if len(words) != 2 or not words[0].isdecimal() or int(words[0]) > 255 or not words[1]:
            raise DataError(f"{path}, line {number}: expected `1, floor`: a mask's value and name")
        values.append([int(words[0])])
        names.append(words[1])
    return named_classes(path, names, values=values)
