"""ADE20K's layout: images/ and annotations/ with training/ and validation/; label 0 is void.

Source: Zhou et al., Scene Parsing through ADE20K Dataset, 2017. Label k of a mask is line k of
the class list: objectInfo150.txt of the data set, or the user's classes.txt.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from edgeseg.core.data.classes import GRAMMAR, Classes
from edgeseg.core.data.formats.base import ReadOptions, folder_of, labelled_pairs
from edgeseg.core.data.formats.parse import named_classes, own_classes, read_text
from edgeseg.core.data.pairs import PairFolder, pair_files
from edgeseg.core.data.splits import split_pairs
from edgeseg.errors import DataError

FOLDERS = {"train": "training", "val": "validation", "test": "testing"}
NAMES = "objectInfo150.txt"


class Ade20k:
    """images/training/ with annotations/training/ and so on; labels count from 1."""

    tree = "images/ and annotations/ with training/ and validation/ in each"

    def recognize(self, root: Path) -> str | None:
        """Tell whether images/ or annotations/ has training/ or validation/."""
        for folder in ("annotations", "images"):
            for part in FOLDERS.values():
                if (root / folder / part).is_dir():
                    return f"{folder}/{part}/"
        return None

    def open(self, root: Path, split: str, options: ReadOptions) -> PairFolder:
        """Open one split; label 0 is void, label k the k-th class of the list.

        Raises:
            DataError: the split, its annotations, a mask or the list of classes is missing.
        """
        there = [s for s, part in FOLDERS.items() if (root / "images" / part).is_dir()]
        held_back = "val" not in there and "train" in there and split != "test"
        if split not in there and not held_back:
            known = ", ".join(FOLDERS[s] for s in there) or "none"
            raise DataError(
                f"{root / 'images'}: no {FOLDERS[split]}/; splits that are there: {known}"
            )
        part = FOLDERS["train" if held_back else split]
        images, masks = root / "images" / part, root / "annotations" / part
        if not masks.is_dir():
            raise DataError(f"{masks}: no such folder; {images} needs its masks there")
        pairs = pair_files(images, masks)
        if not pairs:
            raise DataError(f"{images}: no images; expected PNG or JPEG files")
        pairs, notes = labelled_pairs(pairs, options, str(masks))
        classes, said = _classes(root, options)
        what = split
        if held_back:
            pairs, what = split_pairs(pairs, split, {}, options)
        return folder_of(f"{root.name} ({what})", pairs, classes, options, (*notes, *said))


def _classes(root: Path, options: ReadOptions) -> tuple[Classes, tuple[str, ...]]:
    own = own_classes(root, options)
    if own is None:
        if not (root / NAMES).is_file():
            raise DataError(
                f"{root}: no {NAMES} and no classes.txt; write {root / 'classes.txt'} or give "
                f"--classes FILE: {GRAMMAR}"
            )
        own = _read(root / NAMES)
    elif own.explained or own.colours or own.values:
        # The user's file says what values or colours are, or where among the values void stands.
        return own, ()
    shifted = counted_from_one(own)
    note = (
        "masks are read as ADE20K's: 0 is void and 1 is the first class (if 0 is a class, write "
        "`name = 0` lines in classes.txt)"
    )
    return shifted, (note,)


def counted_from_one(classes: Classes) -> Classes:
    """Return classes whose masks have 0 for void and 1 for label 0."""
    values = ((0, 255), *((label + 1, label) for label in range(len(classes.names))))
    return dataclasses.replace(classes, ignore_index=255, values=values, explained=True)


def _read(path: Path) -> Classes:
    """Read objectInfo150.txt: columns Idx, Ratio, Train, Val, Stuff and Name."""
    names: list[str] = []
    for number, line in enumerate(read_text(path).splitlines(), 1):
        words = [word.strip() for word in line.split("\t") if word.strip()]
        if not words or (number == 1 and not words[0].isdecimal()):
            continue
        if len(words) < 2 or words[0] != str(len(names) + 1):
            raise DataError(f"{path}, line {number}: expected class {len(names) + 1} and its name")
        # A class goes by several names, the usual one first.
        names.append(words[-1].split(",")[0].strip())
    # Two classes of ADE20K are called by one name.
    places: dict[str, int] = {}
    for place, name in enumerate(names):
        places[name] = places.get(name, 0) + 1
        if places[name] > 1:
            names[place] = f"{name} {places[name]}"
    return named_classes(path, names)
